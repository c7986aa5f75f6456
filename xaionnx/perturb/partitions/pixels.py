"""Every pixel, with all its channels; every step of a series and every place of a volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Pixels(Features):
    """Every pixel, with all its channels."""

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("pixels", lambda _: Pixels()),)
    noun: ClassVar[str] = "pixel"

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        found = sample.placed("features='pixels'")
        return {sample.main: found.over(np.arange(math.prod(found.extent)).reshape(found.extent))}

    def are_shared(self, sample: Sample) -> bool:
        return True
