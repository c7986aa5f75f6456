"""The picture, series or volume, blurred."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline, check_positive
from xaionnx.perturb.element_types import rounded
from xaionnx.registry import Form, number
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Blur(Baseline):
    """A Gaussian blur over height and width, over time, or over the places of a volume."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("blur", lambda sigma: Blur(*number(sigma)), "[:sigma]", "blur:10"),
    )
    arithmetic: ClassVar[bool] = True

    sigma: float = 10.0

    def __post_init__(self) -> None:
        check_positive("Baseline.blur", "sigma", self.sigma, whole=False)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        from scipy.ndimage import gaussian_filter

        found = sample.placed("baseline='blur'", name)
        x = sample.x[name]
        wide = x if x.dtype == np.float32 else x.astype(np.float64)
        return rounded(gaussian_filter(wide, self.sigma, axes=found.axes, mode="nearest"), x)
