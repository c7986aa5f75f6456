"""Tables: rows of CSV and Parquet files, of arrays and of frames, converted strictly to the inputs of a model.

A file or a frame is read into `Cells`, which :func:`convert_cells` alone converts, whatever they came from: columns are
found by name, a bad row is left out and named, and a column of another kind is refused.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, final, overload

import numpy as np
from numpy.typing import DTypeLike

from xaionnx.data.arrays import SUFFIXES, ArrayFile, read_array
from xaionnx.data.columns import NUMBER, Column, convert_column
from xaionnx.data.files import Refusal, read_bytes, sha256_of
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType

MAX_TABLE_BYTES: Final = 512 * 2**20

# First bytes of picture formats that may be given for a table by mistake.
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
# Rows that are gathered before they become columns.
_GATHERED: Final = 4096
# Columns that a message lists.
_SHOWN: Final = 8


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


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """A table before its conversion.

    Attributes
    ----------
    path : Path
        The file, or a name for a frame.
    shown : str
        The same as the subject of messages, such as ``'rows.csv'`` or ``The frame``.
    columns : dict of Column by name
        Of N cells each, in the order of the table.
    numbers : sequence of N int
        The number of each row, counted from 0.
    names : sequence of N str
        The name of each row as a sample.
    marks : sequence of N str
        What messages say of a row besides its number, such as ``(line 2)``; empty if there is nothing to say.
    unread : tuple of Refusal
        Rows whose cells cannot be told apart, such as blank and ragged lines.
    sha256 : str or None
        Hash of the file; None in memory.
    drop : str
        How to take a column out of the table, in words, with its name as ``{}``.
    """

    path: Path
    shown: str
    columns: Mapping[str, Column]
    numbers: Sequence[int]
    names: Sequence[str]
    marks: Sequence[str] = ()
    unread: tuple[Refusal, ...] = ()
    sha256: str | None = None
    drop: str = "Remove it"

    __repr__ = short_repr

    def place(self, row: int) -> str:
        """Return where a row is, in words: ``'rows.csv', row 0 (line 2)``."""
        return f"{self.shown}, row {self.numbers[row]}{self.marks[row] if self.marks else ''}"


@final
@dataclass(frozen=True, eq=False)
class Part:
    """An input that takes columns of a table.

    Attributes
    ----------
    input : str
    dtype : dtype
    columns : tuple of str
        Their names in the order of the input's F columns.
    shape : tuple of int
        Shape of the input for one row: (F,), or () and (1,) for an input that is a column.
    """

    input: str
    dtype: DType
    columns: tuple[str, ...]
    shape: tuple[int, ...]

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """Rows converted to inputs of a model.

    Attributes
    ----------
    arrays : dict of array (N, ...) by input name
    kept : sequence of N int
        The valid rows, by their places in the table.
    notes : tuple of str
    refused : list of Refusal
        The invalid rows, in order.
    left : dict of arrays (N,) by column name
        The cells of the columns that no input takes.
    """

    arrays: dict[str, Array]
    kept: Sequence[int]
    notes: tuple[str, ...]
    refused: list[Refusal] = field(default_factory=list)
    left: Mapping[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@dataclass(frozen=True, eq=False)
class Table:
    """Rows read from a file.

    Attributes
    ----------
    values : array, (N, F)
        In the order of the columns.
    columns : tuple of str
        Names of the F columns; empty if neither file nor spec names them.
    rows : tuple of int
        The number of each row in the file, counted from 0.
    notes : tuple of str
        Conversions that were made.
    sha256 : str
        Hash of the file.
    left : dict of arrays (N,) by column name
        The cells of the columns that the spec ignores.
    """

    values: Array
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    notes: tuple[str, ...]
    sha256: str
    left: Mapping[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


def read_table(
    path: str | Path,
    spec: Columns,
    nan: str | None = None,
    batch_first: Callable[[Array], Array] = np.asarray,
    dtype: DTypeLike = np.float32,
    chosen: RowNumbers | None = None,
) -> tuple[Table, list[Refusal]]:
    """Read a table for an input (N, F), leaving out invalid rows.

    A CSV file is UTF-8, separated by commas, with the column names in its first line. It must have the columns of the
    spec, in any order, and may have those that the spec ignores; if the spec lists no columns, all are used in the
    order of the file. Cells are decimal numbers, or true and false; in a column with categories they are words, which
    become codes 0, 1, 2, ... A Parquet file is alike, but its cells have types. An array of a .npy or .npz file is
    (N, F) in the order of the spec.

    A cell is missing if it is empty or holds one of the words of `xaionnx.data.columns.MISSING`, such as ``NA``. It is
    read as NaN if the model has a use for it; otherwise the row is refused.

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
    dtype : dtype
        Element type of the values.
    chosen : RowNumbers, optional
        The rows to read; all if None.

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
        file = read_array(path, spec.name)
        file = replace(file, array=batch_first(file.array))
        return table_of(path, file, spec, nan, None if chosen is None else chosen.of(len(file.array), f"'{path}'"))
    cells = read_cells(path, chosen)
    columns = tuple(spec.columns) or tuple(title for title in cells.columns if title not in spec.ignore)
    part = Part("", np.dtype(dtype), columns, (len(columns),))
    rows = convert_cells(cells, [part], spec, lambda _: nan)
    numbers = tuple(cells.numbers[row] for row in rows.kept)
    return Table(rows.arrays[""], columns, numbers, rows.notes, cells.sha256 or "", rows.left), rows.refused


