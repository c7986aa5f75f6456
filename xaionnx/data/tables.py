"""Read tables from CSV, .npy and .npz files, strictly and row by row."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from xaionnx.data.arrays import SUFFIXES, read_array
from xaionnx.data.files import Refusal, read_bytes, sha256_of
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

MAX_TABLE_BYTES: Final = 512 * 2**20

# float() alone would accept '1_000', full-width digits, 'nan' and 'infinity'.
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST: Final = float(np.finfo(np.float32).max)
_EXACT: Final = 2**24  # from here on float32 cannot represent all integers
# Words for a missing value, in any case, unless they are a category of their column.
MISSING: Final = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
# First bytes of picture formats that may be given for a table by mistake.
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")


class Columns(Protocol):
    """The fields of an InputSpec that describe a table."""

    @property
    def name(self) -> str | None: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def ignore(self) -> Sequence[str]: ...
    @property
    def categories(self) -> Mapping[str, Sequence[str]]: ...


@dataclass(frozen=True, eq=False)
class Table:
    """Rows read from a file.

    Attributes
    ----------
    values : float32 array, (N, F)
        In the order of the columns.
    columns : tuple of str
        Names of the F columns; empty if neither file nor spec names them.
    rows : tuple of int
        Origin of each row: line of the CSV file (the header is line 1), or row of the array from 0.
    notes : tuple of str
        Conversions that were made.
    sha256 : str
        Hash of the file.
    """

    values: NDArray[np.float32]
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    notes: tuple[str, ...]
    sha256: str

    __repr__ = short_repr


def read_table(
    path: str | Path,
    spec: Columns,
    nan: str | None = None,
    batch_first: Callable[[Array], Array] = np.asarray,
) -> tuple[Table, list[Refusal]]:
    """Read a table, leaving out invalid rows.

    A CSV file is UTF-8, separated by commas, with the column names in its first line. It must have the columns of the
    spec, in any order, and may have those that the spec ignores; if the spec lists no columns, all are used in the
    order of the file. Cells are decimal numbers; in a column with categories they are words, which become codes
    0, 1, 2, ... An array of a .npy or .npz file is (N, F) in the order of the spec.

    A cell is missing if it is empty or holds one of the words of `MISSING`, such as ``NA``. It is read as NaN if the
    model has a use for it; otherwise the row is refused.

    Parameters
    ----------
    path : str or Path
        The file.
    spec : InputSpec
        Gives the columns and categories.
    nan : str, optional
        What the model does with NaN, in words. Empty if it takes none, None if that is not known: rows with missing
        cells are then refused.
    batch_first : callable
        Moves the rows of an array file to the first axis.

    Returns
    -------
    Table
        The valid rows, in order.
    list of Refusal
        The invalid rows, in order: blank or ragged lines, cells that are not finite numbers, unknown words.

    Raises
    ------
    DataError
        The whole file cannot be read: it is missing, not UTF-8, without header, or has other columns than the spec.
    """
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        return _read_array(path, spec, nan, batch_first)
    return _read_csv(path, spec, nan)


def _read_array(
    path: Path, spec: Columns, nan: str | None, batch_first: Callable[[Array], Array]
) -> tuple[Table, list[Refusal]]:
    file = read_array(path, spec.name)
    array, columns = batch_first(file.array), tuple(spec.columns)
    if array.ndim != 2 or (columns and array.shape[1] != len(columns)):
        wanted = f"(N, {len(columns)})" if columns else "(N, F)"
        raise DataError(f"'{path}' has an array {array.shape}, but the table is {wanted}. Save one row per sample.")
    with np.errstate(over="ignore"):  # overflow is refused below
        values = array.astype(np.float32)
    notes = list(file.notes)
    if not np.array_equal(values, array, equal_nan=array.dtype.kind == "f"):
        notes.append(f"{array.dtype} numbers are rounded to float32")
    known = np.isfinite(values) | (np.isnan(values) if nan else False)
    good, refusals = known.all(axis=1), []
    notes += missing_note(int(np.isnan(values[good]).sum()), nan, "numbers")
    for row in np.flatnonzero(~good).tolist():
        column = int(np.flatnonzero(~known[row])[0])
        title = f"'{columns[column]}'" if columns else str(column)
        error = DataError(
            f"'{path}', row {row}, column {title}: {array[row, column]} is not a finite float32 number. Correct it."
        )
        refusals.append(Refusal(path, error, row))
    return Table(values[good], columns, tuple(np.flatnonzero(good).tolist()), tuple(notes), file.sha256), refusals


def missing_note(count: int, nan: str | None, what: str) -> list[str]:
    """Return a note on missing values that are NaN for the model; empty if there are none."""
    return [f"{count} missing {what if count > 1 else what[:-1]} read as NaN, {nan}"] if count else []


def _read_csv(path: Path, spec: Columns, nan: str | None) -> tuple[Table, list[Refusal]]:
    data = read_bytes(path, "table", MAX_TABLE_BYTES)
    reader = csv.reader(io.StringIO(_decode_text(path, data), newline=""), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"'{path}', line 1: broken CSV ({error}). Correct it.") from error
    titles = [title.strip() for title in header]
    columns = tuple(spec.columns) or tuple(title for title in titles if title not in spec.ignore)
    order = _column_order(path, titles, columns, spec.ignore)
    codes = {title: {word: float(code) for code, word in enumerate(words)} for title, words in spec.categories.items()}
    if unknown := [title for title in codes if title not in columns]:
        raise DataError(f"'{path}' has no column '{unknown[0]}', for which the spec lists categories. Correct one.")
    kept: list[list[float]] = []
    rows: list[int] = []
    refusals: list[Refusal] = []
    previous, rounded = reader.line_num, False
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            # After a broken quote, line boundaries are unknown.
            fault = DataError(f"'{path}', line {previous + 1}: broken CSV ({error}). Nothing after it is read.")
            refusals.append(Refusal(path, fault, previous + 1))
            break
        line, previous = previous + 1, reader.line_num  # a quoted cell may span lines: use the first
        try:
            _check_cell_count(path, line, cells, len(header))
            row = [
                _cell_value(f"'{path}', line {line}, column '{title}'", cells[at], codes.get(title), nan)
                for title, at in zip(columns, order, strict=True)
            ]
        except DataError as error:
            refusals.append(Refusal(path, error, line))
            continue
        rounded = rounded or any(abs(value) > _EXACT and float(np.float32(value)) != value for value in row)
        kept.append(row)
        rows.append(line)
    if not rows and not refusals:
        raise DataError(f"'{path}' has a header but no rows. Add at least one row.")
    values = np.array(kept, np.float32).reshape(len(kept), len(columns))
    notes = ["numbers above 16777216 are rounded to float32"] if rounded else []
    notes += missing_note(int(np.isnan(values).sum()), nan, "cells")
    return Table(values, columns, tuple(rows), tuple(notes), sha256_of(data)), refusals


def _decode_text(path: Path, data: bytes) -> str:
    if data.startswith(_PICTURES):
        raise DataError(
            f"'{path}' is a picture, but the model needs rows of a table. Give a CSV file or an array (N, F)."
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:1024]:
        raise DataError(f"'{path}' is UTF-16 or binary, not UTF-8 text. Save it as CSV in UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"'{path}', line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file as CSV in UTF-8."
        ) from error


def _column_order(path: Path, header: list[str], columns: tuple[str, ...], ignore: Sequence[str]) -> list[int]:
    if not any(header):
        raise DataError(f"'{path}', line 1: the header is blank. Put the column names there.")
    if len(header) == 1 and (mark := next((m for m in ";\t|" if m in header[0]), None)):
        raise DataError(f"'{path}' is separated by {mark!r}, not by commas. Save it with commas.")
    if all(_NUMBER.fullmatch(title) for title in header):
        raise DataError(f"'{path}', line 1: only numbers, so there is no header. Put the column names there.")
    seen: set[str] = set()
    for title in header:
        if not title:
            raise DataError(f"'{path}', line 1: a column has no name. Name every column.")
        if title in seen:
            raise DataError(f"'{path}', line 1: two columns are named '{title}'. Rename or remove one.")
        seen.add(title)
    if missing := [title for title in columns if title not in seen]:
        near = difflib.get_close_matches(missing[0], header, n=1)
        hint = f" Nearest: '{near[0]}'." if near else ""
        raise DataError(f"'{path}' lacks the column '{missing[0]}' that the model needs.{hint} Add or rename it.")
    if extra := [title for title in header if title not in columns and title not in ignore]:
        raise DataError(
            f"'{path}' has the column '{extra[0]}', which the model does not use. "
            "Remove it, or list it under 'ignore' of the spec."
        )
    return [header.index(title) for title in columns]


def _check_cell_count(path: Path, line: int, cells: list[str], count: int) -> None:
    if not cells:
        raise DataError(f"'{path}', line {line}: the line is blank. Fill it or remove it.")
    if len(cells) != count:
        raise DataError(
            f"'{path}', line {line}: the line has {len(cells)} cells, but the header has {count}. Correct it."
        )


def _cell_value(where: str, cell: str, codes: dict[str, float] | None, nan: str | None) -> float:
    text = cell.strip()
    missing = text.lower() in MISSING and text not in (codes or {})
    if missing and nan:
        return math.nan
    taken = ", because this model takes no missing values" if nan is not None else ""
    if not text:
        raise DataError(f"{where}: the cell is empty. Fill it, or remove the row{taken}.")
    if missing and taken:
        raise DataError(f"{where}: {text!r} stands for a missing value. Fill it, or remove the row{taken}.")
    if codes is not None:
        if text not in codes:
            near = difflib.get_close_matches(text, codes, n=1)
            listed = f"Nearest: {near[0]}." if near else f"Known: {', '.join(list(codes)[:12])}."
            raise DataError(f"{where}: {text!r} is not one of the categories. {listed}")
        return codes[text]
    if not _NUMBER.fullmatch(text):
        raise DataError(f"{where}: {text[:40]!r} is not a finite decimal number. Correct it.")
    value = float(text)
    if abs(value) > _LARGEST:
        raise DataError(f"{where}: {text[:40]!r} is too large for float32. Correct it.")
    return value
