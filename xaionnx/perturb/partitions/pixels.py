"""Every pixel, with all its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features, over_pixels
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Pixels(Features):
    """Every pixel, with all its channels."""

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("pixels", lambda _: Pixels()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("features='pixels'")
        return {sample.main: over_pixels(sample, np.arange(height * width).reshape(height, width))}
