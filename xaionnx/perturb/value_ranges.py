"""The value range of an input, which scales noise, the distance of neighbours and the steps of finite differences."""

from __future__ import annotations

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.element_types import typed, value_range
from xaionnx.perturb.rows import RowsLike, other_shape, rows_of
from xaionnx.typing import Array


def value_ranges(sample: Sample, name: str) -> Array:
    """Return the value range of an input, as an array that broadcasts to it.

    From black to white if a spec defines them; ``max(|x_j|, 1)`` for each column of a row; else from the lowest to the
    highest value, or the largest absolute value, at least 1, if all are equal. Missing numbers do not count, and have
    no range as columns of a row.
    """
    x = np.asarray(sample.x[name], dtype=np.float64)
    if holds_columns(sample, name):
        return np.maximum(np.abs(x), 1)
    low, high = value_range(sample, name)
    widest = float(np.max(high - low))
    return np.asarray(widest if widest > 0 else np.abs(x[np.isfinite(x)]).max(initial=1.0))


def holds_columns(sample: Sample, name: str) -> bool:
    """Whether an input is a row of numbers that need not be alike, so that they have no range in common."""
    return sample.x[name].ndim < 2 and sample.pixels_of(name) is None and sample.positions(name) is None


def ranges_over_rows(rows: RowsLike, sample: Sample, name: str) -> Array:
    """Return the range over rows of data of each column of an input; of all values of a picture or a series together.

    Missing and infinite numbers do not count.

    Raises
    ------
    InputMismatchError, ParameterError
        These are no rows of this input.
    """
    x, given = sample.x[name], rows_of(rows, sample, name)
    axes = 0 if holds_columns(sample, name) else None
    if axes == 0 and given.shape[1:] != x.shape:
        raise other_shape(given, x, name)
    found = typed(given, x.dtype, name).astype(np.float64)
    finite = np.isfinite(found)
    high = np.where(finite, found, -np.inf).max(axis=axes)
    low = np.where(finite, found, np.inf).min(axis=axes)
    return np.asarray(np.maximum(high - low, 0))
