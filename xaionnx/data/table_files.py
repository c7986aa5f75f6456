"""Tables in files: rows of CSV, Parquet and array files, for one input (N, F) or as cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import DTypeLike

from xaionnx.data.arrays import SUFFIXES, ArrayFile, read_array
from xaionnx.data.csv_files import read_csv
from xaionnx.data.files import Refusal, read_bytes
from xaionnx.data.parquet_files import PARQUET, read_parquet
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.tables import MAX_TABLE_BYTES, Cells, Columns, Part, convert_cells, missing_note
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
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
        The array is not a table, or has other columns.
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


def read_cells(path: Path, chosen: RowNumbers | None = None) -> Cells:
    """Read a CSV or Parquet file, without converting its cells; ``chosen`` are the rows to read, all if None.

    Raises
    ------
    DataError
        The file cannot be read, or has no such rows.
    """
    data = read_bytes(path, "table", MAX_TABLE_BYTES)
    return read_parquet(path, data, chosen) if path.suffix.lower() in PARQUET else read_csv(path, data, chosen)
