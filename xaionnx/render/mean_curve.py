"""The mean curve over samples, of which each may have points of its own."""

from __future__ import annotations

from typing import Final

import numpy as np

from xaionnx.typing import Array

# Points of a mean over curves that have different ones.
_POINTS: Final = 101


def mean_curve(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the points x and y of the mean of N curves; none if no sample has a curve.

    Curves with different points, such as those of texts of different lengths, are read between them along straight
    lines, at even distances: the mean of their first points, of their second ones and so on is the mean at no x.

    Parameters
    ----------
    x, y : array (N, K)
        The points of each sample, with rising x; NaN where it has fewer.

    Examples
    --------
    >>> x, y = mean_curve(np.array([[0, 1, np.nan], [0, 0.5, 1]]), np.array([[1, 0, np.nan], [1, 0, 0]]))
    >>> y[[0, 25, 50, 100]]
    array([1.   , 0.625, 0.25 , 0.   ])
    """
    known = np.isfinite(x) & np.isfinite(y)
    curves = [(own_x[own], own_y[own]) for own_x, own_y, own in zip(x, y, known, strict=True) if own.any()]
    if not curves:
        return np.zeros(0), np.zeros(0)
    first, _ = curves[0]
    if all(np.array_equal(own, first) for own, _ in curves):
        return first, np.mean([own for _, own in curves], axis=0)
    found = np.linspace(x[known].min(), x[known].max(), _POINTS)
    each = np.stack([np.interp(found, *curve, left=np.nan, right=np.nan) for curve in curves])
    between = np.isfinite(each).any(axis=0)
    return found[between], np.nanmean(each[:, between], axis=0)
