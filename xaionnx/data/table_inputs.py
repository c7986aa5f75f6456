"""Which inputs of a model take which columns of a table: one tensor of columns, an input a column, or both."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from xaionnx.counting import counted
from xaionnx.data.frames import Frame, frame_cells, is_frame
from xaionnx.data.parquet_files import PARQUET
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_files import read_cells
from xaionnx.data.tables import Cells, Columns, Part, listed
from xaionnx.errors import DataError, InputMismatchError
from xaionnx.typing import DType

TABLES: Final = (".csv", *PARQUET)
_COLUMNS: Final = 2


class Declared(Protocol):
    """An input as the model declares it, such as a TensorInfo."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int | str | None, ...]: ...


def is_table_file(given: object) -> bool:
    """Whether this is the path of a CSV or Parquet file."""
    return isinstance(given, str | os.PathLike) and Path(given).suffix.lower() in TABLES


def is_row(given: object, inputs: Sequence[Declared]) -> bool:
    """Whether this is one row of a frame, and not what each input is: a mapping of single values by column.

    Inputs may also be single numbers, or be given as files.
    """
    if not isinstance(given, Mapping) or not is_frame(given):
        return False
    named = [one for one in inputs if one.name in given]
    return all(is_column(one) and one.shape and _is_cell(given[one.name], one) for one in named)


def _is_cell(value: object, one: Declared) -> bool:
    return not isinstance(value, str) or one.dtype.kind == "U"


def cells_of(given: Frame | str | os.PathLike[str], chosen: RowNumbers | None = None) -> Cells:
    """Return the cells of a frame, of one row of a frame, or of a CSV or Parquet file.

    Raises
    ------
    DataError
        They cannot be read.
    """
    return frame_cells(given) if is_frame(given) else read_cells(Path(given), chosen)


def takes_columns(spec: InputSpec, main: Declared) -> bool:
    """Whether rows of a table can be the input: the spec says so, or nothing contradicts it."""
    if spec.kind == "table":
        return True
    whole = len(main.shape) == _COLUMNS and (main.dtype.kind in "fU" or isinstance(main.shape[1], int))
    return (spec.guessed or spec.kind == "array") and whole


def table_parts(cells: Cells, inputs: Sequence[Declared], main: Declared, spec: InputSpec, model: str) -> list[Part]:
    """Return the columns that each input takes.

    An input with one column takes that of its own name. An input with several takes those of the spec, or all that no
    other input takes, in the order of the table.

    Raises
    ------
    DataError
        An input takes no columns, or it is not known which.
    """
    if len(inputs) == 1:
        return [_whole(cells, main, spec, [], model)]
    single = [one for one in inputs if is_column(one) and (one.name in cells.columns or one.name != spec.name)]
    parts = {one.name: Part(one.name, one.dtype, (one.name,), (1,) * (len(one.shape) - 1)) for one in single}
    rest = [one for one in inputs if one.name not in parts]
    if len(rest) > 1:
        names = " and ".join(f"'{one.name}'" for one in rest)
        raise DataError(
            f"{cells.shown} does not say which columns belong to the inputs {names} of {model}. Pass a dict with a "
            "frame or an array for each input by name."
        )
    if rest:
        parts[rest[0].name] = _whole(cells, rest[0], spec, list(parts), model)
    return [parts[one.name] for one in inputs]


def is_column(one: Declared) -> bool:
    """Whether an input takes one value for each sample, such as a column of a table."""
    shape = one.shape[1:]
    return not shape or (len(shape) == 1 and shape[0] == 1)


def _whole(cells: Cells, one: Declared, spec: Columns, others: Sequence[str], model: str) -> Part:
    """The columns of the input that takes several."""
    if len(one.shape) != _COLUMNS and not (len(one.shape) == 1 and len(spec.columns) <= 1):
        raise InputMismatchError(
            f"{cells.shown} is a table, but input '{one.name}' of {model} has "
            f"{counted(len(one.shape), 'axis', 'axes')}: ({', '.join(str(size) for size in one.shape)}). Pass an array."
        )
    width = one.shape[1] if len(one.shape) == _COLUMNS else 1
    columns = tuple(name for name in spec.columns if name not in others)
    if not columns:
        columns = tuple(name for name in cells.columns if name not in others and name not in spec.ignore)
        if isinstance(width, int) and width != len(columns):
            raise DataError(
                f"{cells.shown} has {counted(len(columns), 'column')} ({listed(columns)}), but input "
                f"'{one.name}' of {model} takes {width}. Leave out those that the model does not use, such as the "
                "label, or list its columns in order under 'columns' of a spec."
            )
    elif isinstance(width, int) and width != len(columns):
        raise DataError(
            f"The spec lists {counted(len(columns), 'column')}, but input '{one.name}' of {model} takes "
            f"{width}. Correct one."
        )
    return Part(one.name, one.dtype, columns, (len(columns),) if len(one.shape) == _COLUMNS else ())
