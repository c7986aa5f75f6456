"""Read series from sound (.wav) and tables (.csv), and check their rate against the spec."""

from __future__ import annotations

import csv
import io
import re
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.csv_files import NAMED_CELLS, separator_of
from xaionnx.data.files import Refusal, read_bytes, sha256_of
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.sample import positions_of
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError
from xaionnx.graph.roles import Role, Roles
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType, Floats

SUFFIXES: Final = (".wav", ".csv")
MAX_BYTES: Final = 2**30

# Columns that hold the time of a step, unless the spec names a channel so.
_TIME: Final = re.compile(r"(time|t|date|datetime|timestamp|index|step|seconds?)([ _\[(].*)?", re.IGNORECASE)
# The largest size of whole numbers in a file of sound, by their type; bytes are around 128.
_FULL: Final = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}
# What scipy raises for damaged files: UnboundLocalError for one that ends ahead of its format.
_OF_SCIPY: Final = (
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    UnboundLocalError,
    struct.error,
)
# Rates of a file and of a spec are equal if they differ by less than this share.
_SAME_RATE: Final = 1e-6


@final
@dataclass(frozen=True)
class SeriesLayout:
    """How a sample of a series lies: (C, T), (T, C) or (T,).

    Attributes
    ----------
    channel : int or None
        The axis of the channels; None if there is time alone.
    channels, length : int or None
        Their sizes, if the model fixes them.
    """

    channel: int | None
    channels: int | None = None
    length: int | None = None

    @classmethod
    def of(cls, sizes: Sequence[int | str | None], roles: Roles) -> SeriesLayout | None:
        """Return the layout of an input whose sample has these axes; None if it is no series."""
        known = [size if isinstance(size, int) else None for size in sizes]
        found = positions_of([size or 0 for size in known], roles, may_guess=False)
        if found is None or len(found.axes) != 1 or len(found.values) > 1:
            return None
        if not found.values and found.role is not Role.TIME:
            return None
        channel = found.values[0] if found.values else None
        return cls(channel, None if channel is None else known[channel], known[found.axes[0]])

    def sample(self, rows: Array) -> Array:
        """Return one sample from its channels (C, T)."""
        one: Array = rows[0] if self.channel is None else rows if self.channel == 0 else np.ascontiguousarray(rows.T)
        return one


@dataclass(frozen=True, eq=False)
class SeriesFile:
    """Series read from a file.

    Attributes
    ----------
    x : array (N, ...)
        In the layout of the model.
    rows : tuple of int
        The number of the line of each series, from 0 below the titles, if a line is a series; else empty.
    rate : float or None
        Steps per second, if the file states it.
    notes : tuple of str
        Conversions that were made.
    sha256 : str
        Hash of the file.
    refused : tuple of Refusal
        Lines that are no series, if a line is a series.
    by_place : tuple of str
        The titles of the channels that were taken in the order of the file, as no spec names them.
    """

    x: Array
    rows: tuple[int, ...]
    rate: float | None
    notes: tuple[str, ...]
    sha256: str
    refused: tuple[Refusal, ...] = ()
    by_place: tuple[str, ...] = ()

    __repr__ = short_repr


