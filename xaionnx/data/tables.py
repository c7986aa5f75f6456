"""Tables: rows of CSV and Parquet files, of arrays and of frames, converted strictly to the inputs of a model.

A file or a frame is read into `Cells`, which :func:`convert_cells` alone converts, whatever they came from: columns are
found by name, a bad row is left out and named, and a column of another kind is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, final

import numpy as np

from xaionnx.data.columns import Column, convert_column
from xaionnx.data.files import Refusal
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType

MAX_TABLE_BYTES: Final = 512 * 2**20

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
        What messages say about a row besides its number, such as ``(line 2)``; empty if there is nothing to say.
    unread : tuple of Refusal
        Rows whose cells cannot be told apart, such as blank and ragged lines.
    sha256 : str or None
        Hash of the file; None in memory.
    drop : str
        How to take a column out of the table, in words, with its name as ``{}``.
    doubt : str
        Why the titles may be a row instead, if nothing names them; empty if they are titles.
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
    doubt: str = ""

    __repr__ = short_repr

    def place(self, row: int) -> str:
        """Return where a row is, in words: ``'rows.csv', row 0 (line 2)``."""
        return f"{self.shown}, row {self.numbers[row]}{self.marks[row] if self.marks else ''}"

    def at(self, rows: Sequence[int]) -> Cells:
        """Return some of the rows, by their indices."""
        at = list(rows)
        return replace(
            self,
            columns={
                name: replace(column, values=column.values[at], missing=column.missing[at])
                for name, column in self.columns.items()
            },
            numbers=tuple(self.numbers[row] for row in at),
            names=tuple(self.names[row] for row in at),
            marks=tuple(self.marks[row] for row in at) if self.marks else (),
        )

    def of_file(self, path: Path, sha256: str | None) -> Cells:
        """Return the cells as those of a whole file, with its name and hash, and rows that are counted from 0."""
        names = tuple(f"{path}[{number}]" for number in self.numbers)
        return Cells(path, f"'{path}'", self.columns, self.numbers, names, sha256=sha256)


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


def missing_note(count: int, nan: str | None, what: str) -> list[str]:
    """Return a note on missing values that are NaN for the model; empty if there are none."""
    return [f"{count} missing {what if count > 1 else what[:-1]} read as NaN, {nan}"] if count else []


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
        A column is missing, left over, or of another kind than its input takes, or the titles may be a row.
    """
    if cells.doubt and not (spec.columns and set(spec.columns) <= set(cells.columns)):
        raise DataError(cells.doubt)
    cells, renamed = _exported_names(cells, parts)
    check_columns(cells, [column for part in parts for column in part.columns], spec)
    faults: dict[int, str] = {}
    notes = dict.fromkeys(renamed)
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


def _exported_names(cells: Cells, parts: Sequence[Part]) -> tuple[Cells, list[str]]:
    """The table with the names that exporters gave to inputs of one column each, and a note on each that is another.

    An identifier has letters, digits and underscores, and begins with no digit: skl2onnx writes ``fare (GBP)`` as
    ``fare__GBP_`` and ``2nd`` as ``_2nd``. A name that stands for several columns is no name of any.
    """
    single = {part.input for part in parts if part.columns == (part.input,)}
    absent, known = single - {*cells.columns}, {name for part in parts for name in part.columns}
    alike: dict[str, list[str]] = {}
    for title in [title for title in cells.columns if title not in known]:
        for name in {_identifier(title, re.UNICODE), _identifier(title, re.ASCII)} & absent:
            alike.setdefault(name, []).append(title)
    found = {titles[0]: name for name, titles in alike.items() if len(titles) == 1}
    columns = {found.get(title, title): column for title, column in cells.columns.items()}
    notes = [f"the column '{title}' is the input '{name}'" for title, name in found.items()]
    return (replace(cells, columns=columns), notes) if found else (cells, [])


def _identifier(title: str, flags: re.RegexFlag) -> str:
    name = re.sub(r"\W", "_", title, flags=flags)
    return f"_{name}" if name[:1].isdigit() else name


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
