"""Values of other samples, or of rows of data, in the place of those of a feature."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.features import Features
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, FeaturesLike, RowsLike


@final
@dataclass(frozen=True, eq=False)
class OwnRows:
    """All samples, of which each takes values from the others, whatever the batch in which it is explained.

    Attributes
    ----------
    feeds : mapping of arrays (N, ...) by input name
    """

    feeds: Mapping[str, Array]

    __repr__ = short_repr

    @classmethod
    def of(cls, feeds: Mapping[str, Array], shared: Collection[str]) -> OwnRows:
        """Return the samples in feeds, of which ``shared`` ones have no axis of samples."""
        return cls({name: x for name, x in feeds.items() if name not in shared})

    def number(self, sample: Sample) -> int:
        """The number of a sample; that of the first if several are equal."""
        return self._numbers[_content({name: sample.x[name] for name in self.feeds})]

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        count = len(next(iter(self.feeds.values())))
        contents = (_content({name: x[n, ...] for name, x in self.feeds.items()}) for n in range(count))
        found = dict[bytes, int]()
        for n, content in enumerate(contents):
            found.setdefault(content, n)
        return found


def _content(values: Mapping[str, Array]) -> bytes:
    """A hash of the values of a sample."""
    digest = hashlib.sha256()
    for array in values.values():
        digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
    return digest.digest()


def check_donors(rows: RowsLike | OwnRows) -> object:
    """Return the donors, if they are rows.

    Raises
    ------
    ParameterError
        They are none.
    """
    return rows if isinstance(rows, OwnRows) else donor_rows(rows)


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
    donors : rows or OwnRows
        What values are taken from: rows of data, the same for all samples, or the other samples.
    features : Features
    repeats : int
        The number of draws.
    seed : int
    """

    donors: RowsLike | OwnRows
    features: FeaturesLike
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
        if isinstance(self.donors, OwnRows):
            return self.donors.feeds[name]
        return donor_rows(self.donors).draws(sample, (name,), self.seed)[name]

    def _donors(self, draw: int, sample: Sample, count: int, labels: Array) -> Array:
        """The row from which each element is taken, in the shape of the labels of the players."""
        # With rows of data all samples take the same one.
        number = self.donors.number(sample) if isinstance(self.donors, OwnRows) else 0
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
