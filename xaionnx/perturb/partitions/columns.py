"""Groups of columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Columns(Features):
    """Groups of columns of the explained input, along its last axis."""

    groups: tuple[tuple[int, ...], ...]

    __repr__ = short_repr

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        columns = sample.array.shape[-1]
        flat = [c for group in self.groups for c in group]
        if len(set(flat)) != len(flat) or any(not 0 <= c < columns for c in flat) or () in self.groups:
            raise ParameterError(
                f"Groups must contain columns in 0..{columns - 1}, each at most once. Got {self.groups} instead."
            )
        labels = np.arange(columns)
        for group in self.groups:
            labels[list(group)] = min(group)
        return {sample.main: labels}

    def are_shared(self, sample: Sample) -> bool:
        return True
