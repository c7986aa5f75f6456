"""Discrete derivatives of games on all coalitions, and the terms of interactions of few players.

Row r of an array over all 2^P coalitions contains player j where bit j of r is set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

__all__ = ["dividends", "members_present", "products", "subsets", "superset_sums"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def subsets(players: int, order: int) -> list[Ints]:
    """Return the sets of 1 to ``order`` players in lexicographic order: one array (C(P, s), s) for each size s.

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> [each.tolist() for each in subsets(3, 2)]
    [[[0], [1], [2]], [[0, 1], [0, 2], [1, 2]]]
    """
    if players < 1 or order < 1:
        raise ValueError(f"'players' and 'order' must be in [1, inf). Got {players!r}, {order!r} instead.")
    return [
        np.array([*combinations(range(players), size)], np.int64).reshape(math.comb(players, size), size)
        for size in range(1, order + 1)
    ]


def dividends(values: Floats) -> Floats:
    r"""Return the Harsanyi dividends (Moebius transform) of a game: the derivatives of all sets at the empty coalition.

    .. math:: m(S) = \sum_{T \subseteq S} (-1)^{|S| - |T|} v(T)

    Parameters
    ----------
    values : (2^P, ...) float64
        v of all coalitions.

    Returns
    -------
    (2^P, ...) float64

    Raises
    ------
    ValueError
        The length is not a power of two.

    Examples
    --------
    >>> dividends(np.array([0.0, 1.0, 2.0, 6.0])).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    found = np.array(values, dtype=np.float64)
    for halves in _halves(found):
        halves[:, 1] -= halves[:, 0]
    return found


def superset_sums(values: Floats) -> Floats:
    """Return for each coalition the sum of ``values`` (2^P, ...) over the coalitions that contain it, itself included.

    Raises
    ------
    ValueError
        The length is not a power of two.

    Examples
    --------
    >>> superset_sums(np.array([0.0, 1.0, 2.0, 3.0])).tolist()
    [6.0, 4.0, 5.0, 3.0]
    """
    found = np.array(values, dtype=np.float64)
    for halves in _halves(found):
        halves[:, 0] += halves[:, 1]
    return found


def products(coalitions: Bools, sets: Ints) -> Floats:
    """Return 1 where a coalition contains all players of a set, else 0: (M, K) for (M, P) and (K, s).

    Examples
    --------
    >>> products(np.array([[True, True, False]]), np.array([[0, 1], [1, 2]])).tolist()
    [[1.0, 0.0]]
    """
    found = coalitions[:, sets[:, 0]].astype(np.float64)
    for column in range(1, sets.shape[1]):
        found *= coalitions[:, sets[:, column]]
    return found


def members_present(coalitions: Bools, sets: Ints) -> npt.NDArray[np.int8]:
    """Return how many players of a set a coalition contains: (M, K) for (M, P) and (K, s).

    Examples
    --------
    >>> members_present(np.array([[True, True, False]]), np.array([[0, 1], [1, 2]])).tolist()
    [[2, 1]]
    """
    found = coalitions[:, sets[:, 0]].astype(np.int8)
    for column in range(1, sets.shape[1]):
        found += coalitions[:, sets[:, column]]
    return found


def _halves(array: Floats) -> Iterator[Floats]:
    """Yield views of the values of all coalitions, (..., 2, ...): for each player without it and with it."""
    for bit in range(_bits(array)):
        yield array.reshape(-1, 2, 2**bit, *array.shape[1:])


def _bits(array: Floats) -> int:
    bits = len(array).bit_length() - 1
    if len(array) != 2**bits:
        raise ValueError(f"The values must be those of all 2^P coalitions. Got {len(array)} instead.")
    return bits
