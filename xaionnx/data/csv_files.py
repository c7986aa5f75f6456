"""CSV files: their records as the cells of a table, and what is wrong with the others."""

from __future__ import annotations

import codecs
import csv
import io
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final, overload

import numpy as np

from xaionnx.data.columns import NUMBER, Column
from xaionnx.data.files import Refusal, sha256_of
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.tables import MAX_TABLE_BYTES, Cells
from xaionnx.errors import DataError
from xaionnx.typing import Array

# First bytes of picture formats that may be given for a table by mistake.
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
JSON_LINES: Final = (".jsonl", ".ndjson")
"""Suffixes of files with an object of JSON a line."""
# Rows that are gathered before they become columns.
_GATHERED: Final = 4096
# Characters that separate cells in place of commas, and the bytes in which they are looked for.
_OTHER_SEPARATORS: Final = ";\t|"
_HEAD: Final = 2**16
# The line ahead of the header in which files for Excel name their separator.
_NAMED_SEPARATOR: Final = re.compile(r"sep=([^\w\s\"'.]|\t)")
NAMED_CELLS: Final = ["sep=", ""]
"""The cells of the line ahead of the header that names the separator, as files for Excel have it."""
# How objects and lists of JSON begin, which no header does: the quote in a title would be at its start.
_JSON: Final = re.compile(r'\s*(\{\s*"|\[\s*[\[{"])')


def read_csv(path: Path, data: bytes, chosen: RowNumbers | None) -> Cells:
    """Return the cells of a CSV file, as text; ``chosen`` are the rows to read, all if None.

    Raises
    ------
    DataError
        It is none, or has no such rows.
    """
    separator = separator_of_start(path, data)
    # All of it is checked first, and then decoded line by line: the text takes one to four times the memory.
    decode_csv(path, data)
    reader = csv_reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), separator)
    titles = read_header(path, reader)
    records, faults = _records(path, reader, len(titles))
    if not records.numbers and not faults:
        raise no_rows(path)
    if chosen is not None:
        wanted = set(chosen.of(len(records.numbers) + len(faults), f"'{path}'"))
        records = records.some([at for at, number in enumerate(records.numbers) if number in wanted])
        faults = [fault for fault in faults if fault.row in wanted]
    return _cells(path, titles, records, faults, sha256_of(data))


def csv_reader(lines: Iterable[str], separator: str) -> Reader:
    """Return a reader of the records of a file."""
    # Texts in a column may be of any length.
    csv.field_size_limit(MAX_TABLE_BYTES)
    return csv.reader(lines, delimiter=separator, strict=True)


def read_header(path: Path, reader: Reader) -> list[str]:
    """Return the names of the columns, the first record of a file that does not name the separator.

    Raises
    ------
    DataError
        The record is broken, or no header.
    """
    line = 1
    try:
        header = next(reader, [])
        if header == NAMED_CELLS:
            line = 2
            header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"'{path}', line {line}: broken CSV ({error}). Correct it.") from error
    titles = [title.strip() for title in header]
    _check_header(f"'{path}', line {line}", titles)
    return titles


def _doubt(path: Path, titles: Sequence[str]) -> str:
    """What says that the titles may be a row instead; empty if they are none.

    Wavelengths and numbered columns are titles, too, so that only their names in a spec can tell.
    """
    if not all(NUMBER.fullmatch(title) for title in titles):
        return ""
    return (
        f"'{path}' begins with a line of numbers, which may be a row. Put the names of the columns above it or, if "
        "these are the names, list them under 'columns' of a spec."
    )


def no_rows(path: Path) -> DataError:
    """Return the error for a file that ends after its header."""
    return DataError(f"'{path}' has a header but no rows. Add at least one row.")


def csv_cells(path: Path, titles: Sequence[str], reader: Reader, first: tuple[int, int], sha256: str) -> Cells:
    """Return the rows of a part of a CSV file, without its header.

    Parameters
    ----------
    path : Path
    titles : sequence of str
        The names of the columns.
    reader : Reader
        Reads whole records.
    first : (int, int)
        The number of the first row, and that of the line before it.
    sha256 : str
        Hash of the whole file.
    """
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
        doubt=_doubt(path, titles),
    )


@final
class _Numbered(Sequence[str]):
    """Numbers between two texts, made when they are read: those of a million rows take more memory than the cells.

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
        """Return some of the rows, by their indices."""
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


def separator_of_start(path: Path, data: bytes) -> str:
    """Return what separates the cells of a CSV file with these first bytes.

    Raises
    ------
    DataError
        It is a picture or JSON, its text is not in UTF-8, or its cells are separated by what its name does not say.
    """
    if data.startswith(_PICTURES):
        raise DataError(
            f"'{path}' is a picture, but the model needs rows of a table. Give a CSV file or an array (N, F)."
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:1024]:
        raise DataError(f"'{path}' is UTF-16 or binary, not UTF-8 text. Save it as CSV in UTF-8.")
    if _JSON.match(_start_of(data)):
        raise not_json(path)
    return separator_of(path, data)


def not_json(path: Path) -> DataError:
    """Return the error for a file of JSON in place of a table."""
    read = f"pandas.read_json('{path}'{'' if path.suffix.lower() == '.json' else ', lines=True'})"
    return DataError(
        f"'{path}' is JSON, and tables are read from CSV and Parquet. Save it as CSV, such as by "
        f"{read}.to_csv('{path.with_suffix('.csv').name}', index=False)."
    )


def separator_of(path: Path, data: bytes) -> str:
    """Return what separates the cells of a file with these first bytes: what it names itself, or what its name says.

    Raises
    ------
    DataError
        It is another character, or blanks.

    Examples
    --------
    >>> separator_of(Path("rows.csv"), b"sep=;\\r\\na;b\\r\\n1;2\\r\\n")
    ';'
    """
    lines = _start_of(data).splitlines()[:2] or [""]
    header, row = lines[0], lines[-1]
    if named := _NAMED_SEPARATOR.fullmatch(header):
        return named[1]
    separator, word = ("\t", "tabs") if path.suffix.lower() == ".tsv" else (",", "commas")
    if separator in header:
        return separator
    mark = next((repr(mark) for mark in _OTHER_SEPARATORS if mark in header), "")
    cells = row.split()
    numbers = sum(NUMBER.fullmatch(cell) is not None for cell in cells)
    # A frame of R has no title above the names of its rows. A single column may have several words, but few numbers.
    if not mark and separator not in row and numbers > 1 and len(cells) - len(header.split()) in (0, 1):
        mark = "blanks"
    if mark:
        raise DataError(f"'{path}' is separated by {mark}, not by {word}. Save it with {word}.")
    return separator


def _start_of(data: bytes) -> str:
    return data[:_HEAD].decode("utf-8-sig", "replace")


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


def _check_header(where: str, header: Sequence[str]) -> None:
    if not any(header):
        raise DataError(f"{where}: the header is blank. Put the column names there.")
    seen: set[str] = set()
    for number, title in enumerate(header):
        if not title:
            advice = "Name every column"
            if number == 0:
                advice = "If it counts the rows, as the index of a frame of pandas does, save the frame without it"
            elif number == len(header) - 1:
                advice = "Remove the comma at the end of the lines, or name it"
            raise DataError(f"{where}: column {number + 1} has no name. {advice}.")
        if title in seen:
            raise DataError(f"{where}: two columns are named '{title}'. Rename or remove one.")
        seen.add(title)
