"""Gaussian noise around the mean of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline, check_positive
from xaionnx.perturb.element_types import is_row, numbers, rounded
from xaionnx.registry import Form, integers
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Noise(Baseline):
    """Gaussian noise with the mean and the standard deviation of each channel over the sample."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("noise", lambda draws: Noise(*integers(draws)), "[:draws]", "noise:4"),
    )
    arithmetic: ClassVar[bool] = True

    count: int = 1

    def __post_init__(self) -> None:
        check_positive("Baseline.noise", "draws", self.count, whole=True)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        x = numbers(sample, name)
        if is_row(sample, name):
            raise ParameterError(
                f"The deviation of the columns of input '{name}' is no noise, since columns are not alike. Give rows "
                "of data, Baseline.background(rows) or 'background:rows.csv'."
            )
        axes = sample.placed("baseline='noise'", name).axes
        mean, deviation = (statistic(x, axis=axes, keepdims=True) for statistic in (np.nanmean, np.nanstd))
        return rounded(mean + rng.standard_normal((self.count, *x.shape)) * deviation, sample.x[name])
