"""Wachter: the smallest change whose answer is the wanted one, by growing the weight of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.optimisers.fista import accelerated, soft_threshold
from xaionnx.optimization.counterfactual_search import Case, RowSearch, rounded, sparser
from xaionnx.parameters import choice, integer, real
from xaionnx.typing import Array

# Beyond this weight the distance no longer counts.
_LARGEST: Final = 1e9
_ROUNDS: Final = 6
# Values of a number that are tried where there is no gradient.
_GRID: Final = 33
_TOLERANCE: Final = 1e-6


@final
@dataclass(frozen=True, kw_only=True)
class Wachter(RowSearch):
    """The row that minimises the squared gap of the score, plus the distance::

        weight * max(0, aim - score(x'))^2 + sum over columns of |x'_i - x_i| / MAD_i

    The weight is multiplied by 4 until the model itself gives the wanted answer for the row, whose whole numbers are
    whole. Numbers follow the gradient graph by accelerated proximal steps (FISTA), whose soft thresholds keep most
    columns as they are; where a model has no gradient, values of a grid are tried column by column. Categories, at a
    cost of 1, take the option that is best while the others stay, in turns with the numbers. Then changes are taken
    back one by one, where the answer stays.

    The paper's target is a score that is reached from either side; here more than enough costs nothing.

    References
    ----------
    Wachter, Mittelstadt and Russell, Counterfactual explanations without opening the black box, Harvard Journal of Law
    and Technology 31(2), 2018, arXiv:1711.00399, equations 1 to 4.
    """

    reference: ClassVar[str] = "Wachter, Mittelstadt and Russell 2018, arXiv:1711.00399"

    weight: float = real(0.1, "first weight of the answer", low=0, low_open=True)
    norm: str = choice("l1", ("l1", "l2"), "distance of numbers: sum of sizes, or of squares, in their deviations")
    steps: int = integer(60, "proximal steps at each weight", low=1)

    def find(self, case: Case) -> Array | None:
        row, weight = case.row.astype(np.float64), self.weight
        while weight < _LARGEST:
            row = self.minimum(case, row, weight)
            found = rounded(case, row).astype(case.row.dtype)
            if case.judge.valid(found[None])[0]:
                return sparser(case, found)
            weight *= 4
        return None

    def minimum(self, case: Case, start: Array, weight: float) -> Array:
        """Return the row with the least sum for a weight, from a start."""
        row, before = start.copy(), np.inf
        for _ in range(_ROUNDS):
            row = self._categories(case, row, weight)
            row = self._numbers(case, row, weight)
            cost = float(self._costs(case, row[None], weight)[0])
            if cost > before - _TOLERANCE * (1 + abs(before)):
                break
            before = cost
        return row

    def _costs(self, case: Case, rows: Array, weight: float) -> Array:
        gap = self._gaps(case, rows)
        changed = sum(
            ((rows[:, one.columns] != case.row[list(one.columns)]).any(axis=1) for one in case.limits.categories),
            start=np.zeros(len(rows)),
        )
        return np.asarray(weight * gap**2 + self._distances(case, rows[:, case.limits.at]) + changed)

    def _gaps(self, case: Case, rows: Array) -> Array:
        return np.maximum(0.0, case.judge.aim - case.judge.scores(rows))

    def _distances(self, case: Case, numbers: Array) -> Array:
        moved = np.abs(numbers - case.limits.start) / case.limits.scale
        return np.asarray((moved if self.norm == "l1" else moved**2).sum(axis=-1))

    def _categories(self, case: Case, row: Array, weight: float) -> Array:
        """The row with the best option of each category, one after the other."""
        for one in case.limits.categories:
            tried = np.repeat(row[None], len(one.options) + 1, axis=0)
            tried[1:, one.columns] = one.options
            row = tried[int(self._costs(case, tried, weight).argmin())]
        return row

    def _numbers(self, case: Case, row: Array, weight: float) -> Array:
        if not len(case.limits.at):
            return row
        if case.judge.slope(row) is None:
            return self._by_grid(case, row, weight)
        return self._by_gradient(case, row, weight)

    def _by_gradient(self, case: Case, row: Array, weight: float) -> Array:
        """FISTA of Beck and Teboulle 2009 with backtracking, in the scales of the numbers."""
        limits, best, size = case.limits, row, 1.0
        here = ahead = (row[limits.at] - limits.start) / limits.scale
        turn, least = np.ones(()), float(self._costs(case, row[None], weight)[0])
        for _ in range(self.steps):
            at = self._row(case, row, ahead)
            slope = case.judge.slope(at)
            assert slope is not None  # it has been asked before
            gap = float(self._gaps(case, at[None])[0])
            smooth, uphill = weight * gap**2, -2 * weight * gap * slope[limits.at] * limits.scale
            if not np.isfinite(uphill).all():
                return best
            while True:
                new = self._proximal(case, ahead - size * uphill, size)
                step, there = new - ahead, self._row(case, row, new)
                value = weight * float(self._gaps(case, there[None])[0]) ** 2
                if value <= smooth + uphill @ step + step @ step / (2 * size) + 1e-12 or size < 1e-12:
                    break
                size /= 2
            cost = float(self._costs(case, there[None], weight)[0])
            if cost < least:
                best, least = there, cost
            if np.abs(new - here).max() < _TOLERANCE:
                break
            ahead, turn = accelerated(new, here, bool((new - here) @ step >= 0), turn)
            here = new
        return best

    def _proximal(self, case: Case, moved: Array, size: float) -> Array:
        """The proximal map of the distance, within the limits."""
        limits = case.limits
        moved = soft_threshold(moved, size) if self.norm == "l1" else moved / (1 + 2 * size)
        low, high = (limits.low - limits.start) / limits.scale, (limits.high - limits.start) / limits.scale
        return np.asarray(np.clip(moved, low, high))

    @staticmethod
    def _row(case: Case, row: Array, moved: Array) -> Array:
        found = row.copy()
        found[case.limits.at] = case.limits.start + moved * case.limits.scale
        return found

    def _by_grid(self, case: Case, row: Array, weight: float) -> Array:
        """The best value of each number in turn, of those between which the data lie."""
        for k, column in enumerate(case.limits.at):
            values = np.quantile(case.space.background[:, column], np.linspace(0, 1, _GRID))
            values = np.unique(np.clip(values, case.limits.low[k], case.limits.high[k]))
            tried = np.repeat(row[None], len(values) + 2, axis=0)
            tried[1:, column] = [case.limits.start[k], *values]
            row = tried[int(self._costs(case, tried, weight).argmin())]
        return row