def table_of(
    path: Path,
    file: ArrayFile,
    spec: Columns,
    nan: str | None,
    chosen: Sequence[int] | None = None,
    first: int = 0,
) -> tuple[Table, list[Refusal]]:
    """Return the rows of an array with the samples first; ``first`` is the number of its first row in the file.

    The other arguments and the result are those of `read_table`.

    Raises
    ------
    DataError
        The array is no table, or has other columns.
    """
    array, columns = file.array, tuple(spec.columns)
    if array.ndim != 2 or (columns and array.shape[1] != len(columns)):
        wanted = f"(N, {len(columns)})" if columns else "(N, F)"
        raise DataError(f"'{path}' has an array {array.shape}, but the table is {wanted}. Save one row per sample.")
    numbers = np.arange(len(array)) if chosen is None else np.array(chosen, int)
    array = array[numbers]
    with np.errstate(over="ignore"):  # overflow is refused below
        values = array.astype(np.float32)
    notes = list(file.notes)
    if not np.array_equal(values, array, equal_nan=array.dtype.kind == "f"):
        notes.append(f"{array.dtype} numbers are rounded to float32")
    known = np.isfinite(values) | (np.isnan(values) if nan else False)
    good, refusals = known.all(axis=1), []
    notes += missing_note(int(np.isnan(values[good]).sum()), nan, "numbers")
    for at in np.flatnonzero(~good).tolist():
        row = first + int(numbers[at])
        column = int(np.flatnonzero(~known[at])[0])
        title = f"'{columns[column]}'" if columns else str(column)
        error = DataError(
            f"'{path}', row {row}, column {title}: {array[at, column]} is not a finite float32 number. Correct it."
        )
        refusals.append(Refusal(path, error, row))
    return Table(values[good], columns, tuple((first + numbers[good]).tolist()), tuple(notes), file.sha256), refusals


def missing_note(count: int, nan: str | None, what: str) -> list[str]:
    """Return a note on missing values that are NaN for the model; empty if there are none."""
    return [f"{count} missing {what if count > 1 else what[:-1]} read as NaN, {nan}"] if count else []


def read_cells(path: Path, chosen: RowNumbers | None = None) -> Cells:
    """Read a CSV or Parquet file, without converting its cells; ``chosen`` are the rows to read, all if None.

    Raises
    ------
    DataError
        The file cannot be read, or has no such rows.
    """
    from xaionnx.data.frames import PARQUET, read_parquet

    data = read_bytes(path, "table", MAX_TABLE_BYTES)
    return read_parquet(path, data, chosen) if path.suffix.lower() in PARQUET else _read_csv(path, data, chosen)


