"""Read files, folders and pictures in memory into one batch for a model."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from xaionnx.data.array_rows import ArraySlice
from xaionnx.data.arrays import SUFFIXES, ArrayFile, read_array
from xaionnx.data.column_order import ColumnOrder, by_place
from xaionnx.data.files import Refusal
from xaionnx.data.folders import expand
from xaionnx.data.images import Picture, fit, picture_of, read_picture, seen_box
from xaionnx.data.pixels import are_pixels, picture_in, pictures_in
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.series_files import SeriesLayout, is_series_file, read_series
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_files import read_table, table_of
from xaionnx.data.tables import missing_note
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType


@dataclass(frozen=True, eq=False)
class InputBatch:
    """The samples that were read, in order.

    Attributes
    ----------
    x : array, (N, ...)
        The model's input tensor.
    displays : list of uint8 array (H, W, 3), or None
        The part of each picture that the model sees, for display; None if the samples are not pictures.
    names : tuple of str
        One per sample: the path, with the number of the row in a table or an array as ``[row]``; ``x[n]`` in memory.
    notes : tuple of str
        Conversions that were made or skipped, each once, with the files concerned.
    sha256s : tuple of str or None
        One per sample: the hash of its file; None in memory.
    conversion : str or None
        How pixels or rows of a table were converted to the tensor, in words; None if arrays were given.
    rate : float or None
        Steps per second of series, if files of sound state it.
    columns : tuple of str
        Names of the columns of a table in the order of the tensor; empty if neither file nor spec names them.
    by_place : tuple of str
        Those that were taken in the order of the file, as no spec names them.
    left : dict of arrays (N,) by column name
        The cells of a table's columns that the spec ignores.
    """

    x: Array
    displays: list[NDArray[np.uint8]] | None
    names: tuple[str, ...]
    notes: tuple[str, ...]
    sha256s: tuple[str | None, ...]
    conversion: str | None = None
    rate: float | None = None
    columns: tuple[str, ...] = ()
    by_place: tuple[str, ...] = ()
    left: Mapping[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@dataclass(frozen=True, eq=False)
class _Part:
    """The samples of one file or picture; ``name`` is used in notes."""

    name: str
    x: Array
    displays: list[NDArray[np.uint8]]
    names: list[str]
    notes: tuple[str, ...]
    sha256: str | None
    converted: bool = False
    rate: float | None = None
    columns: tuple[str, ...] = ()
    by_place: tuple[str, ...] = ()
    left: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reading:
    """How sources are read; the fields are the parameters of `read_inputs`."""

    spec: InputSpec
    dtype: DType
    exif: bool
    side: int | None
    nan: str | None
    batch_first: Callable[[Array], Array]
    series: SeriesLayout | None
    chosen: RowNumbers | None


# Pictures in memory: an image of Pillow, or pixels in uint8, (H, W, C) or (H, W); and some samples of a file.
InMemory = Image.Image | NDArray[np.uint8] | ArraySlice


def read_inputs(  # noqa: PLR0913 - options, all by keyword
    sources: str | Path | InMemory | Iterable[str | Path | InMemory],
    spec: InputSpec,
    dtype: DTypeLike = np.float32,
    exif: bool = False,
    display_side: int | None = None,
    nan: str | None = None,
    batch_first: Callable[[Array], Array] = np.asarray,
    series: SeriesLayout | None = None,
    chosen: RowNumbers | None = None,
) -> tuple[InputBatch, list[Refusal]]:
    """Read files, the files of a folder, or pictures in memory into one batch, leaving out unreadable ones.

    For a spec of the kind ``picture``, files are pictures, or .npy and .npz arrays: uint8 arrays (N, H, W, C),
    (H, W, C), (N, H, W) or (H, W), with 1, 3 or 4 channels C, are pixels, floating-point arrays are input tensors of
    the model. For ``table`` they are CSV files or arrays (N, F). For ``array`` and ``text`` they are arrays (N, ...),
    used without conversion; tokens come from the model's tokenizer.

    Parameters
    ----------
    sources : str, Path, PIL image, uint8 array (H, W, C) or (H, W), or iterable of them
        In the order of the samples; a folder stands for its files and those of its subfolders, sorted by name.
    spec : InputSpec
        The input of the model.
    dtype : dtype
        Element type of tensors from pictures and tables.
    exif : bool
        See `xaionnx.data.images.read_picture`.
    display_side : int, optional
        Maximum length of the longer side of the displays in pixels. None uses the size of the model's input.
    nan : str, optional
        What the model does with NaN, for tables and arrays; see `xaionnx.data.table_files.read_table`.
    batch_first : callable
        Moves the samples of an array file to the first axis.
    series : SeriesLayout, optional
        How a sample lies if the input is a series, for .wav and .csv files.
    chosen : RowNumbers, optional
        The rows of tables and arrays to read; all if None.

    Returns
    -------
    InputBatch
        At least one sample.
    list of Refusal
        Files and rows left out, in order.

    Raises
    ------
    ParameterError
        ``display_side`` is not an int in [1, inf) or None.
    DataError
        Nothing can be read. A single refusal is raised unchanged.
    """
    if display_side is not None and (type(display_side) is not int or display_side < 1):
        raise ParameterError(
            "The 'display_side' parameter of read_inputs must be an int in [1, inf) or None. "
            f"Got {display_side!r} instead."
        )
    parts: list[_Part] = []
    refusals: list[Refusal] = []
    count, order = 0, ColumnOrder()
    listed = [sources] if isinstance(sources, str | Path | Image.Image | np.ndarray | ArraySlice) else sources
    for number, source in enumerate(listed):
        for path in expand(source) if isinstance(source, str | Path) else [source]:
            count += 1
            name = path if isinstance(path, Path) else _name_in_memory(path, number)
            try:
                reading = _Reading(spec, np.dtype(dtype), exif, display_side, nan, batch_first, series, chosen)
                part, refused = _read_source(path, name, reading)
                refusals += refused
                if len(part.x):
                    order.check(part.name, part.by_place)
                    _check_same_shape(part, parts)
                    parts.append(part)
            except DataError as error:
                refusals.append(Refusal(name, error))
    if not parts:
        if len(refusals) == 1:
            raise refusals[0].error
        if not count:
            raise DataError("No files were given. Give at least one.")
        reasons = " ".join(str(refusal) for refusal in refusals[:10])
        more = f" ... and {len(refusals) - 10} more." if len(refusals) > 10 else ""
        raise DataError(f"Nothing could be read. {reasons}{more}")
    displays = [display for part in parts for display in part.displays]
    batch = InputBatch(
        x=parts[0].x if len(parts) == 1 else np.concatenate([part.x for part in parts]),
        displays=displays or None,
        names=tuple(name for part in parts for name in part.names),
        notes=_notes(spec, parts),
        sha256s=tuple(part.sha256 for part in parts for _ in part.names),
        conversion=_conversion_words(spec, parts[0]) if any(part.converted for part in parts) else None,
        rate=parts[0].rate,
        columns=parts[0].columns if all(part.columns == parts[0].columns for part in parts) else (),
        by_place=next((part.by_place for part in parts if part.by_place), ()),
        left={
            name: np.concatenate([part.left[name] for part in parts])
            for name in parts[0].left
            if all(name in part.left for part in parts)
        },
    )
    return batch, refusals


def _name_in_memory(source: InMemory, number: int) -> Path:
    return source.path if isinstance(source, ArraySlice) else Path(f"x[{number}]")


def _slice_part(source: ArraySlice, reading: _Reading) -> tuple[_Part, list[Refusal]]:
    """The samples of a part of an array file, which are named and refused as those of the whole."""
    spec, path = reading.spec, source.path
    if spec.kind == "table":
        table, refused = table_of(path, source.file, spec, reading.nan, first=source.first)
        values = table.values.astype(reading.dtype, copy=False)
        return _Part(
            str(path), values, [], [f"{path}[{row}]" for row in table.rows], table.notes, table.sha256
        ), refused
    return _array_part(path, reading, source.file, source.first)


def _read_source(source: Path | InMemory, path: Path, reading: _Reading) -> tuple[_Part, list[Refusal]]:
    """Return the samples of a source, named ``path`` in messages, and the rows left out."""
    spec, dtype, exif, side = reading.spec, reading.dtype, reading.exif, reading.side
    if isinstance(source, ArraySlice):
        return _slice_part(source, reading)
    if not isinstance(source, Path):
        return _picture_part(_picture_in_memory(source, path, spec, exif), str(path), spec, dtype, side), []
    is_array = path.suffix.lower() in SUFFIXES
    if is_series_file(path, spec, reading.series):
        assert reading.series is not None  # it is read as series
        found = read_series(path, spec, reading.series, dtype, reading.chosen)
        names = [f"{path}[{row}]" for row in found.rows] or [str(path)]
        part = _Part(str(path), found.x, [], names, found.notes, found.sha256, rate=found.rate, by_place=found.by_place)
        return part, list(found.refused)
    if spec.kind == "table":
        table, refused = read_table(path, spec, reading.nan, reading.batch_first, dtype, reading.chosen)
        names = [f"{path}[{row}]" for row in table.rows]
        values = table.values.astype(dtype, copy=False) if is_array else table.values
        part = _Part(str(path), values, [], names, table.notes, table.sha256, not is_array)
        placed = table.columns if not spec.columns and len(table.columns) > 1 else ()
        return dataclasses.replace(part, columns=table.columns, by_place=placed, left=table.left), refused
    if is_array:
        file = read_array(path, spec.name)
        return _array_part(path, reading, dataclasses.replace(file, array=reading.batch_first(file.array)))
    if reading.chosen is not None:
        raise DataError(f"'{path}' has no rows to choose from. Leave the rows out for it.")
    if spec.kind == "picture":
        return _picture_part(read_picture(path, exif), str(path), spec, dtype, side), []
    if spec.kind == "text":
        raise DataError(f"'{path}': text cannot be read directly. Pass the tokens for the model as a .npy array.")
    raise DataError(f"'{path}' is not an array, which this model needs. Pass a .npy file, or write an InputSpec.")


def _picture_in_memory(source: Image.Image | NDArray[np.uint8], name: Path, spec: InputSpec, exif: bool) -> Picture:
    if spec.kind != "picture":
        raise InputMismatchError(f"{name} is a picture, but this model needs the kind '{spec.kind}'. Give an array.")
    return picture_of(source, exif, str(name)) if isinstance(source, Image.Image) else picture_in(source, str(name))


def _picture_part(picture: Picture, name: str, spec: InputSpec, dtype: DType, side: int | None) -> _Part:
    x, displays = _tensor_and_displays([picture.array], spec, dtype, side)
    return _Part(name, x, displays, [name], picture.notes_for(spec.color), picture.sha256, converted=True)


def _array_part(path: Path, reading: _Reading, file: ArrayFile, first: int = 0) -> tuple[_Part, list[Refusal]]:
    spec, dtype = reading.spec, reading.dtype
    kept = (
        np.arange(len(file.array))
        if reading.chosen is None
        else np.array(reading.chosen.of(len(file.array), f"'{path}'"))
    )
    x, displays, refused = file.array[kept], list[NDArray[np.uint8]](), list[Refusal]()
    notes, pixels = file.notes, False
    if x.dtype.kind == "f":
        takes_nan = bool(reading.nan) and spec.kind != "picture"
        finite = (np.isfinite(x) | (np.isnan(x) if takes_nan else False)).reshape(len(x), -1).all(axis=1)
        for row in (first + kept[~finite]).tolist():
            error = DataError(f"'{path}', row {row}: the array contains NaN or infinity. Correct it.")
            refused.append(Refusal(path, error, row))
        x, kept = x[finite], kept[finite]
        notes += tuple(missing_note(int(np.isnan(x).sum()), reading.nan, "numbers"))
    if x.dtype.kind == dtype.kind == "f" and x.dtype != dtype:
        notes += (f"{x.dtype} numbers are rounded to {dtype}",) if x.dtype.itemsize > dtype.itemsize else ()
        x = x.astype(dtype)
    if spec.kind == "picture":
        if are_pixels(x):
            pictures = [picture_in(one, f"'{path}'") for one in pictures_in(x, spec.color, f"'{path}'")]
            if len(pictures) != len(kept):
                # The rows of an array of one picture are not samples.
                kept = np.arange(len(pictures))
            pixels = True
            notes += tuple(dict.fromkeys(note for picture in pictures for note in picture.notes_for(spec.color)))
            x, displays = _tensor_and_displays([picture.array for picture in pictures], spec, dtype, reading.side)
        elif x.dtype.kind == "f":
            displays = list(spec.to_pictures(x)) if x.ndim == 4 and x.shape[spec.channel_axis] == spec.channels else []
        else:
            raise InputMismatchError(
                f"'{path}' contains {x.shape} {x.dtype}, which is not a picture. "
                "Pixels are uint8 (N, H, W, C) or (N, H, W); input tensors of the model are floating-point."
            )
    names = [f"{path}[{row}]" for row in first + kept]
    return _Part(str(path), x, displays, names, notes, file.sha256, pixels), refused


def _tensor_and_displays(
    pictures: Sequence[NDArray[np.uint8]], spec: InputSpec, dtype: DType, side: int | None
) -> tuple[Array, list[NDArray[np.uint8]]]:
    """Return the tensor of pictures, and their displays: the part that the model sees, in up to ``side`` pixels."""
    fitted = spec.fit(pictures)
    displays = (
        [_to_rgb(picture) for picture in fitted]
        if side is None
        else [_large_display(one, spec, side) for one in pictures]
    )
    return spec.to_tensor(fitted, dtype), displays


def _to_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def _large_display(picture: NDArray[np.uint8], spec: InputSpec, side: int) -> NDArray[np.uint8]:
    """Return the part of a picture that the model sees, in RGB, with a longer side of at most ``side``.

    It is never smaller than the model's input, over which the values lie.
    """
    rgb = _to_rgb(picture)
    side = max((side, *(spec.size or ())))
    if spec.size is not None and spec.resize != "stretch":
        if spec.resize == "pad":
            unit = side / max(spec.size)
            return fit(rgb, (max(1, round(spec.size[0] * unit)), max(1, round(spec.size[1] * unit))), "pad")
        left, upper, right, lower = (round(edge) for edge in seen_box((rgb.shape[0], rgb.shape[1]), spec.size))
        rgb = rgb[upper : max(lower, upper + 1), left : max(right, left + 1)]
    if spec.size is not None and any(own < least for own, least in zip(rgb.shape[:2], spec.size, strict=True)):
        if spec.resize != "stretch":
            return fit(rgb, spec.size, "stretch")
        grows = max(least / own for own, least in zip(rgb.shape[:2], spec.size, strict=True))
        rgb = fit(rgb, (math.ceil(rgb.shape[0] * grows), math.ceil(rgb.shape[1] * grows)), "stretch")
        side = max(rgb.shape[:2])
    longest = max(rgb.shape[:2])
    if longest <= side:
        return np.ascontiguousarray(rgb)
    return fit(rgb, (max(1, rgb.shape[0] * side // longest), max(1, rgb.shape[1] * side // longest)), "stretch")


def _check_same_shape(part: _Part, parts: list[_Part]) -> None:
    if not parts:
        return
    first = parts[0]
    if part.rate != first.rate:
        raise InputMismatchError(
            f"'{part.name}' has another number of steps a second than '{first.name}': {part.rate} and {first.rate}. "
            "Resample the sound."
        )
    if part.x.shape[1:] != first.x.shape[1:] or part.x.dtype != first.x.dtype:
        raise InputMismatchError(
            f"'{part.name}' has samples {part.x.shape[1:]} {part.x.dtype}, but '{first.name}' has "
            f"{first.x.shape[1:]} {first.x.dtype}. Give samples of one shape and type, or a spec with a 'size'."
        )


def _notes(spec: InputSpec, parts: list[_Part]) -> tuple[str, ...]:
    concerned: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for note in part.notes:
            concerned[note].append(Path(part.name).name)
    notes = []
    if spec.kind == "table" and (placed := next((part.by_place for part in parts if part.by_place), ())):
        notes.append(by_place(placed))
    elif spec.guessed and any(part.converted for part in parts):
        notes.append(f"no spec beside the model, so it was guessed from its shape: {_format_words(spec)}")
    for note, names in concerned.items():
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        notes.append(f"{listed}: {note}")
    return tuple(notes)


def _format_words(spec: InputSpec) -> str:
    if spec.kind != "picture":
        return spec.kind
    size = f"{spec.size[0]} x {spec.size[1]}" if spec.size else "any size"
    black, white = spec.pixel(0).ravel().tolist(), spec.pixel(255).ravel().tolist()
    return f"{spec.layout}, {size}, {spec.color}, black is {_channel_words(black)} and white is {_channel_words(white)}"


def _conversion_words(spec: InputSpec, part: _Part) -> str:
    if spec.kind == "table":
        return f"rows are {part.x.shape[1]} columns in the order of the {'spec' if spec.columns else 'file'}"
    return f"pixels are converted to {_format_words(spec)}" + (f", resized by {spec.resize}" if spec.size else "")


def _channel_words(values: list[float]) -> str:
    """Return the values of all channels as text, one number if they are equal."""
    return "/".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))
