"""A grid of cells of nearly equal size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features, check_positive, tiles
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Grid(Features):
    """``down`` by ``across`` cells whose sizes differ by at most one pixel."""

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("grid", lambda sizes: Features.grid(*integers(sizes, most=2)), "[:rows x columns]", "grid:6x8"),
    )
    noun: ClassVar[str] = "cell"

    down: int = 7
    across: int = 7

    def __post_init__(self) -> None:
        check_positive("Features.grid", "rows", self.down)
        check_positive("Features.grid", "columns", self.across)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        found = sample.placed("features='grid'")
        # A series has columns alone, a volume as many layers as rows, or one a plane if it has fewer planes.
        layers = min(self.down, found.extent[0])
        counts = (layers, self.down, self.across)[-len(found.extent) :]
        if any(count > size for count, size in zip(counts, found.extent, strict=True)):
            cells, pixels = (" by ".join(map(str, sizes)) for sizes in (counts, found.extent))
            raise ParameterError(f"A grid of {cells} cells does not fit a picture of {pixels} pixels.")
        sides = [np.arange(size) * count // size for size, count in zip(found.extent, counts, strict=True)]
        return {sample.main: found.over(tiles(sides))}

    def are_shared(self, sample: Sample) -> bool:
        return True
