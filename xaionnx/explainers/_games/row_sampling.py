"""Rows around a sample, drawn column by column: the bins of rows of data at their rates, and values inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.explainers._games.conditions import Division
from xaionnx.perturb.removal import Removal
from xaionnx.typing import Array


@final
class SampledRows:
    """``count`` rows around any sample: each column takes a random row's bin, and a value in it.

    Of numbers it is from the normal distribution with the mean and deviation of the rows in the bin, truncated to it;
    of words that row's. The rows are the same for all samples that are equal in what no player removes.

    Parameters
    ----------
    removal : Removal
        Of one of the samples.
    divisions : sequence of P Division
    seed, count : int
    """

    def __init__(self, removal: Removal, divisions: Sequence[Division], seed: int, count: int) -> None:
        self._removal, self._divisions = removal, divisions
        self._taken: list[Array] = []
        self._values: list[Array] = []
        for player, division in enumerate(divisions):
            rng = np.random.default_rng([seed, player])
            taken = rng.integers(removal.draws, size=count)
            self._taken.append(taken)
            self._values.append(_numbers(removal, division, taken, rng) if division.of_numbers else taken)

    def same(self, sample: Sample, count: int) -> Array:
        """Whether each column of the first rows meets the condition of a sample, bool (count, P)."""
        found = np.empty((count, len(self._divisions)), dtype=bool)
        for player, (division, taken) in enumerate(zip(self._divisions, self._taken, strict=True)):
            found[:, player] = division.condition(sample).holds[taken[:count]]
        return found

    def feed(self, start: int, stop: int) -> dict[str, Array]:
        """The inputs of rows ``start`` to ``stop``."""
        x, draws = self._removal.sample.own, self._removal.draws
        rows = {name: np.repeat(array[None], stop - start, axis=0) for name, array in x.items()}
        for division, values in zip(self._divisions, self._values, strict=True):
            for name, places in division.places.items():
                flat = rows[name].reshape(stop - start, -1)
                if division.of_numbers:
                    flat[:, places] = values[start:stop, None]
                else:
                    own = self._removal.baseline[name].reshape(draws, -1)
                    flat[:, places] = own[values[start:stop, None], places]
                rows[name] = flat.reshape(rows[name].shape)
        return rows


def _numbers(removal: Removal, division: Division, taken: Array, rng: np.random.Generator) -> Array:
    """A number in the bin of each of the rows taken; NaN where theirs is missing."""
    from scipy import special

    (name,) = division.places
    data = division.values[name][:, 0].astype(np.float64)
    drawn, shares = np.full(len(taken), np.nan), rng.random(len(taken))
    is_whole = removal.sample.x[name].dtype.kind in "iu"
    known = data[np.isfinite(data)]
    ends = np.concatenate([[known.min()], division.edges, [known.max()]])
    for number in range(len(division.edges) + 1):
        here, inside = division.bins[taken] == number, data[division.bins == number]
        if not here.any():
            continue
        low, high, mean, deviation = ends[number], ends[number + 1], inside.mean(), inside.std()
        if deviation == 0:
            drawn[here] = mean
            continue
        first, last = special.ndtr((np.array([low, high]) - mean) / deviation)
        inner = mean + deviation * special.ndtri(first + shares[here] * (last - first))
        if is_whole:
            # The whole numbers of the bin (low, high], of the first one [low, high].
            inner, low, high = np.round(inner), np.floor(low) + 1 if number else low, np.floor(high)
        drawn[here] = np.clip(inner, low, high)
    return drawn
