"""Random values: what a metric says of a map that knows nothing."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.evaluation.controls import Control
from xaionnx.request import Request
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Random(Control):
    """Independent standard normal values for each element, from the seed and the input itself, in any batch."""

    @property
    def words(self) -> str:
        return "random values"

    def compute(self, request: Request) -> Attribution:
        values = {}
        for number, name in enumerate(self.names(request)):
            each = [self._drawn(sample.x[name], number) for sample in request.samples]
            values[name] = np.stack(each)[None].astype(np.float32)
        return Attribution(values)

    def _drawn(self, x: Array, number: int) -> Array:
        content = repr(x.tolist()).encode() if x.dtype == object else np.ascontiguousarray(x).tobytes()
        # Two columns that hold the same number have values of their own.
        seed = [self.seed, zlib.crc32(content), *([number] if number else [])]
        return np.random.default_rng(seed).standard_normal(x.shape)
