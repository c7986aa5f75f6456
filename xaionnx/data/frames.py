"""Frames of pandas, polars and pyarrow, their rows, and Parquet files, as cells of a table.

narwhals, which scikit-learn brings, gives the three one interface; none of them is imported unless the user has, and
narwhals where something may be a frame: its import takes longer than those of all readers of files together.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import numpy as np

from xaionnx.data.tables import Cells
from xaionnx.errors import InputMismatchError

_SCALARS: Final = (str, int, float, bool, np.generic, type(None))

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
    return not isinstance(given, _NO_FRAMES) and _narwhals().dependencies.is_into_series(given)


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
    nw = _narwhals()
    found = [nw.maybe_get_index(nw.from_native(one, allow_series=True)) for one in (column, frame)]
    own, other = [None if index is None else list(index) for index in found]
    return own is not None and other is not None and own != other and Counter(own) == Counter(other)


def _narwhals() -> Any:  # Any: a module
    import narwhals.stable.v2 as nw

    return nw


def _is_table(given: object) -> bool:
    return _narwhals().dependencies.is_into_dataframe(given) or _is_lazy(given) or _is_record_batch(given)


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
    # Here, as it imports narwhals.
    from xaionnx.data.frame_reading import row_cells, table_cells

    if not _is_table(given):
        return row_cells(given, shown)
    return table_cells(sys.modules["pyarrow"].Table.from_batches([given]) if _is_record_batch(given) else given, shown)


def series_cells(given: Frame, name: str) -> Cells:
    """Return the cells of one column of a frame, under the ``name`` of the input that takes it.

    Raises
    ------
    DataError
        It holds what no model reads.
    """
    # As above.
    from xaionnx.data.frame_reading import column_cells

    return column_cells(given, name)
