"""Diversity of rows: the determinant of their similarities, and rows that are chosen for it."""

from __future__ import annotations

from typing import Final

import numpy as np

from xaionnx.optimization.row_space import RowSpace
from xaionnx.typing import Array

# What is added to the diagonal, so that the determinant has a gradient where rows are equal.
_RIDGE: Final = 1e-4


def pairwise(space: RowSpace, rows: Array) -> Array:
    """Return the distances (K, K) of rows (K, F): changes of numbers in their scales, and 1 a changed category."""
    return np.stack([space.distance(rows, row) for row in rows])


def diversity(distances: Array) -> float:
    """Return the determinant of ``1 / (1 + distance)``, with 1e-4 added to the diagonal.

    References
    ----------
    Mothilal, Sharma and Tan, Explaining machine learning classifiers through diverse counterfactual explanations, FAT*
    2020, arXiv:1905.07697, equation 2.

    Examples
    --------
    >>> round(diversity(np.array([[0.0, 2.0], [2.0, 0.0]])), 3), f"{diversity(np.zeros((2, 2))):.8f}"
    (0.889, '0.00020001')
    """
    return float(np.linalg.det(_kernel(distances)))


def diversity_slope(distances: Array) -> Array:
    """Return the derivative (K, K) of the diversity with respect to each distance ``[i, j]``."""
    kernel = _kernel(distances)
    # The adjugate by minors: it exists where the kernel is singular.
    count = len(kernel)
    others = [np.delete(np.arange(count), k) for k in range(count)]
    minors = np.array(
        [[np.linalg.det(kernel[np.ix_(others[i], others[j])]) for j in range(count)] for i in range(count)]
    )
    signs = (-1.0) ** np.add.outer(np.arange(count), np.arange(count))
    return np.asarray(-signs * minors / (1 + distances) ** 2)


def chosen(space: RowSpace, row: Array, candidates: Array, count: int, proximity: float, weight: float) -> Array:
    """Return the candidates (K, F) whose diversity is large and that are near a row: greedily, then by exchanges.

    Maximised is ``weight * diversity - proximity * mean distance to the row``, with distances a variable.
    """
    variables = len(space.variables)
    away = space.distance(candidates, row) / variables
    between = pairwise(space, candidates) / variables

    def value(some: list[int]) -> float:
        return weight * diversity(between[np.ix_(some, some)]) - proximity * float(away[some].mean())

    every = range(len(candidates))
    found: list[int] = []
    while len(found) < min(count, len(candidates)):
        found.append(max((k for k in every if k not in found), key=lambda k: value([*found, k])))
    for _ in range(3):
        before = list(found)
        for place in range(len(found)):
            rest = found[:place] + found[place + 1 :]
            found[place] = max((k for k in every if k not in rest), key=lambda k: value([*rest, k]))
        if found == before:
            break
    return candidates[sorted(found, key=lambda k: float(away[k]))]


def _kernel(distances: Array) -> Array:
    return 1 / (1 + distances) + _RIDGE * np.eye(len(distances))
