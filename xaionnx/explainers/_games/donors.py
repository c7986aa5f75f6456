"""Values of other samples, or of rows of data, in the place of those of a feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.features import Features
from xaionnx.typing import Array, FeaturesLike, RowsLike


def donor_rows(rows: RowsLike) -> Baseline:
    """Return the rows as a baseline.

    Raises
    ------
    ParameterError
        They are no rows.
    """
    if isinstance(rows, Mapping):
        return ByInput({name: donor_rows(array) for name, array in rows.items()})
    array = np.asarray(rows)
    if array.dtype.kind not in "fiubUTO" or array.ndim < 2 or not len(array):
        raise ParameterError(
            "The 'donors' parameter of FeaturePermutation must be an array of rows (B, ...), or one by input name. "
            f"Got {array.dtype} of shape {array.shape} instead."
        )
    return Baseline.background(array)


@final
@dataclass(frozen=True, eq=False)
class FromDonors(Baseline):
    """For each draw the values of another sample at each player, which feature ablation removes one by one.

    Attributes
    ----------
    feeds : mapping of arrays (N, ...) by input name
        The samples.
    features : Features
    donors : rows or None
        What values are taken from, if not the samples.
    repeats : int
        The number of draws.
    seed : int
    """

    feeds: Mapping[str, Array]
    features: FeaturesLike
    donors: RowsLike
    repeats: int
    seed: int
    cycles: dict[tuple[int, int, int], Array] = field(default_factory=dict)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        rows, labels = self._rows(sample, name), Features.of(self.features).players(sample).maps[name]
        places = np.indices(rows.shape[1:], sparse=True)
        donors = (self._donors(draw, sample, len(rows), labels) for draw in range(self.repeats))
        return np.stack([rows[(np.broadcast_to(each, rows.shape[1:]), *places)] for each in donors])

    def _rows(self, sample: Sample, name: str) -> Array:
        """The values (B, ...) from which a player may be taken."""
        if self.donors is None:
            return self.feeds[name]
        return donor_rows(self.donors).draws(sample, (name,), self.seed)[name]

    def _donors(self, draw: int, sample: Sample, count: int, labels: Array) -> Array:
        """The row from which each element is taken, in the shape of the labels of the players."""
        # With rows of data all samples take the same one.
        number = 0 if self.donors is not None else sample.number
        players = range(int(labels.max()) + 1)
        return np.asarray(np.array([self._cycle(draw, player, count)[number] for player in players])[labels])

    def _cycle(self, draw: int, player: int, count: int) -> Array:
        """A random cycle through all rows: the row that follows each. A player takes the same row of several inputs."""
        key = (draw, player, count)
        if key not in self.cycles:
            order = np.random.default_rng([self.seed, draw, player]).permutation(count)
            self.cycles[key] = np.empty_like(order)
            self.cycles[key][order] = np.roll(order, 1)
        return self.cycles[key]
