"""Tiles of a size in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Positions, Sample
from xaionnx.perturb.features import Features, check_positive, tiles
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Windows(Features):
    """Tiles of ``height`` by ``width`` pixels, row by row; of ``width`` steps in a series."""

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("windows", lambda sizes: _windows(*integers(sizes, most=2)), "[:height x width]", "windows:16x8"),
    )
    noun: ClassVar[str] = "window"

    height: int
    width: int

    def __post_init__(self) -> None:
        for size in (self.height, self.width):
            check_positive("Features.windows", "size", size)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        found = sample.placed("Features.windows")
        # A series has a width, a volume a depth as large as the height.
        sizes = (self.height, self.height, self.width)[-len(found.extent) :]
        return {sample.main: found.over(tiles([n // size for n, size in zip(_axes(found), sizes, strict=True)]))}

    def are_shared(self, sample: Sample) -> bool:
        return True


def _axes(found: Positions) -> list[Array]:
    return [np.arange(length) for length in found.extent]


def _windows(height: int = 16, width: int | None = None) -> Windows:
    return Windows(height, height if width is None else width)
