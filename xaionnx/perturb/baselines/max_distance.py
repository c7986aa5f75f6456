"""The farther end of the range of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import common_range, numbers
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class MaxDistance(Baseline):
    """The end of the range of values that is farther from each element.

    References
    ----------
    Sturmfels, Lundberg and Lee, Visualizing the impact of feature attribution baselines, Distill 2020,
    doi:10.23915/distill.00022.
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("max_distance", lambda _: MaxDistance()),)
    arithmetic: ClassVar[bool] = True

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = common_range(sample, name, "its ends")
        x = numbers(sample, name)
        return np.where(x - low > high - x, low, high)
