"""Rows around a sample, drawn column by column: the bins of rows of data at their rates, and values inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from xaionnx.explainers._games.conditions import Condition
from xaionnx.perturb.removal import Removal
from xaionnx.typing import Array


@final
class SampledRows:
    """``count`` rows, of which the first is the sample itself.

    In the others each column takes a random row's bin, and of numbers a value from the normal distribution with the
    mean and deviation of the rows in the bin, truncated to it; of words that row's.

    Attributes
    ----------
    same : array of bool (count, P)
        Whether a column meets the condition of the sample.
    """

    def __init__(self, removal: Removal, conditions: Sequence[Condition], seed: int, count: int) -> None:
        self._removal = removal
        self.same = np.ones((count, len(conditions)), dtype=bool)
        self._values: list[Array] = []
        for player, condition in enumerate(conditions):
            rng = np.random.default_rng([seed, player])
            taken = rng.integers(removal.draws, size=count - 1)
            self.same[1:, player] = condition.bins[taken] == condition.own
            self._values.append(_numbers(removal, condition, taken, rng) if condition.of_numbers else taken)
        self._conditions = conditions

    def feed(self, start: int, stop: int) -> dict[str, Array]:
        """The inputs of rows ``start`` to ``stop``."""
        x = self._removal.sample.own
        rows = {name: np.repeat(array[None], stop - start, axis=0) for name, array in x.items()}
        first = 1 if start == 0 else 0
        for condition, values in zip(self._conditions, self._values, strict=True):
            part = values[max(0, start - 1) : stop - 1]
            for name, places in condition.places.items():
                flat = rows[name].reshape(stop - start, -1)
                if condition.of_numbers:
                    flat[first:, places] = part[:, None]
                else:
                    own = self._removal.baseline[name].reshape(self._removal.draws, -1)
                    flat[first:, places] = own[part[:, None], places]
                rows[name] = flat.reshape(rows[name].shape)
        return rows


def _numbers(removal: Removal, condition: Condition, taken: Array, rng: np.random.Generator) -> Array:
    """A number in the bin of each of the rows taken; NaN where theirs is missing."""
    from scipy import special

    ((name, place),) = condition.places.items()
    data = removal.baseline[name].reshape(removal.draws, -1)[:, place[0]].astype(np.float64)
    drawn, shares = np.full(len(taken), np.nan), rng.random(len(taken))
    known = data[np.isfinite(data)]
    ends = np.concatenate([[known.min()], condition.edges, [known.max()]])
    for number in range(len(condition.edges) + 1):
        here, inside = condition.bins[taken] == number, data[condition.bins == number]
        if not here.any():
            continue
        low, high, mean, deviation = ends[number], ends[number + 1], inside.mean(), inside.std()
        if deviation == 0:
            drawn[here] = mean
            continue
        first, last = special.ndtr((np.array([low, high]) - mean) / deviation)
        inner = mean + deviation * special.ndtri(first + shares[here] * (last - first))
        drawn[here] = np.clip(inner, low, high)
    return np.round(drawn) if removal.sample.x[name].dtype.kind in "iu" else drawn
