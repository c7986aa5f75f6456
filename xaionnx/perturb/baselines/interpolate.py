"""A straight line across the absent part of a series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.series import time_positions
from xaionnx.errors import ParameterError
from xaionnx.hooks import hook
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import check_mixable, numbers, rounded
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Interpolate(Baseline):
    """A straight line in time between the present neighbours of an absent part, for each channel by itself.

    Absent segments next to each other are one part. At an end the value of the nearest present step is held. A channel
    of which nothing is present is its mean over the sample.
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("interpolate", lambda _: Interpolate()),)

    @hook
    def interpolates(self, name: str) -> bool:
        del name
        return True

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        found = time_positions(sample, name) or sample.placed("baseline='interpolate'", name)
        if len(found.axes) != 1:
            raise ParameterError(
                f"baseline='interpolate' is for series, but input '{name}' has the shape {('N', *found.shape)} with "
                f"{len(found.axes)} axes of space. Use 'blur', 'mean' or a number."
            )
        check_mixable(sample, name, "interpolation", "Give rows of data, as in background='rows.csv'.")
        return rounded(np.nanmean(numbers(sample, name), axis=found.axes, keepdims=True), sample.x[name])
