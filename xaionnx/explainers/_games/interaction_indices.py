"""Interaction indices as weights of dividends, and of the values of coalitions.

Every index of a set S here is a sum over its supersets U of a weight that depends on their sizes alone::

    I(S) = sum over U with S in U of w(|S|, |U|) m(U),     m(U) = sum over T in U of (-1)^(|U| - |T|) v(T)
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import comb
from typing import Final

import numpy as np
from xaionnx_kernels.interactions import dividends, subsets, superset_sums

from xaionnx.typing import Array, Document

# Numbers of Bernoulli, B_0 to B_2.
_BERNOULLI: Final = (Fraction(1), Fraction(-1, 2), Fraction(1, 6))

# The weight of a set of s players, among those of at most n, for a superset of u.
Weight = Callable[[int, int, int], Fraction]


def _sii(s: int, u: int, n: int) -> Fraction:
    """Grabisch and Roubens 1999: the mean of the derivative of S, over sizes and then over coalitions of others."""
    del n
    return Fraction(1, u - s + 1)


def _k_sii(s: int, u: int, n: int) -> Fraction:
    """Bordt and von Luxburg 2023: SII, of which what larger sets hold is taken off by numbers of Bernoulli."""
    return sum(
        (_BERNOULLI[r - s] * comb(u - s, r - s) * _sii(r, u, n) for r in range(s, min(n, u) + 1)), start=Fraction(0)
    )


def _stii(s: int, u: int, n: int) -> Fraction:
    """Sundararajan et al. 2020: dividends of small sets, and equal shares of the others for sets of n players."""
    if s < n:
        return Fraction(int(u == s))
    return Fraction(1, comb(u, n))


def _fsii(s: int, u: int, n: int) -> Fraction:
    """Tsai et al. 2023, theorem 19: the least-squares fit with the weights of KernelSHAP."""
    if u <= n:
        return Fraction(int(u == s))
    sign = -1 if (n - s) % 2 else 1
    return Fraction(sign * s * comb(n, s) * comb(u - 1, n), (n + s) * comb(u + n - 1, n + s))


def _bii(s: int, u: int, n: int) -> Fraction:
    """Grabisch and Roubens 1999: the mean of the derivative of S over all coalitions of others."""
    del n
    return Fraction(1, 2 ** (u - s))


def _fbii(s: int, u: int, n: int) -> Fraction:
    """Tsai et al. 2023, theorem 17: the least-squares fit with equal weights (Hammer and Holzman 1992)."""
    if u <= n:
        return Fraction(int(u == s))
    sign = -1 if (n - s) % 2 else 1
    return Fraction(sign * comb(u - s - 1, n - s), 2 ** (u - s))


INDICES: Final[dict[str, Weight]] = {
    "k_sii": _k_sii,
    "sii": _sii,
    "stii": _stii,
    "fsii": _fsii,
    "bii": _bii,
    "fbii": _fbii,
}
"""The weight of each index by name."""


def matrix_facts(index: str) -> Document:
    """What the record says about ``maps["interactions"]``, which all methods write alike.

    Half of a pair's value is on either side of the diagonal: the sum of the matrix counts each pair once, and its rows
    are Shapley values for indices that share the whole change.
    """
    return {"interactions": {"index": index, "off_diagonal": "half"}}


def exact_interactions(values: Array, index: str, order: int) -> list[Array]:
    """The index of all sets of 1 to ``order`` players, from the values of all coalitions.

    Parameters
    ----------
    values : array (2^P, T)

    Returns
    -------
    list of arrays (T, C(P, s)), s = 1 .. order
        In the order of `xaionnx_kernels.interactions.subsets`.
    """
    players = len(values).bit_length() - 1
    own, sizes = dividends(values), np.array([row.bit_count() for row in range(len(values))])
    found = []
    for sets in subsets(players, min(order, players)):
        s = sets.shape[1]
        weights = [float(INDICES[index](s, u, order)) if u >= s else 0.0 for u in range(players + 1)]
        sums = superset_sums(own * np.array(weights)[sizes, None])
        found.append(sums[(1 << sets).sum(axis=1)].T)
    return found


@cache
def coalition_weights(index: str, players: int, order: int, s: int) -> Array:
    """C(P, t) times the weight of v(T) in the index of a set of s players, by |T| = t and the number j of them in T.

    Returns
    -------
    array (P + 1, s + 1)
    """
    weights = [INDICES[index](s, u, order) if u >= s else Fraction(0) for u in range(players + 1)]
    table = np.zeros((players + 1, s + 1))
    for t in range(players + 1):
        for j in range(max(0, s + t - players), min(s, t) + 1):
            joint = t + s - j
            total = sum(
                (comb(players - joint, u - joint) * (-1) ** (u - t) * weights[u] for u in range(joint, players + 1)),
                start=Fraction(0),
            )
            table[t, j] = float(comb(players, t) * total)
    return table
