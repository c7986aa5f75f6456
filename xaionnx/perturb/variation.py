"""Total variation: how much neighbours differ, and how it changes with each value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array


def total_variation(values: Array, axes: Sequence[int], power: int) -> tuple[Array, Array]:
    """Return the total variation (N,) of arrays (N, ...), and its slope in their shape::

        V = sum over axes and neighbours i, j along them of |x_j - x_i|^power

    Examples
    --------
    >>> value, slope = total_variation(np.float32([[0, 1, 3]]), (1,), 2)
    >>> value, slope
    (array([5.]), array([[-2., -2.,  4.]], dtype=float32))
    """
    value, slope = np.zeros(len(values)), np.zeros_like(values)
    for axis in axes:
        steps = np.diff(values, axis=axis)
        value += (np.abs(steps).astype(np.float64) ** power).sum(axis=tuple(range(1, values.ndim)))
        ends = [(1, 1) if at == axis else (0, 0) for at in range(values.ndim)]
        # What a difference adds at its end, it takes away at its start.
        slope -= np.diff(np.pad(power * np.sign(steps) * np.abs(steps) ** (power - 1), ends), axis=axis)
    return value, slope
