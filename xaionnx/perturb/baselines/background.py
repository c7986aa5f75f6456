"""Rows of data, over which outputs are averaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.rows import RowsLike, read_rows, rows_of
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Background(Baseline):
    """Rows of data: an array for the explained input, arrays by input name, or a file."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("background", lambda path: Background(Path(path)), ":file", "background:rows.csv"),
    )
    fixed: ClassVar[bool] = True

    rows: RowsLike

    __repr__ = short_repr

    def bind(self, model: Model) -> Baseline:
        return replace(self, rows=read_rows(self.rows, model))

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return rows_of(self.rows, sample, name)
