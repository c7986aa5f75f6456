"""Growing spheres: random rows in larger and larger shells around the row, without a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.optimization.counterfactual_search import Case, RowSearch, sparser
from xaionnx.optimization.row_space import Limits, Variable
from xaionnx.parameters import integer, random_seed, real
from xaionnx.typing import Array

_MOST_SHELLS: Final = 200


@final
@dataclass(frozen=True, kw_only=True)
class GrowingSpheres(RowSearch):
    """The nearest valid row among random ones: a ball is halved until it holds none, then shells grow around it.

    The distance of a row is that of its numbers, in their scales, and 1 for each changed category::

        r^2 = sum over numbers of ((x_i - start_i) / scale_i)^2 + number of changed categories

    A row of a shell changes a random number k of categories, each to a random other option, and its numbers are uniform
    in the shell that is left, of the radius ``U(low^d, high^d)^(1/d)`` with the bounds less k under the root; those
    beyond the range of the data are moved to its border. In a table of categories alone the shells are the rows with k
    changes. Then changes are taken back one by one, where the answer stays.

    The paper has numbers alone; categories count as in the other searches for rows.

    References
    ----------
    Laugel, Lesot, Marsala, Renard and Detyniecki, Inverse classification for comparison-based interpretability in
    machine learning, 2017, arXiv:1712.08443, algorithms 1 and 2.
    """

    reference: ClassVar[str] = "Laugel et al. 2017, arXiv:1712.08443"

    draws: int = integer(1000, "number of rows in each shell", low=1)
    radius: float = real(1.0, "radius of the first ball, in median absolute deviations", low=0, low_open=True)
    growth: float = real(0.2, "thickness of a shell, as a share of the radius of the ball inside", low=0, low_open=True)
    seed: int = random_seed("seed of the rows")

    def find(self, case: Case) -> Array | None:
        rng, outer = np.random.default_rng(self.seed), self.radius
        for _ in range(_MOST_SHELLS):
            if self._nearest(case, rng, 0.0, outer) is None:
                break
            outer /= 2
        for _ in range(_MOST_SHELLS):
            inner, outer = outer, outer * (1 + self.growth)
            found = self._nearest(case, rng, inner, outer)
            if found is not None:
                return sparser(case, found)
        return None

    def _nearest(self, case: Case, rng: np.random.Generator, inner: float, outer: float) -> Array | None:
        """The nearest valid one of random rows in a shell; None if none is."""
        limits, categories = case.limits, _movable(case)
        # Without numbers, the distance is that of the categories alone.
        least = 0 if len(limits.at) else math.floor(inner**2) + 1
        most = min(len(categories), math.floor(outer**2))
        if least > most or not (len(limits.at) or categories):
            return None
        changes = rng.integers(least, most, self.draws, endpoint=True)
        rows = np.repeat(case.row[None], self.draws, axis=0)
        _change(rows, categories, changes, rng)
        low, high = (np.sqrt(np.maximum(radius**2 - changes, 0)) for radius in (inner, outer))
        rows[:, limits.at] = _numbers(limits, low, high, rng)
        valid = np.flatnonzero(case.judge.valid(rows))
        moved = (rows[valid][:, limits.at] - limits.start) / limits.scale
        return None if not len(valid) else rows[valid[int(((moved**2).sum(axis=1) + changes[valid]).argmin())]]


def _movable(case: Case) -> list[tuple[Variable, Array]]:
    """The categories of a row that may change, with their other options."""
    others = []
    for one in case.limits.categories:
        options = one.options[(one.options != case.row[list(one.columns)]).any(axis=1)]
        if len(options):
            others.append((one, options))
    return others


def _change(rows: Array, categories: list[tuple[Variable, Array]], changes: Array, rng: np.random.Generator) -> None:
    """Change as many random categories of each row as ``changes`` (R,) says, each to a random other option."""
    order = rng.random((len(rows), len(categories))).argsort(axis=1).argsort(axis=1)
    for k, (one, options) in enumerate(categories):
        some = np.flatnonzero(order[:, k] < changes)
        rows[np.ix_(some, np.array(one.columns))] = options[rng.integers(len(options), size=len(some))]


def _numbers(limits: Limits, low: Array, high: Array, rng: np.random.Generator) -> Array:
    """Numbers (R, P), uniform in shells of the radii ``low`` and ``high`` (R,) in their scales, within their range."""
    dimensions = len(limits.at)
    directions = rng.standard_normal((len(low), dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = rng.uniform(low**dimensions, high**dimensions) ** (1 / max(1, dimensions))
    numbers = np.clip(limits.start + radii[:, None] * directions * limits.scale, limits.low, limits.high)
    return np.where(limits.whole, np.rint(numbers), numbers)
