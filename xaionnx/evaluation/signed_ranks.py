"""Paired tests of scores of the same samples, by their signed ranks, and the correction for many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from xaionnx.typing import Array, Floats

LEVEL: Final = 0.05
"""The share of false alarms that the tests of one metric allow together."""

# Differences that are tested exactly, and whose numbers of signs a float64 counts.
_EXACT: Final = 50
# Samples below which nothing is tested, however few tests there are.
_FEWEST: Final = 6


def fewest_samples(tests: int) -> int:
    """Return how many samples tell anything apart by several tests: with fewer, the smallest p values are too large.

    Of n differences of one sign, Wilcoxon's test has the p value ``2 ** -n``, multiplied by the number of tests. A
    single test takes six samples too, though five of one sign would do.

    Examples
    --------
    >>> fewest_samples(1), fewest_samples(12), fewest_samples(39)
    (6, 8, 10)
    """
    return max(_FEWEST, math.floor(math.log2(tests / LEVEL)) + 1)


def p_greater(one: Floats, other: Floats, tests: int) -> float:
    """Return the p value of the test that values (N,) of one are no greater than those of the other.

    Pairs in which either is NaN do not count; it is NaN if too few do.
    """
    # Of a recommendation, some methods are judged on the first samples alone.
    count = min(len(one), len(other))
    differences = one[:count] - other[:count]
    differences = differences[np.isfinite(differences)]
    return p_of_signed_ranks(differences) if len(differences) >= fewest_samples(tests) else math.nan


def p_of_signed_ranks(differences: Floats) -> float:
    """Return the p value of Wilcoxon's signed rank test that differences (N,) are no greater than 0.

    Differences of 0 count half on each side. To 50 differences it is exact, with ties too, where scipy tries all signs
    one after another, for half a second of a test; for more it is that of the normal approximation.

    References
    ----------
    Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945.

    Examples
    --------
    >>> p_of_signed_ranks(np.array([1.0, 2.0, 3.0])), p_of_signed_ranks(np.array([1.0, -1.0]))
    (0.125, 0.75)
    """
    from scipy.stats import rankdata, wilcoxon

    if not differences.any():
        return 1.0
    if len(differences) > _EXACT:
        return float(wilcoxon(differences, zero_method="zsplit", alternative="greater").pvalue)
    # Twice the ranks are whole numbers with ties too.
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)
    signed = ranks[differences != 0]
    # How many of the 2^N ways to give signs lead to each sum of the positive ranks.
    ways = np.zeros(signed.sum() + 1)
    ways[0] = 1
    for rank in signed:
        ways[rank:] += ways[:-rank].copy()
    return float(ways[ranks[differences > 0].sum() :].sum() / ways.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number after Holm; NaN stay and do not count.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.001, 0.013, 0.02, 0.04, 0.3])]
    [0.005, 0.052, 0.06, 0.08, 0.3]
    """
    given: Array = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(given))
    order, corrected = known[np.argsort(given[known])], given.copy()
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, float(given[place]) * (len(known) - rank)))
        corrected[place] = highest
    return [float(p) for p in corrected]
