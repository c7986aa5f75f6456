"""Growing spheres: random rows in larger and larger shells around the row, without a gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.optimization.counterfactual_search import Case, RowSearch, sparser
from xaionnx.parameters import integer, random_seed, real
from xaionnx.typing import Array

_MOST_SHELLS: Final = 200


@final
@dataclass(frozen=True, kw_only=True)
class GrowingSpheres(RowSearch):
    """The nearest valid row among random ones: a ball is halved until it holds none, then shells grow around it.

    Rows are uniform in a shell of the numbers in their scales, of the radius ``U(low^d, high^d)^(1/d)``; those beyond
    the range of the data are moved to its border, and categories stay. Then changes are taken back one by one, where
    the answer stays.

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
        if not len(case.limits.at):
            return None
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
        limits, dimensions = case.limits, len(case.limits.at)
        directions = rng.standard_normal((self.draws, dimensions))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        radii = rng.uniform(inner**dimensions, outer**dimensions, (self.draws, 1)) ** (1 / dimensions)
        numbers = np.clip(limits.start + radii * directions * limits.scale, limits.low, limits.high)
        numbers = np.where(limits.whole, np.rint(numbers), numbers)
        rows = np.repeat(case.row[None].astype(np.float64), self.draws, axis=0)
        rows[:, limits.at] = numbers
        rows = rows.astype(case.row.dtype)
        valid = rows[case.judge.valid(rows)]
        moved = np.linalg.norm((valid[:, limits.at] - limits.start) / limits.scale, axis=1)
        return None if not len(valid) else valid[int(moved.argmin())]
