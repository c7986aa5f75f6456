"""The rows of a CSV file, read in blocks: one pass counts them, and notes where in the file some of them begin."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, final

from xaionnx.data.csv_files import csv_cells, csv_reader, decode_csv, no_rows, read_header, separator_of_start
from xaionnx.data.files import read_bytes
from xaionnx.data.tables import Cells
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr

# Rows between two places that are noted.
_EVERY: Final = 512
# Bytes that show whether a file is a CSV file at all.
_HEAD: Final = 2**16
# A whole file is only as large as the disk.
_ANY_SIZE: Final = 2**62


@final
@dataclass(frozen=True, eq=False)
class CsvRows:
    """Where the rows of a CSV file are.

    Attributes
    ----------
    path : Path
    titles : list of str
        The names of the columns.
    count : int
        The number of rows, also of those that are blank or ragged.
    sha256 : str
        Hash of the file.
    places : list of (int, int)
        Of each 512th row, the byte where it begins and the number of the line before it; and those of the end.
    separator : str
        What separates the cells.
    """

    path: Path
    titles: list[str]
    count: int
    sha256: str
    places: list[tuple[int, int]]
    separator: str

    __repr__ = short_repr

    @classmethod
    def of(cls, path: Path) -> CsvRows:
        """Return the rows of a file, which is read once.

        Raises
        ------
        DataError
            It is no CSV file in UTF-8, has no header, or no rows.
        """
        with _opened(path) as file:
            separator = separator_of_start(path, file.read(_HEAD))
            file.seek(0)
            lines = _Lines(path, file)
            reader = csv_reader(lines, separator)
            titles = read_header(path, reader)
            places, count = [(lines.position, reader.line_num)], 0
            try:
                for _ in reader:
                    count += 1
                    if count % _EVERY == 0:
                        places.append((lines.position, reader.line_num))
            except csv.Error:
                # The row counts, and is refused when it is read; nothing after it is.
                count += 1
            for _ in lines:
                pass
        if not count:
            raise no_rows(path)
        places.append((lines.position, reader.line_num))
        return cls(path, titles, count, lines.digest.hexdigest(), places, separator)

    def cells(self, start: int, stop: int) -> Cells:
        """Return the rows from ``start`` to ``stop``, counted from 0, without the latter.

        Raises
        ------
        DataError
            The file has changed.
        """
        first, last = start // _EVERY, min(-(-stop // _EVERY), len(self.places) - 1)
        begin, end = self.places[first][0], self.places[last][0]
        with _opened(self.path) as file:
            file.seek(begin)
            data = file.read(end - begin)
        if len(data) != end - begin:
            raise DataError(f"'{self.path}' was changed while it was read. Start again.")
        before = self.places[first][1]
        text = io.StringIO(decode_csv(self.path, data, before), newline="")
        reader = csv_reader(text, self.separator)
        found = csv_cells(self.path, self.titles, reader, (first * _EVERY, before), self.sha256)
        return _between(found, start, stop)


class _Lines:
    """The lines of a file as text, with the position after the last one and the hash of them all."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.position, self.digest, self._count = 0, hashlib.sha256(), -1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        self.position += len(line)
        self.digest.update(line)
        self._count += 1
        return decode_csv(self._path, line, self._count)


def _opened(path: Path) -> BinaryIO:
    if not path.is_file() or path.stat().st_size <= _HEAD:
        # The checks of a file that is read whole: a folder, a device, an empty file, a pointer.
        read_bytes(path, "table", _ANY_SIZE)
    try:
        return path.open("rb")
    except OSError as cause:
        raise DataError(f"'{path}' cannot be read ({cause.strerror}). Check the path and its permissions.") from cause


def _between(cells: Cells, start: int, stop: int) -> Cells:
    kept = [row for row, number in enumerate(cells.numbers) if start <= number < stop]
    unread = tuple(one for one in cells.unread if one.row is not None and start <= one.row < stop)
    return replace(cells.at(kept), unread=unread)
