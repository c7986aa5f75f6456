"""Tiles of a size in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features, check_positive, over_pixels
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Windows(Features):
    """Tiles of ``height`` by ``width`` pixels, row by row."""

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("windows", lambda sizes: _windows(*integers(sizes, most=2)), "[:height x width]", "windows:16x8"),
    )

    height: int
    width: int

    def __post_init__(self) -> None:
        for size in (self.height, self.width):
            check_positive("Features.windows", "size", size)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("Features.windows")
        rows, columns = np.arange(height) // self.height, np.arange(width) // self.width
        return {sample.main: over_pixels(sample, rows[:, None] * (columns[-1] + 1) + columns)}


def _windows(height: int = 16, width: int | None = None) -> Windows:
    return Windows(height, height if width is None else width)
