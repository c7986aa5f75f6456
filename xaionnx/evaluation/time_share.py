"""A budget of time that is shared by the parts of a long computation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, final

from xaionnx.errors import ParameterError, TimeLimitError
from xaionnx.runtime import progress

Clock = Callable[[], float]
TOO_LONG: Final = "It takes longer than its share of the time. Raise the budget, or name fewer methods and metrics."
USED_UP: Final = "The time is used up. Raise the budget, or name fewer methods and metrics."

OUT_OF_TIME: Final = (TOO_LONG, USED_UP)
"""Why something was not done that more time allows."""


@final
@dataclass(frozen=True)
class TimeShare:
    """Time until ``end`` by a clock, in seconds; without a limit if it is None.

    Parts that are given an equal share of what is left, one after the other, leave what they do not need to the next.
    If it is not ``divided``, each part may use all of it.
    """

    end: float | None
    clock: Clock
    divided: bool = True

    @classmethod
    def starting(cls, seconds: float | None, clock: Clock) -> TimeShare:
        """Return a time that starts now; without a limit if ``seconds`` is None.

        Raises
        ------
        ParameterError
            The seconds are NaN, which no time is after.
        """
        if seconds is not None and math.isnan(seconds):
            raise ParameterError("The 'budget_s' parameter must be a number of seconds. Got nan instead.")
        return cls(None if seconds is None else clock() + seconds, clock)

    def undivided(self) -> TimeShare:
        """Return the same time, of which each part may use all."""
        return dataclasses.replace(self, divided=False)

    def of(self, parts: float) -> TimeShare:
        """Return the share of one of ``parts`` that are still to come.

        Raises
        ------
        TimeLimitError
            No time is left.
        """
        if self.end is None:
            return self
        now = self.clock()
        if now >= self.end:
            raise TimeLimitError(USED_UP)
        return TimeShare(now + (self.end - now) / parts, self.clock) if self.divided else self

    def left(self) -> float:
        """Seconds until the end; infinity without a limit."""
        return math.inf if self.end is None else self.end - self.clock()

    def limit(self) -> AbstractContextManager[None]:
        """Stop the block with TimeLimitError at the first evaluations after the end."""
        return nullcontext() if self.end is None else _stopped(self.end, self.clock)


@contextmanager
def _stopped(end: float, clock: Clock) -> Iterator[None]:
    with progress.listening(_Until(progress.current(), end, clock)):
        yield


@final
@dataclass(frozen=True)
class _Until:
    """Passes progress on, and raises an error after the end."""

    inner: progress.Listener
    end: float
    clock: Clock

    def expect(self, evaluations: int) -> None:
        self._check()
        self.inner.expect(evaluations)

    def advance(self, evaluations: int) -> None:
        self.inner.advance(evaluations)
        self._check()

    def phase(self, words: str) -> None:
        self.inner.phase(words)

    def _check(self) -> None:
        if self.clock() > self.end:
            raise TimeLimitError(TOO_LONG)
