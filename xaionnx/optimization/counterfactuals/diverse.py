"""Diverse: several rows with the wanted answer that differ from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.optimisers.adam import Adam
from xaionnx.optimization.counterfactual_search import Case, RowSearch, rounded, sparser
from xaionnx.optimization.diversity import chosen, diversity, diversity_slope
from xaionnx.parameters import choice, integer, random_seed, real
from xaionnx.typing import Array

# Valid rows among which the diverse ones are chosen.
_POOL: Final = 120
_RATE: Final = 0.05
# Weights of the answer beyond which the search gives up.
_GROWTHS: Final = 6


@final
@dataclass(frozen=True, kw_only=True)
class Diverse(RowSearch):
    """Several rows with the wanted answer, near the row and far from each other::

        mean of max(0, aim - score(c_k)) + proximity * mean distance(c_k, x) - diversity * det K
        K_kl = 1 / (1 + distance(c_k, c_l))

    Distances are in median absolute deviations and 1 a changed category, divided by the number of columns. ``gradient``
    follows the gradient graph of all rows together, with categories at their best option in turns; the weight of the
    answer grows until all rows have it. ``genetic`` crosses and mutates rows of values of the data, for models without
    gradients, and ``random`` changes random columns; the most diverse of the valid ones are chosen. ``auto`` takes
    gradients where a model has them. Where gradients end at fewer rows than ``count``, breeding adds others. Then
    changes are taken back one by one, where the answer stays and no two rows become the same.

    References
    ----------
    Mothilal, Sharma and Tan, Explaining machine learning classifiers through diverse counterfactual explanations, FAT*
    2020, arXiv:1905.07697, equation 4; Schleich, Geng, Zhang and Suciu, GeCo, VLDB 2021, arXiv:2101.01292.
    """

    reference: ClassVar[str] = "Mothilal, Sharma and Tan 2020, arXiv:1905.07697"

    count: int = integer(4, "number of rows to find", low=2, high=32)
    by: str = choice("auto", ("auto", "gradient", "genetic", "random"), "how rows are searched for")
    proximity: float = real(0.5, "weight of the distance to the row", low=0)
    diversity: float = real(1.0, "weight of the diversity", low=0)
    steps: int = integer(100, "steps of a gradient search, or rounds of the others", low=1)
    population: int = integer(100, "rows of a round", low=10)
    seed: int = random_seed("seed of the rows that the search starts from")

    def find(self, case: Case) -> Array | None:
        rows = self.rows(case)
        return rows[0] if rows else None

    def rows(self, case: Case) -> list[Array]:
        rng = np.random.default_rng(self.seed)
        has_gradient = self.by in ("auto", "gradient") and case.judge.slope(case.row) is not None
        if self.by == "gradient" and not has_gradient:
            raise UnsupportedModelError(f"{case.judge.model.name} has no gradient. Take by='genetic' or by='random'.")
        found = self._by_gradient(case, rng) if has_gradient else np.empty((0, len(case.row)))
        found = np.unique(found, axis=0)
        if len(found) < self.count:
            found = np.unique(np.concatenate([found, self._by_rounds(case, rng)]), axis=0)
        if not len(found):
            return []
        picked = chosen(case.space, case.row, found, self.count, self.proximity, self.diversity)
        return _sparser(case, picked)

    def _by_gradient(self, case: Case, rng: np.random.Generator) -> Array:
        """Minimise the whole sum by Adam from random rows, and return the valid rows at its end."""
        limits, variables = case.limits, len(case.space.variables)
        rows, weight = self._drawn(case, rng, self.count).astype(np.float64), 1.0
        optimiser, state = Adam(learning_rate=_RATE), dict[str, Array]()
        ends = np.empty((0, len(case.row)))
        for step in range(1, _GROWTHS * self.steps + 1):
            slopes = np.stack([self._answer_slope(case, row) for row in rows]) * weight
            moved = (rows[:, limits.at] - limits.start) / limits.scale
            slopes += self.proximity * np.sign(moved) / variables
            between = np.stack([case.space.distance(rows, row) for row in rows]) / variables
            pull = diversity_slope(between) * (2 / variables)
            signs = np.sign(rows[:, None, limits.at] - rows[None, :, limits.at])
            slopes -= self.diversity * np.einsum("kl,klp->kp", pull, signs) * self.count
            numbers = rows[:, limits.at] + optimiser.step(state, -slopes) * limits.scale
            rows[:, limits.at] = np.clip(numbers, limits.low, limits.high)
            if step % self.steps == 0:
                rows = self._categories(case, rows, weight)
                ends = np.stack([rounded(case, row) for row in rows]).astype(case.row.dtype)
                if case.judge.valid(ends).all():
                    break
                weight *= 4
        return ends[case.judge.valid(ends)] if len(ends) else ends

    @staticmethod
    def _answer_slope(case: Case, row: Array) -> Array:
        """The gradient of the hinge of the answer at the numbers, in their scales."""
        if case.judge.scores(row[None])[0] >= case.judge.aim:
            return np.zeros(len(case.limits.at))
        slope = case.judge.slope(row)
        assert slope is not None  # it has been asked before
        return np.asarray(-np.nan_to_num(slope)[case.limits.at] * case.limits.scale)

    def _categories(self, case: Case, rows: Array, weight: float) -> Array:
        """The rows with the best option of each category, one row and category after the other."""
        rows, variables = rows.copy(), len(case.space.variables)
        for k in range(len(rows)):
            for one in case.limits.categories:
                tried = np.repeat(rows[k][None], len(one.options) + 1, axis=0)
                tried[1:, one.columns] = one.options
                gap = np.maximum(0, case.judge.aim - case.judge.scores(tried))
                cost = weight * gap + self.proximity * case.space.distance(tried, case.row) / variables
                for n, row in enumerate(tried):
                    rows[k] = row
                    between = np.stack([case.space.distance(rows, other) for other in rows]) / variables
                    cost[n] -= self.diversity * diversity(between) * len(rows)
                rows[k] = tried[int(cost.argmin())]
        return rows

    def _by_rounds(self, case: Case, rng: np.random.Generator) -> Array:
        """Valid rows, the nearest of all that were drawn, or bred from the best of the round before."""
        pool = np.empty((0, len(case.row)), dtype=case.row.dtype)
        people = self._drawn(case, rng, self.population)
        for _ in range(self.steps):
            valid = case.judge.valid(people)
            pool = np.unique(np.concatenate([pool, people[valid]]), axis=0)
            pool = pool[np.argsort(case.space.distance(pool, case.row), kind="stable")][:_POOL]
            if self.by == "random":
                people = self._drawn(case, rng, self.population)
                continue
            cost = np.maximum(0, case.judge.aim - case.judge.scores(people)) * len(case.space.variables)
            cost += case.space.distance(people, case.row)
            parents = people[np.argsort(cost, kind="stable")[: self.population // 2]]
            pairs = rng.integers(0, len(parents), (2, self.population))
            people = self._bred(case, rng, parents[pairs[0]], parents[pairs[1]])
        return pool

    def _bred(self, case: Case, rng: np.random.Generator, mothers: Array, fathers: Array) -> Array:
        """Rows with each variable of one of two parents, of the row itself, or, rarely, of a row of data."""
        children = mothers.copy()
        drawn = self._drawn(case, rng, len(mothers))
        for columns in _groups(case):
            turn = rng.random(len(mothers))
            for low, high, source in ((0.4, 0.8, fathers), (0.8, 0.9, case.row[None]), (0.9, 1.0, drawn)):
                some = (turn >= low) & (turn < high)
                children[np.ix_(some, columns)] = np.broadcast_to(source, children.shape)[np.ix_(some, columns)]
        return children

    @staticmethod
    def _drawn(case: Case, rng: np.random.Generator, count: int) -> Array:
        """The row with random columns from random rows of data, within the limits."""
        rows = np.repeat(case.row[None], count, axis=0)
        groups, limits = _groups(case), case.limits
        data = case.space.background
        share = rng.random((count, 1))
        for columns in groups:
            some = rng.random(count) < share[:, 0]
            others = data[rng.integers(0, len(data), count)]
            rows[np.ix_(some, columns)] = others[np.ix_(some, columns)]
        rows[:, limits.at] = np.clip(rows[:, limits.at], limits.low, limits.high)
        return rows


def _groups(case: Case) -> list[Array]:
    """The columns of each variable that may change."""
    return [*case.limits.at[:, None], *(np.array(one.columns) for one in case.limits.categories)]


def _sparser(case: Case, rows: Array) -> list[Array]:
    """The rows with fewer changes, where the answer stays and no two become the same."""
    found: list[Array] = []
    for row in rows:
        fewer = sparser(case, row)
        taken = any((fewer == other).all() for other in found)
        found.append(row if taken else fewer)
    return [row for n, row in enumerate(found) if not any((row == other).all() for other in found[:n])]
