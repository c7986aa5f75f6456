"""The tables of leaves of trees, from which the values of rows are looked up; the mathematics is in ``trees``.

All tables have an entry for each set of the d players of a path, whose bits are the number of the entry: (2^d, L) for L
leaves with equally many players, so that sums over sets are sums of long rows.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

# Any: single and double precision.
Floats = npt.NDArray[np.floating[Any]]


def of_counts(counts: Floats, total: float) -> Floats:
    """Return g(S), the share of background rows that satisfy the conditions of all players outside S.

    Parameters
    ----------
    counts : (2^d, L)
        The weight of the rows of each pattern. Overwritten.
    total : float
        The weight of all rows.

    Examples
    --------
    >>> of_counts(np.array([[1.0], [0.0], [2.0], [1.0]]), 4.0)[:, 0]  # nobody, player 0, player 1, both
    array([0.25, 0.75, 0.25, 1.  ])
    """
    for pair in _pairs(counts):
        pair[:, 0] += pair[:, 1]
    # An entry is now the weight of rows whose pattern contains the set, which is the complement of S.
    shares: Floats = counts[::-1] / total
    return shares


def of_products(shares: Floats) -> Floats:
    """Return g(S), the product of the shares (d, L) of the players outside S.

    Examples
    --------
    >>> of_products(np.array([[0.5], [0.25]]))[:, 0]
    array([0.125, 0.25 , 0.5  , 1.   ])
    """
    products = np.ones((1, shares.shape[1]))
    for share in shares:
        products = np.concatenate([products * share, products])
    return products


def of_values(g: Floats) -> tuple[Floats, Floats]:
    """Return K(p) and K(p) + N(p), from g(S) (2^d, L)."""
    sizes, weights = _sizes(len(g)), _weights(len(g), 1)
    present, absent = g * np.append(0, weights)[sizes, None], g * np.append(weights, 0)[sizes, None]
    for table in (present, absent):
        _sum_subsets(table)
    absent += present
    return present, absent


def of_interactions(g: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the tables of interaction values from g(S) (2^d, L).

    With w(s) = s! (d - 2 - s)! / (d - 1)! and sums over subsets S of a pattern p, let A, B and C be those of
    w(|S| - 2) g(S), w(|S| - 1) g(S) and w(|S|) g(S). The tables are A, A + B and A + 2 B + C, so that the interaction
    value of i and j is ``first[p] - second[p - i] - second[p - j] + third[p - i - j]``.
    """
    sizes, weights = _sizes(len(g)), _weights(len(g), 2)
    padded = ([0, 0, *weights], [0, *weights, 0], [*weights, 0, 0])
    both, one, none = (g * np.array(each, float)[sizes, None] for each in padded)
    for table in (both, one, none):
        _sum_subsets(table)
    none += both + 2 * one
    one += both
    return both, one, none


def _pairs(table: Floats) -> list[Floats]:
    """Views (-1, 2, 2^k, L) of a table, for each player k: entries without it, and with it."""
    return [table.reshape(-1, 2, 2**k, table.shape[1]) for k in range(len(table).bit_length() - 1)]


def _sum_subsets(table: Floats) -> None:
    """Replace each entry by the sum of the entries of all subsets of its set."""
    for pair in _pairs(table):
        pair[:, 1] += pair[:, 0]


@cache
def _sizes(entries: int) -> npt.NDArray[np.intp]:
    """The number of players in each set."""
    return np.array([number.bit_count() for number in range(entries)], np.intp)


@cache
def _weights(entries: int, order: int) -> Floats:
    """s! (d - order - s)! / (d - order + 1)! for s = 0, ..., d - order, for d players; none if d < order."""
    rest = entries.bit_length() - 1 - order
    return np.array([1 / (math.comb(rest, s) * (rest + 1)) for s in range(rest + 1)])
