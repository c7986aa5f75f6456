"""The mean of each channel of the input, or of each element over rows of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.average import Average
from xaionnx.perturb.element_types import is_row, numbers, rounded
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Mean(Baseline):
    """The mean of each channel of a picture or series, over its positions."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("mean", lambda path: Mean() if path is None else Average(Path(path)), "[:file]", "mean:rows.csv"),
    )
    arithmetic: ClassVar[bool] = True

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        x, found = numbers(sample, name), sample.positions(name)
        if is_row(sample, name) and x.size > 1:
            raise ParameterError(
                f"The mean of the {x.size} columns of input '{name}' is no baseline, since columns are not alike. Give "
                "rows of data for the mean of each column, Baseline.mean(rows) or 'mean:rows.csv', or a number."
            )
        if found is None and x.ndim > 1 and x.size > 1:
            found = sample.placed("baseline='mean'", name)
        mean = np.nanmean(x, axis=None if found is None else found.axes, keepdims=True)
        return rounded(mean, sample.x[name])
