"""Progress of long computations, reported to a listener.

The package reports completed model evaluations, and the command line displays them. Without a listener nothing is
reported, at no cost.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

DELAY: Final = 2.0
"""Seconds before a bar appears; shorter work needs none."""

# Seconds between two updates: a notebook keeps each until the next.
_PAUSE: Final = 0.25


class Listener(Protocol):
    """Receives the numbers of planned and of completed model evaluations."""

    def expect(self, evaluations: int) -> None:
        """Add planned evaluations; a negative number removes those saved by an early stop."""

    def advance(self, evaluations: int) -> None:
        """Add completed evaluations."""

    def phase(self, words: str) -> None:
        """Say what is done beside evaluations, such as a long fit; an empty text ends it."""


class Silent:
    """A listener that shows nothing."""

    def expect(self, evaluations: int) -> None:
        """Do nothing."""

    def advance(self, evaluations: int) -> None:
        """Do nothing."""

    def phase(self, words: str) -> None:
        """Do nothing."""


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
    ...     def phase(self, words): pass
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


def current() -> Listener:
    """Return the listener, or one that shows nothing."""
    return _listener.get() or Silent()


def expect(evaluations: int) -> None:
    """Report planned evaluations."""
    listener = _listener.get()
    if listener is not None:
        listener.expect(evaluations)


def advance(evaluations: int) -> None:
    """Report completed evaluations."""
    listener = _listener.get()
    if listener is not None:
        listener.advance(evaluations)


def phase(words: str) -> None:
    """Report what is done beside evaluations; an empty text ends it."""
    listener = _listener.get()
    if listener is not None:
        listener.phase(words)


_shown: bool | None = None


def show_progress(shown: bool | None = None) -> None:
    """Set where :func:`xaionnx.explain` shows a progress bar for work of more than two seconds.

    Parameters
    ----------
    shown : bool, optional
        True: in notebooks and, as a line on stderr, everywhere else. False: nowhere. None (initially): only in
        notebooks.

    Examples
    --------
    >>> show_progress(False)
    >>> show_progress()
    """
    global _shown  # noqa: PLW0603 - one setting per process
    _shown = shown


@contextmanager
def bar() -> Iterator[None]:
    """Show a bar for evaluations inside the block, depending on :func:`show_progress`, unless there is a listener."""
    notebook = _notebook_draw()
    if _listener.get() is not None or _shown is False or (_shown is None and notebook is None):
        yield
        return
    drawn = _Bar(_draw_on_stderr if notebook is None else notebook)
    try:
        with listening(drawn):
            yield
    finally:
        drawn.clear()


class _Bar:
    """Counts evaluations and displays them after a delay; ``draw(0, 0, "")`` clears the display."""

    def __init__(self, draw: Callable[[int, int, str], None]) -> None:
        self._draw, self._done, self._expected, self._words = draw, 0, 0, ""
        self._next = time.perf_counter() + DELAY
        self._visible = False

    def expect(self, evaluations: int) -> None:
        self._expected += evaluations

    def advance(self, evaluations: int) -> None:
        self._done += evaluations
        if time.perf_counter() >= self._next:
            self._update()

    def phase(self, words: str) -> None:
        self._words = f", {words}" if words else ""
        # A phase is reported only if it is long.
        self._update()

    def _update(self) -> None:
        self._draw(self._done, max(self._done, self._expected), self._words)
        self._visible, self._next = True, time.perf_counter() + _PAUSE

    def clear(self) -> None:
        if self._visible:
            self._draw(0, 0, "")


def _notebook_draw() -> Callable[[int, int, str], None] | None:
    """Return a function that draws in the current notebook; None elsewhere, including IPython terminals."""
    if "IPython" not in sys.modules:
        return None
    shell = importlib.import_module("IPython").get_ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    display = importlib.import_module("IPython.display")
    handle: Any = None  # IPython has no types

    def draw(done: int, total: int, words: str) -> None:
        nonlocal handle
        bar = f'<progress value="{done}" max="{total}"></progress>'
        page = f"{bar} {done:,} of {total:,} evaluations{words}" if total else ""
        if handle is None:
            handle = display.display(display.HTML(page), display_id=True)
        else:
            handle.update(display.HTML(page))

    return draw


def _draw_on_stderr(done: int, total: int, words: str) -> None:
    text = f"{done:,} of {total:,} evaluations{words}" if total else ""
    sys.stderr.write(f"\r{text:<79}" + ("" if total else "\r"))
    sys.stderr.flush()
