"""Uniform noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline, check_positive
from xaionnx.perturb.element_types import common_range, rounded
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Uniform(Baseline):
    """Uniform noise over the range of values."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("uniform", lambda draws: Uniform(*integers(draws)), "[:draws]", "uniform:4"),
    )
    arithmetic: ClassVar[bool] = True

    count: int = 1

    def __post_init__(self) -> None:
        check_positive("Baseline.uniform", "draws", self.count, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = common_range(sample, name, "noise")
        return rounded(rng.uniform(low, high, (self.count, *sample.x[name].shape)), sample.x[name])
