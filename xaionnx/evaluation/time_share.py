"""A budget of time that is shared by the parts of a long computation."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final, final

from xaionnx.errors import ParameterError, TimeLimitError
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr

Clock = Callable[[], float]
TOO_LONG: Final = "It takes longer than its share of the time. Raise the budget, or name fewer methods and metrics."
USED_UP: Final = "The time is used up. Raise the budget, or name fewer methods and metrics."

# Evaluations that will take so many times their limit are stopped.
_HOPELESS: Final = 2.0

OUT_OF_TIME: Final = (TOO_LONG, USED_UP)
"""Why something was not done that more time allows."""


@final
@dataclass(frozen=True)
class TimeShare:
    """Time until ``end`` by a clock, in seconds; without a limit if it is None.

    Parts that are given an equal share of what is left, one after the other, leave what they do not need to the next.
    """

    end: float | None
    clock: Clock

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

    def of(self, parts: float) -> TimeShare:
        """Return the share of one of ``parts`` that are still to come.

        Raises
        ------
        TimeLimitError
            No time is left.
        """
        return self if self.end is None else self.within((self.end - self.clock()) / parts)

    def within(self, seconds: float) -> TimeShare:
        """Return at most so many seconds of it, from now on.

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
        return TimeShare(min(self.end, now + seconds), self.clock)

    def left(self) -> float:
        """Seconds until the end; infinity without a limit."""
        return math.inf if self.end is None else self.end - self.clock()

    def limit(self) -> AbstractContextManager[None]:
        """Stop the block with TimeLimitError where its evaluations take longer, or clearly will.

        The error says how long they are expected to take in all.
        """
        return nullcontext() if self.end is None else _stopped(self.end, self.clock)


@final
@dataclass(frozen=True)
class Limits:
    """The time that scores may take: at most so many seconds of a method by a metric, until all of the time is used up.

    Attributes
    ----------
    time_left : TimeShare
    seconds : dict of float by method and metric, optional
        Those without an entry may take all of the time.
    """

    time_left: TimeShare
    seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)

    __repr__ = short_repr

    def of(self, method: str, metrics: Collection[str]) -> TimeShare:
        """Return the time of scores together.

        Raises
        ------
        TimeLimitError
            No time is left.
        """
        return self.time_left.within(sum(self.seconds.get((method, metric), math.inf) for metric in metrics))


@contextmanager
def _stopped(end: float, clock: Clock) -> Iterator[None]:
    with progress.listening(_Until(progress.current(), clock(), end, clock)):
        yield


@final
@dataclass(eq=False)
class _Until:
    """Passes progress on, and raises an error after the end, or when those to come will clearly take until after it."""

    inner: progress.Listener
    began: float
    end: float
    clock: Clock
    _expected: int = 0
    _done: int = 0
    # When the first evaluations were announced, and when they were done: how many were done at these times.
    _since: list[tuple[float, int]] = field(default_factory=list)

    def expect(self, evaluations: int) -> None:
        self._expected += evaluations
        self.inner.expect(evaluations)
        self._check()
        if not self._since:
            self._since.append((self.clock(), 0))

    def advance(self, evaluations: int) -> None:
        self._done += evaluations
        self.inner.advance(evaluations)
        self._check()
        if len(self._since) == 1:
            self._since.append((self.clock(), self._done))

    def phase(self, words: str) -> None:
        self.inner.phase(words)

    def _check(self) -> None:
        now, limit = self.clock(), self.end - self.began
        seconds = now - self.began + self._to_come(now)
        # The first evaluations take longer than others.
        hopeless = _HOPELESS if len(self._since) > 1 else _HOPELESS**2
        if now > self.end or seconds > hopeless * limit:
            error = TimeLimitError(TOO_LONG)
            error.seconds = max(seconds, _HOPELESS * limit)
            raise error

    def _to_come(self, now: float) -> float:
        """Seconds of the evaluations that are still to come, by those that were done since the first."""
        since, before = self._since[-1] if self._since else (now, 0)
        done = self._done - before
        return max(0, self._expected - self._done) * (now - since) / done if done > 0 else 0.0
