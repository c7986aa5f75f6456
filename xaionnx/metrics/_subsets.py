"""The base of metrics that compare the sum of the values of removed features with the drop of the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import ClassVar

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.perturb.players import Players
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class BySums:
    """Makes a metric one of the correlation between sums of values and drops of the target.

    For a linear model and its exact contributions every drop is the sum of the values of the removed features, and any
    correlation is 1.
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def player_values(self, evidence: Evidence, n: int, players: Players) -> Array:
        return evidence.player_sums(n, players)


@lru_cache(maxsize=8)
def subsets_of_size(players: int, size: int, count: int, seed: int) -> Array:
    """Return all subsets of ``size`` players, bool (M, players), or ``count`` random ones if there are more.

    Random subset i depends on (seed, i) alone. Samples share them, so that the last ones are kept, and not to be
    written to.

    Examples
    --------
    >>> subsets_of_size(3, 2, 10, 0).astype(int).tolist()
    [[1, 1, 0], [1, 0, 1], [0, 1, 1]]
    """
    if comb(players, size) <= count:
        members = np.array(list(combinations(range(players), size)))
        everyone = np.zeros((len(members), players), dtype=bool)
        np.put_along_axis(everyone, members, True, axis=1)
        return read_only(everyone)
    chosen = np.zeros((count, players), dtype=bool)
    for i in range(count):
        chosen[i, np.random.default_rng([seed, i]).choice(players, size, replace=False)] = True
    return read_only(chosen)


def read_only(array: Array) -> Array:
    """Return the array, closed for writing."""
    array.flags.writeable = False
    return array


def correlated(sums: Array, changes: Array, *, ranks: bool = False) -> SampleMeasure:
    """Return Pearson's correlation of two arrays (M,), or Spearman's of their ranks; undefined if one is constant.

    Examples
    --------
    >>> correlated(np.array([4.0, 3, 1, 2]), np.array([4.0, 3, 2, 1])).value
    0.8
    >>> correlated(np.array([4e-20, 3e-20, 1e-20, 2e-20]), np.array([4.0, 3, 2, 1])).value
    0.8
    """
    if ranks:
        from scipy.stats import rankdata

        sums, changes = rankdata(sums), rankdata(changes)
    if len(sums) < 2:
        return undefined("there is a single subset, so that there is no correlation: give smaller features")
    for array, what in ((sums, "the sums of the values"), (changes, "the drops of the target")):
        # Relative to their size: values of a softmax, or of many pixels, may all be tiny.
        if np.ptp(array) <= 1e-12 * np.abs(array).max():
            return undefined(f"{what} are all equal, so that there is no correlation")
    return SampleMeasure(round(float(np.corrcoef(sums, changes)[0, 1]), 12))


def mean_squared_error(sums: Array, changes: Array, *, scaled: bool) -> float:
    """Return the mean squared difference of two arrays (M,), the first times the factor that fits best if ``scaled``.

    Examples
    --------
    >>> sums, changes = np.array([8.0, 6, 4, 2]), np.array([4.0, 3, 2, 1])
    >>> mean_squared_error(sums, changes, scaled=False), mean_squared_error(sums, changes, scaled=True)
    (7.5, 0.0)
    """
    square = float(np.square(sums).mean())
    factor = float((sums * changes).mean()) / square if scaled and square > 0 else 1.0
    return float(np.square(factor * sums - changes).mean())
