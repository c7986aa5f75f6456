"""Frames of pandas, polars and pyarrow, their rows, and Parquet files, as cells of a table.

narwhals, which scikit-learn brings, gives the three one interface; none of them is imported unless the user has.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from xaionnx.data.columns import Column, column_of
from xaionnx.data.tables import Cells
from xaionnx.errors import DataError, InputMismatchError

# The name under which pandas writes an index that has none.
_INDEX: Final = "__index_level_0__"
_SCALARS: Final = (str, int, float, bool, np.generic, type(None))

_DATES: Final = (nw.Date, nw.Datetime, nw.Duration, nw.Time)

# Asking all libraries of frames takes longer than reading some of these.
_NO_FRAMES: Final = (str, os.PathLike, np.ndarray)

# Any: a frame of any library.
Frame = Any


def is_frame(given: object) -> TypeGuard[Frame]:
    """Whether this is a frame of pandas, polars or pyarrow, one row of a frame, or the cells of some rows of a table.

    A row is a Series of pandas whose index holds the names of the columns, or a mapping of single values by column.
    """
    if isinstance(given, _NO_FRAMES):
        return False
    return isinstance(given, Cells) or _is_table(given) or _is_named_series(given) or _is_row(given)


def is_series(given: object) -> bool:
    """Whether this is a column of a frame."""
    return not isinstance(given, _NO_FRAMES) and nw.dependencies.is_into_series(given)


def is_reordered(column: Frame, frame: Frame) -> bool:
    """Whether a column has the index of a frame of pandas in another order: its rows are others than by place.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [41, 30]})
    >>> is_reordered(pd.Series([1, 0]), frame), is_reordered(pd.Series([1, 0]), frame[::-1])
    (False, True)
    """
    if not _is_table(frame) or _is_lazy(frame):
        return False
    found = [nw.maybe_get_index(nw.from_native(one, allow_series=True)) for one in (column, frame)]
    own, other = [None if index is None else list(index) for index in found]
    return own is not None and other is not None and own != other and Counter(own) == Counter(other)


def _is_table(given: object) -> bool:
    return nw.dependencies.is_into_dataframe(given) or _is_lazy(given) or _is_record_batch(given)


def _is_lazy(given: object) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(given, polars.LazyFrame)


def _is_record_batch(given: object) -> bool:
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(given, pyarrow.RecordBatch)


def _is_named_series(given: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(given, pandas.Series) and all(isinstance(n, str) for n in given.index)


def _is_row(given: object) -> bool:
    return isinstance(given, Mapping) and len(given) > 0 and all(isinstance(one, _SCALARS) for one in given.values())


def frame_cells(given: Frame, shown: str = "The frame") -> Cells:
    """Return the cells of a frame, or of one row of it; cells are returned as they are.

    Raises
    ------
    DataError
        A column holds what no model reads, such as dates.
    InputMismatchError
        The frame is lazy, has no rows, or two columns of one name.

    Examples
    --------
    >>> cells = frame_cells({"age": 41, "housing": "own"})
    >>> [(column.name, column.kind) for column in cells.columns.values()], cells.names
    ([('age', 'numbers'), ('housing', 'text')], ('x[0]',))
    """
    if isinstance(given, Cells):
        return given
    if _is_lazy(given):
        raise InputMismatchError(f"{shown} is lazy: nothing of it has been computed. Pass frame.collect().")
    if not _is_table(given):
        return _row_cells(given, shown)
    if _is_record_batch(given):
        given = sys.modules["pyarrow"].Table.from_batches([given])
    titles = [str(title) for title in getattr(given, "column_names", given.columns)]
    if twice := [title for title in dict.fromkeys(titles) if titles.count(title) > 1]:
        raise InputMismatchError(f"{shown} has two columns named '{twice[0]}'. Rename or remove one.")
    if any(not isinstance(title, str) for title in given.columns) and hasattr(given, "set_axis"):
        # Names of pandas may be of any type.
        given = given.set_axis(titles, axis=1)
    frame = nw.from_native(given, eager_only=True)
    if not len(frame):
        raise InputMismatchError(f"{shown} has no rows. Pass at least one.")
    labels = _labels(frame)
    columns = {}
    for title, name in zip(titles, frame.columns, strict=True):
        if title == _INDEX and labels is None:
            labels = frame[name].to_list()
            continue
        columns[title] = _column(frame[name], title, shown)
    return _cells(shown, columns, len(frame), labels, _dropping(frame))


def series_cells(given: Frame, name: str) -> Cells:
    """Return the cells of one column of a frame, under the ``name`` of the input that takes it.

    Raises
    ------
    DataError
        It holds what no model reads.
    """
    series = nw.from_native(given, series_only=True)
    shown = f"The column for input '{name}'"
    return _cells(shown, {name: _column(series, name, shown)}, len(series), None)


def _cells(
    shown: str, columns: Mapping[str, Column], count: int, labels: Sequence[object] | None, drop: str = "Leave it out"
) -> Cells:
    numbers = range(count)
    if labels is None:
        names = [f"x[{number}]" for number in numbers]
        return Cells(Path("x"), shown, columns, tuple(numbers), tuple(names), drop=drop)
    names = [label if isinstance(label, str) else f"row {label}" for label in labels]
    marks = tuple(f" (index {label})" for label in labels)
    return Cells(Path("x"), shown, columns, tuple(numbers), tuple(names), marks, drop=drop)


def _row_cells(given: Frame, shown: str) -> Cells:
    """The cells of one row."""
    label = None if isinstance(given, Mapping) else [given.name]
    cells = {str(name): value for name, value in given.items()}
    if len(cells) < len(given):
        raise InputMismatchError(f"{shown} has two columns of one name. Rename or remove one.")
    columns = {name: _objects(name, [value], np.array([_is_missing(value)]), shown) for name, value in cells.items()}
    return _cells(shown, columns, 1, label)


def _is_missing(value: object) -> bool:
    # NaN and NaT are not equal to themselves; the NA of pandas is neither equal nor unequal.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


# Any: narwhals names the library of a frame, which is not known here.
def _labels(frame: nw.DataFrame[Any]) -> list[object] | None:
    """The index of a frame of pandas; None if there is none, or it only counts the rows."""
    index = nw.maybe_get_index(frame)
    if index is None:
        return None
    labels = list(index)
    return None if all(isinstance(one, int) and one == n for n, one in enumerate(labels)) else labels


# Any: as above.
def _dropping(frame: nw.DataFrame[Any]) -> str:
    implementation = frame.implementation
    if implementation.is_polars():
        return "Drop it, as in frame.drop('{}')"
    return "Drop it, as in frame.drop(columns='{}')" if implementation.is_pandas_like() else "Drop it"


# Any: as above.
def _column(series: nw.Series[Any], name: str, shown: str) -> Column:
    dtype = series.dtype
    missing: NDArray[np.bool_] = series.is_null().to_numpy().astype(bool)
    if dtype in _DATES:
        raise DataError(
            f"{shown}: the column '{name}' holds dates or times ({type(dtype).__name__}), which no model reads. "
            "Convert it to numbers as it was for training, such as the days since a fixed day."
        )
    if dtype == nw.Boolean:
        return Column(name, "booleans", series.fill_null(False).to_numpy().astype(bool), missing)
    if dtype.is_integer():
        filled = series.fill_null(0) if missing.any() else series
        return Column(name, "numbers", np.array(filled.to_numpy(), np.uint64 if _is_big(dtype) else np.int64), missing)
    if dtype.is_float() or dtype.is_decimal():
        values = series.cast(nw.Float64).to_numpy().astype(np.float64)
        return Column(name, "numbers", values, missing | np.isnan(values))
    if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object, nw.Unknown):
        return _objects(name, series.to_list(), missing, shown)
    raise DataError(f"{shown}: the column '{name}' holds {dtype}, which no input of a model takes. Convert or drop it.")


def _is_big(dtype: object) -> bool:
    return dtype == nw.UInt64


def _objects(name: str, cells: Sequence[object], missing: NDArray[np.bool_], shown: str) -> Column:
    try:
        return column_of(name, cells, missing)
    except DataError as error:
        raise DataError(f"{shown}: the column '{name}' {error}") from error
