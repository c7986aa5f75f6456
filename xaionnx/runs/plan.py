"""Plan: how the units of a data set that are to be explained are cut into shards, and what becomes of lost ones."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, final

from xaionnx.runs.job import Outcome, Shard

# Seconds of work in a shard: a run that is killed loses at most this much for each worker.
_SECONDS: Final = 10.0
# Size of the inputs of a shard, and of what is kept of each row besides; results take about as much memory.
_BYTES: Final = 2**24
_ROW_BYTES: Final = 2**12
# Units of a shard as long as no row could be read, so that nothing is known of their cost.
_UNKNOWN: Final = 64
# Units of the first shards, until one is timed: each has twice as many as the one before, up to this.
_UNTIMED: Final = 4
# A shard is at most so many times as long as one that was timed, or takes the least seconds.
_GROWTH: Final = 8
# Each of the last shards takes half of what is left, so that workers end together and little remains to be written.
# Work of fewer seconds is not divided: to begin and to write a shard takes some milliseconds.
_LEAST_SECONDS: Final = 0.05
# A shard that ended so many workers, which had nothing else to do, is divided; a single unit is given up.
LIVES: Final = 3
"""How often a unit may end its worker before it is given up."""


@final
class Plan:
    """The shards that are still to be done.

    Parameters
    ----------
    ranges : iterable of range
        The units to explain, in order; a range without an end that is known is that of an iterable.
    """

    def __init__(self, ranges: Iterable[range]) -> None:
        self._ranges = deque(one for one in ranges if len(one))
        self._left = sum(map(len, self._ranges))
        self._size = self._least = 1
        self._timed = False
        self._suspects: deque[Shard] = deque()
        self._losses: dict[Shard, int] = {}
        self._flying: set[Shard] = set()

    @property
    def in_flight(self) -> int:
        """How many shards are under way."""
        return len(self._flying)

    def next(self) -> Shard | None:
        """Return the next shard to begin; None to wait, or if nothing is left.

        One that ended a worker is done alone, so that it is known which of several shards does.
        """
        if self._suspects:
            return self._begin(self._suspects.popleft()) if not self._flying else None
        if not self._losses.keys().isdisjoint(self._flying) or not self._ranges:
            return None
        first = self._ranges.popleft()
        last = self._left if self._left < 2 * self._least else math.ceil(self._left / 2)
        shard = Shard(first.start, min(first.stop, first.start + min(self._size, last)))
        self._left -= len(shard)
        if not self._timed:
            self._size = max(self._size, min(2 * self._size, _UNTIMED))
        if shard.stop < first.stop:
            self._ranges.appendleft(range(shard.stop, first.stop))
        return self._begin(shard)

    def _begin(self, shard: Shard) -> Shard:
        self._flying.add(shard)
        return shard

    def done(self, outcome: Outcome) -> bool:
        """Note what became of a shard, and return whether that was not known yet."""
        if outcome.shard not in self._flying:
            return False
        self._flying.discard(outcome.shard)
        self._losses.pop(outcome.shard, None)
        if outcome.stop < outcome.shard.stop:
            # An iterable has ended.
            self._ranges.clear()
        count = outcome.rows + outcome.refused
        if not outcome.rows:
            self._size = max(self._size, min(_GROWTH * count, _UNKNOWN))
        else:
            each = max(outcome.seconds / outcome.rows, 1e-9)
            size = outcome.bytes / outcome.rows + _ROW_BYTES
            self._least = max(1, int(_LEAST_SECONDS / each))
            self._size = max(1, min(int(_SECONDS / each), int(_BYTES / size), max(_GROWTH * count, self._least)))
            self._timed = True
        return True

    def lost(self, shards: Iterable[Shard]) -> Shard | None:
        """Note shards whose worker ended, and return the one that is given up, if it ended too many."""
        known = [shard for shard in shards if shard in self._flying]
        self._flying -= {*known}
        for shard in known:
            self._losses[shard] = self._losses.get(shard, 0) + (len(known) == 1)
            if self._losses[shard] < LIVES:
                self._suspects.append(shard)
            elif len(shard) == 1:
                del self._losses[shard]
                return shard
            else:
                del self._losses[shard]
                for half in shard.halves():
                    # That one of both ends workers is known; a single unit gets its chances anew.
                    self._losses[half] = 0 if len(half) == 1 else LIVES - 1
                    self._suspects.append(half)
        return None
