"""Choice of the batch size: what the model accepts, and what is fastest."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.typing import DType, Facts

# Most models on CPUs slow down above 32; tabular models and GPUs continue to gain.
_LADDER = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# Usually 4 to 16.
_START = 1
# Maximum size of the inputs of one batch.
_BATCH_BYTES = 64 * 2**20
# Time per sample, relative to the size in use, below which a rival replaces it, and above which it is rejected.
_GAIN, _LOSS = 0.97, 1.3
# In shorter runs the overhead of the session dominates, and other work on the machine may take several times as long.
_SHORT_S = 1e-3
# What it takes to write the inputs of a batch and to read its outputs, whatever its size.
_CALL_S = 5e-5
# Shorter runs need not be interruptible by Ctrl-C.
_BRIEF_S = 0.1
_TURNS, _SHORT_TURNS = 2, 4
# Runs of a size that are long before it is taken to be the size, and not other work on the machine.
_LONG_RUNS = 3
# Share of the largest value by which a row may differ in two batches of one size; of float16 if True.
_REPEATED = {False: 1e-5, True: 2e-3}
_FIRST_REST, _LONGEST_REST = 32, 1024


@dataclass
class BatchSizeTuner:
    """Tunes the batch size for one model and one input shape during the work.

    While runs are very short, the batch is quadrupled, until several runs of a size are long. Then the size in use
    alternates with the next larger or smaller size, so that other load on the machine slows down both, and the faster
    one is kept. The comparison is repeated after a pause, which doubles each time nothing changes. Only runs whose
    outputs are needed are timed, so tuning costs no evaluations.

    Attributes
    ----------
    fixed : int or None
        A size given by the user or by the model, which is not tuned.
    limit : int
        Maximum size; halved when memory runs out.
    """

    fixed: int | None
    limit: int
    _rung: int = _START
    _growing: bool = True
    _long_runs: int = 0
    # The sizes still to be compared, as indices of the ladder, and the times of the current comparison.
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
        """Return a tuner for samples with ``sample_bytes`` bytes of input each."""
        return cls(fixed, fixed or max(1, _BATCH_BYTES // max(1, sample_bytes)))

    def size(self, left: int) -> int:
        """Return the size of the next batch if ``left`` samples remain."""
        if self.fixed is not None:
            return min(self.fixed, self.limit, left)
        size = _LADDER[self._turn()]
        if size > left and not self._growing:
            size = _LADDER[self._rung]
        return min(size, self.limit, left)

    def is_brief(self, size: int) -> bool:
        """Whether a run of ``size`` samples is known to be too short for a user to notice."""
        return size * self._sample_s < _BRIEF_S

    def record(self, size: int, seconds: float) -> None:
        """Record the time of a batch of ``size``."""
        self._sample_s = seconds / size
        turn = self._turn()
        if self.fixed is not None or size != _LADDER[turn]:
            return
        if self._growing:
            self._known.add(turn)
            self._long_runs = self._long_runs + 1 if seconds >= _SHORT_S else 0
            if 0 < self._long_runs < _LONG_RUNS:
                return
            if self._long_runs == 0 and self._allowed(turn + 1):
                self._rung = turn + 2 if self._allowed(turn + 2) else turn + 1
            else:
                self._growing = False
                self._rivals = self._neighbours()
        elif self._rivals:
            self._compare(turn, (seconds + _CALL_S) / size, _SHORT_TURNS if seconds < _SHORT_S else _TURNS)
        else:
            self._rest -= 1
            if self._rest <= 0:
                self._rivals = self._neighbours()

    def out_of_memory(self, size: int) -> None:
        """Limit the size to half of ``size``, which did not fit into memory."""
        self.limit = max(1, size // 2)
        self._growing, self._rivals, self._times = False, [], {}
        while self._rung > 0 and _LADDER[self._rung] > self.limit:
            self._rung -= 1

    def _turn(self) -> int:
        """Return the index of the size to use next."""
        if not self._rivals:
            return self._rung
        rival = self._rivals[0]
        # The first run of a shape includes memory planning, and is not compared.
        if rival not in self._known or len(self._times.get(rival, ())) < len(self._times.get(self._rung, ())):
            return rival
        return self._rung

    def _compare(self, turn: int, seconds: float, turns: int) -> None:
        """Compare the time per sample of the size in use and of its rival, after ``turns`` runs of each."""
        rival = self._rivals[0]
        if turn not in self._known:
            self._known.add(turn)
            return
        self._times.setdefault(turn, []).append(seconds)
        if turn != rival:
            return
        current, other = min(self._times[self._rung]), min(self._times[rival])
        if other > _LOSS * current and (turns == _TURNS or len(self._times[rival]) >= turns):
            self._defeats[rival] = self._defeats.get(rival, 0) + 1
        elif len(self._times[rival]) < turns:
            return
        self._times = {}
        if other < _GAIN * current:
            # Continue in this direction; the previous size has just lost.
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
        # A size that was clearly slower twice is not tried again.
        return [rung for rung in near if self._allowed(rung) and self._defeats.get(rung, 0) < 2]

    def _allowed(self, rung: int) -> bool:
        return 0 <= rung < len(_LADDER) and _LADDER[rung] <= self.limit


def same_rows(alone: Facts, together: Facts, size: int, *, rounding: bool = True) -> bool:
    """Whether the first row of outputs of a batch of ``size`` equals the row computed alone.

    Floats may differ by a share of the largest value: with ``rounding`` by 1e-3 (2e-2 in float16), as in batches of
    unlike sizes, else by 1e-5 (2e-3), as for a row that is computed twice in batches of one size.
    """
    for name, one in alone.items():
        many = together[name]
        if np.ndim(one) == 0 or np.ndim(many) != np.ndim(one) or len(one) != 1 or len(many) != size:
            return False
        a, b = one[0], many[0]
        if np.shape(a) != np.shape(b):
            return False
        if np.issubdtype(one.dtype, np.floating):
            tolerance = rounding_of(one.dtype) if rounding else _REPEATED[one.dtype == np.float16]
            finite = np.isfinite(a)
            scale = np.max(np.abs(a[finite]), initial=1e-6)
            if not np.array_equal(finite, np.isfinite(b)) or np.any(np.abs(a[finite] - b[finite]) > tolerance * scale):
                return False
        elif not np.array_equal(a, b):
            return False
    return True


def rounding_of(dtype: DType) -> float:
    """Return the share of the largest value by which numbers may differ in batches of unlike sizes."""
    return 2e-2 if dtype == np.float16 else 1e-3
