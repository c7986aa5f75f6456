"""Rows of data, over which outputs are averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError
from xaionnx.perturb.baseline import Baseline
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Background(Baseline):
    """Rows of data."""

    fixed: ClassVar[bool] = True

    rows: Array

    __repr__ = short_repr

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        if self.rows.ndim != sample.x[name].ndim + 1:
            raise InputMismatchError(
                f"Background rows for input '{name}' must have the shape {('B', *sample.x[name].shape)}. "
                f"Got {self.rows.shape} instead."
            )
        return self.rows
