"""Progress of long work, told to whoever listens.

The engine reports model evaluations as they are answered; the command line draws them. Nothing is
reported, and nothing costs, where nobody listens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Receives what is planned and what is done, in model evaluations."""

    def expect(self, evaluations: int) -> None:
        """Some more evaluations are planned; a negative number takes back what an early stop saved."""

    def advance(self, evaluations: int) -> None:
        """Some evaluations were answered."""


_listener: ContextVar[Listener | None] = ContextVar("xaionnx_progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Report all evaluations inside the block to ``listener``.

    Examples
    --------
    >>> class Count:
    ...     done = 0
    ...     def expect(self, evaluations): pass
    ...     def advance(self, evaluations): self.done += evaluations
    >>> count = Count()
    >>> with listening(count):
    ...     advance(3)
    >>> count.done
    3
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def expect(evaluations: int) -> None:
    """Announce planned evaluations."""
    listener = _listener.get()
    if listener is not None:
        listener.expect(evaluations)


def advance(evaluations: int) -> None:
    """Announce answered evaluations."""
    listener = _listener.get()
    if listener is not None:
        listener.advance(evaluations)
