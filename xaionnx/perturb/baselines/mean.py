"""The mean of each channel of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import numbers, rounded
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Mean(Baseline):
    """The mean of each channel."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("mean", lambda _: Mean()),)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        axes = sample.axes(name)
        mean = numbers(sample, name).mean(axis=None if axes is None else axes[1], keepdims=True)
        return rounded(mean, sample.x[name])