def is_series_file(path: Path, spec: InputSpec, layout: SeriesLayout | None) -> bool:
    """Whether a file is read as series: sound, or a .csv file for a model whose input is one.

    Raises
    ------
    DataError
        It is sound, and the input of the model is no series.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return False
    if suffix == ".wav" and layout is None:
        raise DataError(
            f"'{path}' is sound, but nothing says that the input of the model is a series. State its axes, for "
            "example with axes='N T' or axes='N C T', or give an array."
        )
    return layout is not None and (suffix == ".wav" or spec.kind == "series" or spec.guessed)


def read_series(
    path: Path, spec: InputSpec, layout: SeriesLayout, dtype: DType, chosen: RowNumbers | None = None
) -> SeriesFile:
    """Read the series of a .wav or .csv file, of ``chosen`` lines alone where a line is a series.

    Sound of whole numbers is scaled to [-1, 1] if the model takes floats; several channels are averaged for a model of
    one. A .csv file has a column a channel and a line a step, by the names of the spec if it has any; for a model of
    one channel it may have a line a series instead, and a line that is none is refused by itself. A column of times is
    left out.

    Raises
    ------
    DataError
        The file cannot be read, does not fit the layout, has another rate than the spec, or has no chosen lines.
    """
    data = read_bytes(path, "series", MAX_BYTES)
    if path.suffix.lower() == ".wav":
        x, rate, notes = _sound(path, data, spec, layout, dtype)
        found = SeriesFile(x, (), rate, notes, sha256_of(data))
    else:
        found = _table(path, data, spec, layout, chosen)
        found = replace(found, x=found.x.astype(dtype))
    if chosen is not None and not found.rows and not found.refused:
        raise DataError(f"'{path}' is one series, which has no rows to choose from. Leave the rows out for it.")
    return found


def _sound(
    path: Path, data: bytes, spec: InputSpec, layout: SeriesLayout, dtype: DType
) -> tuple[Array, float, tuple[str, ...]]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            # Chunks that are no sound, such as titles, are skipped with a warning.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, sound = wavfile.read(io.BytesIO(data))
    except _OF_SCIPY as error:
        raise DataError(f"'{path}' is no .wav file, or is damaged. Save it again, uncompressed.") from error
    if not sound.size:
        raise DataError(f"'{path}' contains no sound. Record it again.")
    stated = spec.rate
    if stated is not None and abs(rate - stated) > _SAME_RATE * stated:
        raise DataError(
            f"'{path}' has {rate:g} steps a second, but the spec of the model states {stated:g}. Resample the sound."
        )
    rows, notes = np.atleast_2d(sound.T), list[str]()
    if dtype.kind == "f" and rows.dtype.kind in "iu":
        wide = rows.astype(np.float64)
        rows = (wide - 128) / 128 if rows.dtype == np.uint8 else wide / _FULL[str(rows.dtype)]
        notes.append("whole numbers are scaled to [-1, 1]")
    elif dtype.kind != "f" and rows.dtype != dtype:
        raise DataError(f"'{path}' contains {rows.dtype}, but the model takes {dtype}. Convert the sound.")
    wanted = 1 if layout.channel is None else layout.channels
    if wanted == 1 < len(rows):
        notes.append(f"{len(rows)} channels are averaged")
        rows = rows.mean(axis=0, keepdims=True)
    if wanted is not None and len(rows) != wanted:
        raise DataError(
            f"'{path}' has {counted(len(rows), 'channel')}, but the model takes {wanted}. Give a file with as many."
        )
    return layout.sample(rows.astype(dtype))[None], float(rate), tuple(notes)


def _table(path: Path, data: bytes, spec: InputSpec, layout: SeriesLayout, chosen: RowNumbers | None) -> SeriesFile:
    read = _numbers(path, data)
    kept, notes = _channel_columns(path, read.titles, read.numbers.shape[1], spec)
    numbers, sha256 = read.numbers[:, kept], sha256_of(data)
    count = numbers.shape[1]
    single = layout.channel is None or layout.channels == 1
    if single and count != 1 and (layout.length in (None, count) or not read.titles):
        # A line is a series.
        wanted = range(len(numbers)) if chosen is None else chosen.of(len(numbers), f"'{path}'")
        refused = tuple(Refusal(path, read.faults[row], row + read.first) for row in wanted if row in read.faults)
        rows = tuple(row for row in wanted if row not in read.faults)
        x = np.zeros((0, count)) if not rows else np.stack([layout.sample(numbers[row][None]) for row in rows])
        return SeriesFile(x, rows, None, notes, sha256, refused)
    if read.faults:
        raise min(read.faults.items())[1]
    channels = 1 if single else layout.channels
    if channels is not None and count != channels:
        other = " or a line a series" if single else ""
        raise DataError(
            f"'{path}' has {counted(count, 'column')}, but the series of the model has "
            f"{counted(channels, 'channel')}. Write a column a channel and a line a step{other}."
        )
    placed = tuple(read.titles[at] for at in kept) if read.titles and not spec.channel_names and count > 1 else ()
    return SeriesFile(layout.sample(np.ascontiguousarray(numbers.T))[None], (), None, notes, sha256, by_place=placed)


class _Lines(NamedTuple):
    """The titles of the columns, the numbers of the lines, the first line of them in the file, and what is off."""

    titles: list[str]
    numbers: Floats
    first: int
    faults: dict[int, DataError]


def _numbers(path: Path, data: bytes) -> _Lines:
    separator = separator_of(path, data)
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"'{path}' is not CSV in UTF-8 ({error}). Save it again.") from error
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    named = lines[:1] == [NAMED_CELLS]
    lines = lines[named:]
    titles: list[str] = []
    if lines and _are_titles(lines[0]):
        titles = [title.strip() for title in lines.pop(0)]
    if not lines:
        raise DataError(f"'{path}' contains no numbers. Write a column a channel and a line a step.")
    first, width = 1 + named + bool(titles), len(titles) or len(lines[0])
    timed = {at for at, title in enumerate(titles) if _TIME.fullmatch(title)}
    numbers, faults = np.zeros((len(lines), width)), dict[int, DataError]()
    for row, cells in enumerate(lines):
        values = [_number(cell) for cell in cells]
        wrong = [cell for at, cell in enumerate(cells) if values[at] is None and at not in timed]
        if len(cells) != width or wrong:
            what = f"{wrong[0][:40]!r} is not a finite number" if wrong else f"{len(cells)} cells in place of {width}"
            faults[row] = DataError(f"'{path}', line {row + first}: {what}. Correct it.")
        else:
            numbers[row] = [value or 0.0 for value in values]
    return _Lines(titles, numbers, first, faults)


def _are_titles(cells: Sequence[str]) -> bool:
    """Whether the first line names the columns: a number that cannot be read is no reason to leave out a line."""
    numbers = sum(_number(cell) is not None for cell in cells)
    return any(_TIME.fullmatch(cell.strip()) for cell in cells) or 2 * numbers < len(cells)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _channel_columns(
    path: Path, titles: Sequence[str], width: int, spec: InputSpec
) -> tuple[list[int], tuple[str, ...]]:
    """The columns that are channels, in the order of the spec, and notes on those that are left out."""
    if not titles:
        return list(range(width)), ()
    named = [name for name in spec.channel_names if name in titles]
    if named and len(named) < len(spec.channel_names):
        missing = next(name for name in spec.channel_names if name not in titles)
        raise DataError(f"'{path}' has no column '{missing}', which the spec names as a channel. Add or rename it.")
    kept = [titles.index(name) for name in named] or [
        at for at, title in enumerate(titles) if not _TIME.fullmatch(title)
    ]
    if not kept:
        raise DataError(f"'{path}' has times, but no column with numbers of a channel. Add one.")
    left = [title for at, title in enumerate(titles) if at not in kept]
    return kept, (f"left out: {', '.join(left)}",) if left else ()
