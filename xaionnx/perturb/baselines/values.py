"""An array given by the user."""

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
class Values(Baseline):
    """An array that broadcasts to the batch: for all samples, or one per sample."""

    fixed: ClassVar[bool] = True

    array: Array

    __repr__ = short_repr

    def is_shared(self, sample: Sample) -> bool:
        return len(np.atleast_1d(self.array)) == 1 or self.array.ndim <= min(x.ndim for x in sample.x.values())

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        x = sample.x[name]
        if self.array.ndim == x.ndim + 1:
            if len(self.array) not in (1, sample.count):
                raise InputMismatchError(
                    f"The baseline has {len(self.array)} samples for a batch of {sample.count}. Give one, or one per "
                    "sample; to average over rows of data write 'background:FILE', or use Baseline.background."
                )
            values: Array = self.array[sample.number if len(self.array) > 1 else 0]
            return values
        return self.array
