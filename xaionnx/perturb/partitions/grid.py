"""A grid of cells of nearly equal size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features, check_positive, over_pixels
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Grid(Features):
    """``down`` by ``across`` cells whose sizes differ by at most one pixel."""

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("grid", lambda sizes: Features.grid(*integers(sizes, most=2)), "[:rows x columns]", "grid:6x8"),
    )

    down: int = 7
    across: int = 7

    def __post_init__(self) -> None:
        check_positive("Features.grid", "rows", self.down)
        check_positive("Features.grid", "columns", self.across)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("features='grid'")
        if self.down > height or self.across > width:
            raise ParameterError(
                f"A grid of {self.down} by {self.across} cells does not fit a picture of {height} by {width} pixels."
            )
        rows, columns = np.arange(height) * self.down // height, np.arange(width) * self.across // width
        return {sample.main: over_pixels(sample, rows[:, None] * self.across + columns)}