def _read_csv(path: Path, data: bytes, chosen: RowNumbers | None) -> Cells:
    check_csv_start(path, data)
    # All of it is checked first, and then decoded line by line: the text takes one to four times the memory.
    decode_csv(path, data)
    reader = csv_reader(path, io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
    titles = read_header(path, reader)
    records, faults = _records(path, reader, len(titles))
    if not records.numbers and not faults:
        raise no_rows(path)
    if chosen is not None:
        wanted = set(chosen.of(len(records.numbers) + len(faults), f"'{path}'"))
        records = records.some([at for at, number in enumerate(records.numbers) if number in wanted])
        faults = [fault for fault in faults if fault.row in wanted]
    return _cells(path, titles, records, faults, sha256_of(data))


def csv_reader(path: Path, lines: Iterable[str]) -> Reader:
    """Return a reader of the records of a file, which are separated by tabs if its name ends in ``.tsv``."""
    # Texts in a column may be of any length.
    csv.field_size_limit(MAX_TABLE_BYTES)
    return csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)


def read_header(path: Path, reader: Reader) -> list[str]:
    """Return the names of the columns, the first record of a file.

    Raises
    ------
    DataError
        The record is broken, or no header.
    """
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"'{path}', line 1: broken CSV ({error}). Correct it.") from error
    titles = [title.strip() for title in header]
    _check_header(path, titles)
    return titles


def no_rows(path: Path) -> DataError:
    """Return the error for a file that ends after its header."""
    return DataError(f"'{path}' has a header but no rows. Add at least one row.")


def csv_cells(path: Path, titles: Sequence[str], text: str, first: tuple[int, int], sha256: str) -> Cells:
    """Return the rows of a part of a CSV file, without its header.

    Parameters
    ----------
    path : Path
    titles : sequence of str
        The names of the columns.
    text : str
        Whole records.
    first : (int, int)
        The number of the first row, and that of the line before it.
    sha256 : str
        Hash of the whole file.
    """
    reader = csv_reader(path, io.StringIO(text, newline=""))
    records, faults = _records(path, reader, len(titles), *first)
    return _cells(path, titles, records, faults, sha256)


def _cells(
    path: Path,
    titles: Sequence[str],
    records: _Records,
    faults: Sequence[Refusal],
    sha256: str,
) -> Cells:
    present = np.zeros(len(records.numbers), bool)
    return Cells(
        path,
        f"'{path}'",
        {
            title: Column(title, "text", cells, present, parsed=True)
            for title, cells in zip(titles, records.columns, strict=True)
        },
        numbers=records.numbers,
        names=_Numbered(f"{path}[", records.numbers, "]"),
        marks=_Numbered(" (line ", records.lines, ")"),
        unread=tuple(faults),
        sha256=sha256,
    )


@final
class _Numbered(Sequence[str]):
    """Numbers between two texts, made when they are asked for: of a million rows they take more memory than the cells.

    Examples
    --------
    >>> names = _Numbered("rows.csv[", range(9), "]")
    >>> names[-1], names[:2], len(names)
    ('rows.csv[8]', ('rows.csv[0]', 'rows.csv[1]'), 9)
    """

    def __init__(self, before: str, numbers: Sequence[int], after: str) -> None:
        self._before, self._numbers, self._after = before, numbers, after

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(f"{self._before}{number}{self._after}" for number in self._numbers[at])
        return f"{self._before}{self._numbers[at]}{self._after}"

    def __len__(self) -> int:
        return len(self._numbers)


@final
@dataclass(frozen=True, eq=False)
class _Records:
    """Rows with a cell for each column: their numbers and lines in the file, and their cells by column."""

    numbers: Sequence[int]
    lines: Sequence[int]
    columns: Sequence[Array]

    def some(self, at: Sequence[int]) -> _Records:
        """Return some of the rows, by their places."""
        return _Records(
            array("q", (self.numbers[row] for row in at)),
            array("q", (self.lines[row] for row in at)),
            [cells[at] for cells in self.columns],
        )


