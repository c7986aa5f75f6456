"""The cells of frames, of their columns and rows, as narwhals reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from xaionnx.data.columns import Column, column_of
from xaionnx.data.frames import Frame
from xaionnx.data.tables import Cells
from xaionnx.errors import DataError, InputMismatchError

# The name under which pandas writes an index that has none.
_INDEX: Final = "__index_level_0__"

_DATES: Final = (nw.Date, nw.Datetime, nw.Duration, nw.Time)


def table_cells(given: Frame, shown: str) -> Cells:
    """Return the cells of a frame; see `xaionnx.data.frames.frame_cells`."""
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


def column_cells(given: Frame, name: str) -> Cells:
    """Return the cells of one column; see `xaionnx.data.frames.series_cells`."""
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


def row_cells(given: Frame, shown: str) -> Cells:
    """Return the cells of one row; see `xaionnx.data.frames.frame_cells`."""
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
