"""The mean or the median of rows of data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import no_strings, rounded
from xaionnx.perturb.rows import RowsLike, read_rows, rows_of
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Average(Baseline):
    """The mean or the median of each element over rows of data, without missing values."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("median", lambda path: Average(Path(path), "median"), ":file", "median:rows.csv"),
    )
    arithmetic: ClassVar[bool] = True
    fixed: ClassVar[bool] = True

    rows: RowsLike
    statistic: Literal["mean", "median"] = "mean"

    __repr__ = short_repr

    def bind(self, model: Model) -> Baseline:
        return replace(self, rows=read_rows(self.rows, model))

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        rows = rows_of(self.rows, sample, name)
        if rows.dtype.kind not in "fiub":
            raise no_strings(name)
        with warnings.catch_warnings():
            # A column without any value stays without one.
            warnings.filterwarnings("ignore", "(Mean of empty slice|All-NaN slice)", RuntimeWarning)
            middle = (np.nanmedian if self.statistic == "median" else np.nanmean)(rows.astype(np.float64), axis=0)
        return rounded(np.asarray(middle), sample.x[name])
