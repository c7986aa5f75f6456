"""Random values: what a metric says of a map that knows nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.evaluation.controls import Control
from xaionnx.request import Request


@final
@dataclass(frozen=True, kw_only=True)
class Random(Control):
    """Independent standard normal values for each element, from the seed and the number of the sample."""

    @property
    def words(self) -> str:
        return "random values"

    def compute(self, request: Request) -> Attribution:
        values = {}
        for number, (name, first) in enumerate(request.samples[0].data.items()):
            each = [
                np.random.default_rng([self.seed, n, number]).standard_normal(first.shape)
                for n in range(len(request.samples))
            ]
            values[name] = np.stack(each)[None].astype(np.float32)
        return Attribution(values)
