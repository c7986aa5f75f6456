"""The input plus Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline, check_positive
from xaionnx.perturb.element_types import common_range, rounded
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Gaussian(Baseline):
    """The input plus Gaussian noise, clipped to the range of values."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form(
            "gaussian",
            lambda share: Gaussian() if share is None else Gaussian(float(share)),
            "[:share]",
            "gaussian:0.2",
        ),
    )
    arithmetic: ClassVar[bool] = True

    share: float = 0.2
    count: int = 1

    def __post_init__(self) -> None:
        check_positive("Baseline.gaussian", "share", self.share, whole=False)
        check_positive("Baseline.gaussian", "draws", self.count, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        low, high = common_range(sample, name, "noise")
        x = sample.x[name]
        noise = rng.standard_normal((self.count, *x.shape)) * (self.share * (high - low))
        return rounded(np.clip(x + noise, low, high), x)
