"""A budget of time that is shared by the parts of a long computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

from xaionnx.errors import TimeLimitError
from xaionnx.runtime import progress


@final
@dataclass
class TimeShare:
    """Gives each of ``parts`` an equal share of the time that is left, so that cheap ones leave theirs to the others.

    Attributes
    ----------
    ends : float or None
        When the time is over, by the clock; None if it is not limited.
    parts : int
        The number of parts that have not begun.
    clock : callable
        Returns the time in seconds.
    """

    ends: float | None
    parts: int
    clock: Callable[[], float]

    def skip(self, parts: int) -> None:
        """Leave the shares of some parts to the others."""
        self.parts -= parts

    def part(self) -> AbstractContextManager[None]:
        """Stop the block with TimeLimitError at the first evaluations after its share is used up."""
        left, self.parts = max(1, self.parts), self.parts - 1
        if self.ends is None:
            return nullcontext()
        now = self.clock()
        return _stopped(now + max(0.0, self.ends - now) / left, self.clock)


@contextmanager
def _stopped(end: float, clock: Callable[[], float]) -> Iterator[None]:
    began = clock()
    with progress.listening(_Until(progress.current(), began, end, clock)):
        yield


@final
@dataclass(frozen=True)
class _Until:
    """Passes progress on, and raises an error after the end."""

    inner: progress.Listener
    began: float
    end: float
    clock: Callable[[], float]

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
            raise TimeLimitError(
                f"It needs more than its share of the time, {self.end - self.began:.2g} s. Raise the budget, or name "
                "fewer methods and metrics."
            )
