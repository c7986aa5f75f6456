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
        for name in request.samples[0].data:
            each = [self._drawn(sample.x[name]) for sample in request.samples]
            values[name] = np.stack(each)[None].astype(np.float32)
        return Attribution(values)

    def _drawn(self, x: Array) -> Array:
        content = repr(x.tolist()).encode() if x.dtype == object else np.ascontiguousarray(x).tobytes()
        return np.random.default_rng([self.seed, zlib.crc32(content)]).standard_normal(x.shape)
