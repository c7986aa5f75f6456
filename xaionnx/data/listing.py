"""What a data set consists of: the units of a folder, file, frame, array or iterable, and the labels beside them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.array_rows import ArrayRows
from xaionnx.data.arrays import SUFFIXES, WORDS_TOO, archived, read_array, read_arrays
from xaionnx.data.csv_rows import CsvRows
from xaionnx.data.files import read_bytes
from xaionnx.data.folders import files_in
from xaionnx.data.frames import frame_cells, is_frame, is_series, series_cells
from xaionnx.data.inputs import Inputs
from xaionnx.data.parquet_files import PARQUET, parquet_starts, read_parquet
from xaionnx.data.table_files import read_cells
from xaionnx.data.tables import MAX_TABLE_BYTES, Cells
from xaionnx.data.units import (
    ArrayFileUnits,
    ArrayUnits,
    CellUnits,
    CsvUnits,
    FileUnits,
    InputUnits,
    IterableUnits,
    Label,
    ParquetUnits,
    SequenceUnits,
    Units,
    label_of,
)
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import DataError, ParameterError, UnknownNameError

_CSV: Final = (".csv", ".tsv")
TABLES: Final = (*_CSV, *PARQUET)
"""Suffixes of tables."""

# A whole number that was written as a float.
_WHOLE_FLOAT: Final = re.compile(r"-?\d+\.0")

Labels = Sequence[Label | None]
"""One for each unit of a data set."""

EMPTY: Final = "The data set is empty. Give at least one sample."
"""Why nothing can be read."""


def units_of(x: Any, labels: str | None, member: str | None) -> tuple[Units, Labels | None]:  # Any: users may pass any
    """Return the units of a data set, and the labels that it has itself: subfolders, a column, an array.

    Parameters
    ----------
    x : path, frame, array, mapping of arrays, Inputs, sequence or iterable
    labels : str, optional
        The column of a table, or the array of an .npz file, that holds the labels.
    member : str, optional
        The array of an .npz file that holds the samples.

    Raises
    ------
    DataError
        Nothing can be read.
    UnknownNameError
        There is no such column or array.
    """
    if isinstance(x, str | os.PathLike):
        return _of_path(Path(x), labels, member)
    if isinstance(x, Inputs):
        return InputUnits(x), None
    if is_frame(x):
        return _of_cells(frame_cells(x), labels)
    if isinstance(x, np.ndarray) or (hasattr(x, "__array__") and not isinstance(x, Sequence)):
        return ArrayUnits({"": whole_array(x)}), None
    if isinstance(x, Mapping):
        arrays = {str(name): whole_array(array) for name, array in x.items()}
        if not any(array.ndim for array in arrays.values()):
            raise DataError("The arrays of the data set have no axis of samples. Give arrays (N, ...) by input name.")
        return ArrayUnits(arrays), None
    if isinstance(x, Sequence):
        if not len(x):
            raise DataError(EMPTY)
        if all(isinstance(one, os.PathLike) for one in x):
            return _of_files([Path(one) for one in x])
        return SequenceUnits(x), None
    if isinstance(x, Iterable):
        return IterableUnits(x), None
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        return SequenceUnits(x), None
    raise DataError(
        f"A data set is a folder, a file, a frame, arrays, a sequence or an iterable. Got {type(x).__name__} instead."
    )


def _of_path(path: Path, labels: str | None, member: str | None) -> tuple[Units, Labels | None]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _of_folder(path)
    if suffix in _CSV:
        rows = CsvRows.of(path)
        if labels is None:
            return CsvUnits(rows), None
        _check_column(labels, rows.titles)
        found: list[Label | None] = [None] * rows.count
        for start in range(0, rows.count, _LABEL_ROWS):
            cells = rows.cells(start, min(start + _LABEL_ROWS, rows.count))
            for number, label in zip(cells.numbers, _label_column(cells, labels), strict=True):
                found[number] = label
        return CsvUnits(rows, labels), _whole_labels(found)
    if suffix in PARQUET:
        return _of_parquet(path, labels)
    if suffix in SUFFIXES:
        return _of_array_file(path, labels, member)
    if not os.path.lexists(path):
        # One of several files is refused alone, when it is read.
        raise DataError(f"There is no file or folder '{path}'. Check the path.")
    return _of_files([path])


# Rows of a table that are read at once for their labels.
_LABEL_ROWS: Final = 8192


def _of_parquet(path: Path, labels: str | None) -> tuple[Units, Labels | None]:
    starts, sha256 = parquet_starts(path)
    if starts is None:
        return _of_cells(read_parquet(path, read_bytes(path, "table", MAX_TABLE_BYTES), None), labels)
    units = ParquetUnits(path, starts, sha256)
    if labels is None:
        return units, None
    found: list[Label | None] = []
    for start in range(0, units.count, _LABEL_ROWS):
        cells = units.given(start, min(start + _LABEL_ROWS, units.count), frozenset())
        _check_column(labels, list(cells.columns))
        found += _label_column(cells, labels)
    return ParquetUnits(path, starts, sha256, labels), _whole_labels(found)


def _of_cells(cells: Cells, labels: str | None) -> tuple[Units, Labels | None]:
    if labels is None:
        return CellUnits(cells), None
    _check_column(labels, list(cells.columns))
    return CellUnits(cells, labels), _whole_labels(_label_column(cells, labels))


def _label_column(cells: Cells, name: str) -> list[Label | None]:
    """The labels in a column; an empty cell is none."""
    column = cells.columns[name]
    labels = zip(column.values.tolist(), column.missing.tolist(), strict=True)
    return [None if gone or one == "" else one for one, gone in labels]


def _whole_labels(labels: list[Label | None]) -> list[Label | None]:
    """The labels of a column, whole numbers as such: pandas turns them into floats beside an empty cell."""
    if None not in labels:
        return labels
    if all(one is None or (isinstance(one, float) and one.is_integer()) for one in labels):
        return [None if one is None else int(one) for one in labels]
    if all(one is None or (isinstance(one, str) and _WHOLE_FLOAT.fullmatch(one.strip())) for one in labels):
        return [None if one is None else str(one).strip().removesuffix(".0") for one in labels]
    return labels


def _check_column(name: str, titles: Sequence[str]) -> None:
    if name not in titles:
        raise UnknownNameError.among("column of labels", name, titles)


def _of_array_file(path: Path, labels: str | None, member: str | None) -> tuple[Units, Labels | None]:
    names = [""]
    if path.suffix.lower() == ".npz" and path.is_file():
        with archived(path) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    if labels is not None:
        if labels not in names:
            raise UnknownNameError.among("array of labels", labels, names)
        names.remove(labels)
    units: Units
    if member is not None or len(names) == 1:
        rows = ArrayRows.of(path, member or names[0])
        units = ArrayUnits({"": read_array(path, member or names[0]).array}) if rows is None else ArrayFileUnits(rows)
    else:
        units = ArrayUnits(read_arrays(path, without=() if labels is None else (labels,)))
    if labels is None:
        return units, None
    return units, check_labels(read_array(path, labels, kinds=WORDS_TOO).array, units.count)


def _of_files(files: Sequence[Path]) -> tuple[Units, Labels | None]:
    names: list[str] = []
    folders = [file.is_dir() for file in files]
    for file, is_folder in zip(files, folders, strict=True):
        names += files_in(str(file)) if is_folder else [str(file)]
    return FileUnits(tuple(names), listed=any(folders)), None


def _of_folder(folder: Path) -> tuple[FileUnits, Labels | None]:
    """The files of a folder and of its subfolders, and the names of these as labels."""
    files, start = files_in(str(folder)), len(str(folder / "_")) - 1
    units = FileUnits(tuple(files), str(folder), listed=True)
    # A folder's own files precede those of its subfolders.
    if os.sep not in files[-1][start:]:
        return units, None
    ends = [file.find(os.sep, start) for file in files]
    return units, [file[start:end] if end >= 0 else None for file, end in zip(files, ends, strict=True)]


def labels_from_file(path: Path, files: Sequence[str]) -> list[Label | None]:
    """Return the labels of files from a CSV file, which names them in one of its columns.

    A name is the end of a path: ``cats/1.png``, or ``1.png`` or ``1`` if no other file has that name. Files that it
    does not name have no label.

    Raises
    ------
    DataError
        It cannot be read, has no column of labels, names none of the files, or one name stands for several files or has
        several labels.
    """
    cells = read_cells(path)
    titles = list(cells.columns)
    listed = [_ends(file) for file in files]
    known_ends = {end for ends in listed for end in ends}
    name = _column_of_files(cells, known_ends)
    headed = next((title for title in titles if _end(title) in known_ends), None)
    if headed is not None:
        raise DataError(
            f"'{path}', line 1: '{headed}' is a file, so there is no header. Put the names of the columns there: "
            "file,label."
        )
    if name is None:
        first = next(iter(cells.columns[titles[0]].values.tolist()), "")
        raise DataError(f"'{path}' names none of the files. Its first is '{first}'.")
    rest = [title for title in titles if title != name]
    label = "label" if "label" in rest else rest[0] if len(rest) == 1 else None
    if label is None:
        raise DataError(f"'{path}' has the columns {', '.join(titles)}. Name those of files and labels: file,label.")
    known: dict[str, Label | None] = {}
    values = _whole_labels(_label_column(cells, label))
    for file, value in zip(cells.columns[name].values.tolist(), values, strict=True):
        end = _end(file)
        if known.setdefault(end, value) != value:
            raise DataError(f"'{path}' has two labels for '{file}', {known[end]} and {value}. Keep one.")
    ends = [next((end for end in own if end in known), None) for own in listed]
    for shared, count in Counter(ends).items():
        if shared is not None and count > 1:
            one, other = [file for file, own in zip(files, ends, strict=True) if own == shared][:2]
            raise DataError(f"'{shared}' in '{path}' may be '{one}' or '{other}'. Name files with their folders.")
    return [None if end is None else known[end] for end in ends]


def _column_of_files(cells: Cells, ends: Set[str]) -> str | None:
    """The column with the most names of files, the first of several; numbers may be names and labels."""
    named = {
        title: len({_end(file) for file in column.values.tolist()} & ends) for title, column in cells.columns.items()
    }
    most = max(named, key=lambda title: named[title])
    return most if named[most] else None


def _end(file: object) -> str:
    return str(file).strip().replace("\\", "/").removeprefix("./")


def _ends(file: str) -> list[str]:
    """A path and its ends, the longest first, and these without the suffix."""
    parts = file.replace(os.sep, "/").split("/")
    ends = ["/".join(parts[at:]) for at in range(len(parts))]
    stem, dot, _ = parts[-1].rpartition(".")
    cut = len(parts[-1]) - len(stem)
    return [*ends, *(end[:-cut] for end in ends)] if stem and dot else ends


def check_labels(labels: Any, count: int | None) -> Labels:  # Any: users may pass anything
    """Return labels that are given as a sequence, an array or a column of a frame, as values of Python.

    Raises
    ------
    ParameterError
        They are not one for each unit, or one is more than one value.
    """
    found: list[Label | None]
    if is_series(labels):
        found = _whole_labels(_label_column(series_cells(labels, "label"), "label"))
    else:
        each = labels if isinstance(labels, Sequence) else whole_array(labels)
        found = _whole_labels([label_of(one) for one in each])
    if count is not None and len(found) != count:
        raise ParameterError(
            f"The data set has {counted(count, 'sample or file', 'samples or files')}, and "
            f"{counted(len(found), 'label is', 'labels are')} given."
        )
    return found
