"""The picture with its tiles in random order."""

from __future__ import annotations

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
    """Tiles of the picture in random order; tiles cut by the border stay in position."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("shuffle", lambda tile: Shuffle(*integers(tile)), "[:tile]", "shuffle:16"),
    )

    tile: int = 16

    def __post_init__(self) -> None:
        check_positive("Baseline.shuffle", "tile", self.tile, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        height, width = sample.spatial("baseline='shuffle'", name)
        rows, columns = height // self.tile, width // self.tile
        if rows * columns < 2:
            raise ParameterError(f"Tiles of {self.tile} pixels leave nothing to shuffle in {height} by {width} pixels.")
        axes = sample.axes(name)
        assert axes is not None  # sample.spatial raises if the input is not a picture
        source = np.moveaxis(sample.x[name], axes[1], (0, 1))
        shuffled = source.copy()
        t = self.tile
        for position, other in enumerate(rng.permutation(rows * columns)):
            (r, c), (s, d) = divmod(position, columns), divmod(int(other), columns)
            shuffled[r * t : (r + 1) * t, c * t : (c + 1) * t] = source[s * t : (s + 1) * t, d * t : (d + 1) * t]
        return np.moveaxis(shuffled, (0, 1), axes[1])
