"""How many samples go into one run: what the model can take, and what measured best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Beyond 32 most CPU models slow down; tabular ones and GPUs go on gaining.
_LADDER = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# The inputs of one batch; whatever the budget, memory stays bounded.
_BATCH_BYTES = 64 * 2**20
# A larger batch must be this much faster a sample to be worth its memory, and one this much slower ends the climb.
_GAIN, _LOSS = 0.97, 1.05


@dataclass
class Pace:
    """The batch size for one model and one input shape, tuned on the work itself.

    Climbs the sizes 1, 4, 8, ... as long as the time a sample falls, and stays at the best. Every run that
    is timed is a run whose answer was needed, so tuning costs no evaluation.

    Attributes
    ----------
    fixed : int or None
        A size given by the user or by the model; nothing is tuned then.
    limit : int
        No batch is larger; halved when memory runs out.
    """

    fixed: int | None
    limit: int
    _seconds: dict[int, list[float]] = field(default_factory=dict)
    _settled: int | None = None

    @classmethod
    def for_samples(cls, sample_bytes: int, fixed: int | None) -> Pace:
        """A pace for samples of ``sample_bytes`` bytes of input each."""
        return cls(fixed, fixed or max(1, _BATCH_BYTES // max(1, sample_bytes)))

    def size(self) -> int:
        """The size of the next batch."""
        if self.fixed is not None:
            return min(self.fixed, self.limit) if self._settled is None else self._settled
        if self._settled is not None:
            return min(self._settled, self.limit)
        for size in _LADDER:
            if size > self.limit:
                break
            timed = self._seconds.get(size, [])
            # The first run of a shape also plans its memory; a second one tells where the two are close.
            if len(timed) < 2 and not (timed and timed[0] > 1.3 * self._best_seconds(below=size)):
                return size
            if min(timed) > _LOSS * self._best_seconds(below=size):
                break
        self._settled = self._best()
        return self._settled

    def record(self, size: int, seconds: float) -> None:
        """Tell how long a batch of ``size`` took."""
        if self._settled is None and self.fixed is None:
            self._seconds.setdefault(size, []).append(seconds / size)

    def out_of_memory(self, size: int) -> None:
        """A batch of ``size`` did not fit: no later one is larger than half of it."""
        self.limit = max(1, size // 2)
        if self.fixed is not None or self._settled is not None:
            self._settled = self.limit

    def _best_seconds(self, below: int) -> float:
        return min((min(t) for size, t in self._seconds.items() if size < below), default=np.inf)

    def _best(self) -> int:
        best = 1
        for size in sorted(size for size in self._seconds if size in _LADDER):
            if best not in self._seconds or min(self._seconds[size]) < _GAIN * min(self._seconds[best]):
                best = size
        return best


def same_rows(alone: Mapping[str, Any], together: Mapping[str, Any], size: int) -> bool:
    """Whether the first row of outputs computed in a batch of ``size`` equals the row computed alone.

    Floats may differ by rounding: 1e-3 of the largest value (2e-2 in float16).
    """
    for name, one in alone.items():
        many = together[name]
        if np.ndim(one) == 0 or np.ndim(many) != np.ndim(one) or len(one) != 1 or len(many) != size:
            return False
        a, b = one[0], many[0]
        if np.shape(a) != np.shape(b):
            return False
        if np.issubdtype(one.dtype, np.floating):
            tolerance = 2e-2 if one.dtype == np.float16 else 1e-3
            finite = np.isfinite(a)
            scale = np.max(np.abs(a[finite]), initial=1e-6)
            if not np.array_equal(finite, np.isfinite(b)) or np.any(np.abs(a[finite] - b[finite]) > tolerance * scale):
                return False
        elif not np.array_equal(a, b):
            return False
    return True
