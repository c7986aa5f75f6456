"""The picture, series or volume with its tiles in random order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline, check_positive
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Shuffle(Baseline):
    """Tiles of a picture, series or volume in random order; tiles cut by the border stay in position."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("shuffle", lambda tile: Shuffle(*integers(tile)), "[:tile]", "shuffle:16"),
    )

    tile: int = 16

    def __post_init__(self) -> None:
        check_positive("Baseline.shuffle", "tile", self.tile, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        found = sample.placed("baseline='shuffle'", name)
        counts = tuple(size // self.tile for size in found.extent)
        if math.prod(counts) < 2:
            sides = " by ".join(map(str, found.extent))
            raise ParameterError(f"Tiles of {self.tile} pixels leave nothing to shuffle in {sides} pixels.")
        source = np.moveaxis(sample.x[name], found.axes, range(len(counts)))
        shuffled = source.copy()
        for position, other in enumerate(rng.permutation(math.prod(counts))):
            shuffled[self._tile(position, counts)] = source[self._tile(int(other), counts)]
        return np.moveaxis(shuffled, range(len(counts)), found.axes)

    def _tile(self, number: int, counts: tuple[int, ...]) -> tuple[slice, ...]:
        """The places of a tile, numbered in row-major order."""
        return tuple(slice(k * self.tile, (k + 1) * self.tile) for k in map(int, np.unravel_index(number, counts)))
