"""How many samples go into one run: what the model can take, and what measured best."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.typing import Facts

# Beyond 32 most CPU models slow down; tabular ones and GPUs go on gaining.
_LADDER = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# 4 to 16 is usual.
_START = 1
# The inputs of one batch; whatever the budget, memory stays bounded.
_BATCH_BYTES = 64 * 2**20
# A rival must be this much faster a sample to be worth the change, and is out where it is this much slower.
_GAIN, _LOSS = 0.97, 1.3
# In a run this short the session's own start counts for more than the samples.
_SHORT_S = 1e-3
# A run that is expected to be over so soon need not be one that Ctrl-C can stop.
_BRIEF_S = 0.1
_TURNS = 2
_FIRST_REST, _LONGEST_REST = 32, 1024


@dataclass
class BatchSizeTuner:
    """The batch size for one model and one input shape, tuned on the work itself.

    As long as a run takes hardly any time the batch is quadrupled. Then the size in use and its next larger or
    smaller rival take turns, so that other work on the machine slows down both, and the faster one stays; again
    after a rest, which doubles each time nothing changes. Every run that is timed is a run whose answer was needed,
    so tuning costs no evaluation.

    Attributes
    ----------
    fixed : int or None
        A size given by the user or by the model; nothing is tuned then.
    limit : int
        No batch is larger; halved when memory runs out.
    """

    fixed: int | None
    limit: int
    _rung: int = _START
    _growing: bool = True
    # The rungs that are still to be compared with, and the times of the present comparison.
    _rivals: list[int] = field(default_factory=list)
    _times: dict[int, list[float]] = field(default_factory=dict)
    _known: set[int] = field(default_factory=set)
    _defeats: dict[int, int] = field(default_factory=dict)
    _rest: int = 0
    _next_rest: int = _FIRST_REST
    _sample_s: float = np.inf

    __repr__ = short_repr

    @classmethod
    def for_samples(cls, sample_bytes: int, fixed: int | None) -> BatchSizeTuner:
        """A pace for samples of ``sample_bytes`` bytes of input each."""
        return cls(fixed, fixed or max(1, _BATCH_BYTES // max(1, sample_bytes)))

    def size(self, left: int) -> int:
        """The size of the next batch, where ``left`` samples are still to be answered."""
        if self.fixed is not None:
            return min(self.fixed, self.limit, left)
        size = _LADDER[self._turn()]
        if size > left and not self._growing:
            size = _LADDER[self._rung]
        return min(size, self.limit, left)

    def is_brief(self, size: int) -> bool:
        """Whether a run of ``size`` samples is known to take no time that a user would notice."""
        return size * self._sample_s < _BRIEF_S

    def record(self, size: int, seconds: float) -> None:
        """Tell how long a batch of ``size`` took."""
        self._sample_s = seconds / size
        turn = self._turn()
        if self.fixed is not None or size != _LADDER[turn]:
            return
        if self._growing:
            self._known.add(turn)
            if seconds < _SHORT_S and self._allowed(turn + 1):
                self._rung = turn + 2 if self._allowed(turn + 2) else turn + 1
            else:
                self._growing = False
                self._rivals = self._neighbours()
        elif self._rivals:
            self._compare(turn, seconds / size)
        else:
            self._rest -= 1
            if self._rest <= 0:
                self._rivals = self._neighbours()

    def out_of_memory(self, size: int) -> None:
        """A batch of ``size`` did not fit: no later one is larger than half of it."""
        self.limit = max(1, size // 2)
        self._growing, self._rivals, self._times = False, [], {}
        while self._rung > 0 and _LADDER[self._rung] > self.limit:
            self._rung -= 1

    def _turn(self) -> int:
        """The rung whose turn it is."""
        if not self._rivals:
            return self._rung
        rival = self._rivals[0]
        # The first run of a shape also plans its memory, and is not compared.
        if rival not in self._known or len(self._times.get(rival, ())) < len(self._times.get(self._rung, ())):
            return rival
        return self._rung

    def _compare(self, turn: int, seconds: float) -> None:
        rival = self._rivals[0]
        if turn not in self._known:
            self._known.add(turn)
            return
        self._times.setdefault(turn, []).append(seconds)
        if turn != rival:
            return
        own, other = min(self._times[self._rung]), min(self._times[rival])
        if other > _LOSS * own:
            self._defeats[rival] = self._defeats.get(rival, 0) + 1
        elif len(self._times[rival]) < _TURNS:
            return
        self._times = {}
        if other < _GAIN * own:
            # Go on in this direction; where it came from has just lost.
            before, self._rung = self._rung, rival
            self._rivals = [r for r in self._neighbours() if r != before]
            self._next_rest = _FIRST_REST
        else:
            self._rivals = self._rivals[1:]
        if not self._rivals:
            self._rest = self._next_rest
            self._next_rest = min(2 * self._next_rest, _LONGEST_REST)

    def _neighbours(self) -> list[int]:
        near = (self._rung + 1, self._rung - 1)
        # Twice clearly slower is no accident.
        return [rung for rung in near if self._allowed(rung) and self._defeats.get(rung, 0) < 2]

    def _allowed(self, rung: int) -> bool:
        return 0 <= rung < len(_LADDER) and _LADDER[rung] <= self.limit


def same_rows(alone: Facts, together: Facts, size: int) -> bool:
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