class _Gathering:
    """Gathers records, column by column as soon as some are there: lists of cells take three times the memory."""

    def __init__(self, width: int) -> None:
        self._numbers, self._lines = array("q"), array("q")
        self._rows: list[list[str]] = []
        self._columns: list[list[Array]] = [[] for _ in range(width)]
        # Most cells of a table occur in many rows; each is kept once.
        self._known: dict[str, str] = {}

    def add(self, number: int, line: int, cells: list[str]) -> None:
        """Add a row."""
        self._numbers.append(number)
        self._lines.append(line)
        self._rows.append([self._known.setdefault(cell, cell) for cell in cells])
        if len(self._rows) >= _GATHERED:
            self._turn()

    def _turn(self) -> None:
        for parts, cells in zip(self._columns, zip(*self._rows, strict=True), strict=False):
            parts.append(np.array(cells, object))
        self._rows.clear()

    def records(self) -> _Records:
        """Return all rows."""
        self._turn()
        columns = list[Array]()
        for parts in self._columns:
            columns.append(np.concatenate(parts) if parts else np.array([], object))
            parts.clear()
        return _Records(self._numbers, self._lines, columns)


class Reader(Protocol):
    """A reader of the csv module."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def _records(
    path: Path, reader: Reader, width: int, number: int = 0, skipped: int = 0
) -> tuple[_Records, list[Refusal]]:
    """The rows with as many cells as there are columns, with their numbers and lines, and the others.

    ``number`` is that of the first row, and ``skipped`` counts the lines of the file before those of the reader.
    """
    kept = _Gathering(width)
    faults: list[Refusal] = []
    previous = skipped + reader.line_num
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return kept.records(), faults
        except csv.Error as error:
            # After a broken quote, line boundaries are unknown.
            where = f"'{path}', row {number} (line {previous + 1})"
            fault = DataError(f"{where}: broken CSV ({error}). Nothing after it is read.")
            return kept.records(), [*faults, Refusal(path, fault, number)]
        line, previous = previous + 1, skipped + reader.line_num  # a quoted cell may span lines: use the first
        if len(cells) == width:
            kept.add(number, line, cells)
        else:
            where = f"'{path}', row {number} (line {line})"
            why = (
                f"the line has {len(cells)} cells, but the header has {width}. Correct it."
                if cells
                else "the line is blank. Fill it or remove it."
            )
            faults.append(Refusal(path, DataError(f"{where}: {why}"), number))
        number += 1


def check_csv_start(path: Path, data: bytes) -> None:
    """Check that a file with these first bytes may be a CSV file.

    Raises
    ------
    DataError
        It is a picture, or its text is not in UTF-8.
    """
    if data.startswith(_PICTURES):
        raise DataError(
            f"'{path}' is a picture, but the model needs rows of a table. Give a CSV file or an array (N, F)."
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:1024]:
        raise DataError(f"'{path}' is UTF-16 or binary, not UTF-8 text. Save it as CSV in UTF-8.")


def decode_csv(path: Path, data: bytes, before: int = 0) -> str:
    """Return the text of a CSV file, or of a part of it that has ``before`` lines before it.

    Raises
    ------
    DataError
        It is not UTF-8.
    """
    try:
        return data.decode("utf-8" if before else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = before + data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"'{path}', line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file as CSV in UTF-8."
        ) from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise DataError(f"'{path}', line 1: the header is blank. Put the column names there.")
    if len(header) == 1 and (mark := next((m for m in ";\t|" if m in header[0]), None)):
        raise DataError(f"'{path}' is separated by {mark!r}, not by commas. Save it with commas.")
    if all(NUMBER.fullmatch(title) for title in header):
        raise DataError(f"'{path}', line 1: only numbers, so there is no header. Put the column names there.")
    seen: set[str] = set()
    for number, title in enumerate(header):
        if not title:
            advice = "Name every column"
            if number == 0:
                advice = "If it counts the rows, as the index of a frame of pandas does, save the frame without it"
            elif number == len(header) - 1:
                advice = "Remove the comma at the end of the lines, or name it"
            raise DataError(f"'{path}', line 1: column {number + 1} has no name. {advice}.")
        if title in seen:
            raise DataError(f"'{path}', line 1: two columns are named '{title}'. Rename or remove one.")
        seen.add(title)


def convert_cells(cells: Cells, parts: Sequence[Part], spec: Columns, nan: Callable[[str], str | None]) -> Rows:
    """Convert the rows of a table to inputs of a model, leaving out invalid ones.

    Parameters
    ----------
    cells : Cells
    parts : sequence of Part
        The inputs that take the columns.
    spec : InputSpec
        Gives the categories, and the columns that no input takes.
    nan : callable
        Returns what the model does with NaN in an input; see `read_table`.

    Raises
    ------
    DataError
        A column is missing, left over, or of another kind than its input takes.
    """
    check_columns(cells, [column for part in parts for column in part.columns], spec)
    faults: dict[int, str] = {}
    notes: dict[str, None] = {}
    arrays: dict[str, Array] = {}
    missing: dict[str | None, int] = {}
    for part in parts:
        taken = nan(part.input)
        kind = np.dtype(object) if part.dtype.kind in "UO" else part.dtype
        array = np.empty((len(cells.numbers), len(part.columns)), kind)
        for at, name in enumerate(part.columns):
            try:
                converted = convert_column(cells.columns[name], part.dtype, spec.categories.get(name), taken)
            except DataError as error:
                raise DataError(f"{cells.shown}: the column '{name}' {error}") from error
            array[:, at] = converted.values
            notes |= dict.fromkeys(converted.notes)
            missing[taken] = missing.get(taken, 0) + converted.missing
            for row, fault in converted.faults.items():
                faults.setdefault(row, f"column '{name}': {fault}")
        arrays[part.input] = array.reshape(len(array), *part.shape)
    rows = range(len(cells.numbers))
    kept = [row for row in rows if row not in faults] if faults else rows
    refused = [
        Refusal(cells.path, DataError(f"{cells.place(row)}, {faults[row]}"), cells.numbers[row]) for row in faults
    ]
    refused = sorted([*cells.unread, *refused], key=lambda one: one.row or 0)
    if faults:
        arrays = {name: array[kept] for name, array in arrays.items()}
    for taken, count in missing.items():
        notes |= dict.fromkeys(missing_note(count, taken, "cells"))
    taken_columns = {name for part in parts for name in part.columns}
    left = {name: column.values[kept] for name, column in cells.columns.items() if name not in taken_columns}
    return Rows(arrays, kept, tuple(notes), refused, left)


def check_columns(cells: Cells, wanted: Sequence[str], spec: Columns) -> None:
    """Check that a table has the columns that a model needs, and no others that the spec does not ignore.

    Raises
    ------
    DataError
        One is missing or left over.
    """
    titles, needed = [*cells.columns], {*wanted}
    if missing := [title for title in wanted if title not in cells.columns]:
        near = difflib.get_close_matches(missing[0], titles, n=1)
        hint = f" Nearest: '{near[0]}'." if near else ""
        more = f" (and {len(missing) - 1} more: {listed(missing[1:])})" if len(missing) > 1 else ""
        raise DataError(
            f"{cells.shown} lacks the column '{missing[0]}' that the model needs{more}.{hint} Add or rename it."
        )
    if extra := [title for title in titles if title not in needed and title not in spec.ignore]:
        more = f" (nor {listed(extra[1:])})" if len(extra) > 1 else ""
        raise DataError(
            f"{cells.shown} has the column '{extra[0]}', which the model does not use{more}. "
            f"{cells.drop.format(extra[0])}, or list it under 'ignore' of the spec."
        )
    if unknown := [title for title in spec.categories if title not in needed]:
        raise DataError(
            f"{cells.shown} has no column '{unknown[0]}', for which the spec lists categories. Correct one."
        )


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first few of many."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
