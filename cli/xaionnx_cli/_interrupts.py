"""Ctrl-C and SIGTERM: they stop what is computed, and wait for what is being saved."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

# A second Ctrl-C so soon after the first asks for nothing new.
_AGAIN_S: Final = 2.0

_NUMBERS: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]  # Windows has no SIGHUP


class Terminated(KeyboardInterrupt):
    """SIGTERM, or SIGHUP when the terminal is closed; handled as Ctrl-C is, with an exit code of its own."""

    number: int = signal.SIGTERM


class Interrupts:
    """The handler of these signals: it raises KeyboardInterrupt, at the end of :func:`held` if it comes inside."""

    def __init__(self) -> None:
        self._held = 0
        self._pending: int | None = None
        self._last = -_AGAIN_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._held:
            self._pending = number if self._pending is None else self._pending
        elif time.monotonic() - self._last >= _AGAIN_S:
            self._raise(number)

    def repeat(self) -> None:
        """Let the next signal raise, also soon after the last one, whose exception Python has dropped."""
        self._last = -_AGAIN_S

    def ignore(self) -> None:
        """Let no signal raise any more: nothing is left to be stopped."""
        self._held += 1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait for the end of the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held and self._pending is not None:
                number, self._pending = self._pending, None
                self._raise(number)

    def _raise(self, number: int) -> None:
        self._last = time.monotonic()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        stop = Terminated()
        stop.number = number
        raise stop


@contextlib.contextmanager
def handled() -> Iterator[Interrupts]:
    """Handle the signals inside the block, except those that the process was started to ignore, as by nohup."""
    handler = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    taken = {number: other for number, other in before.items() if other is not signal.SIG_IGN and other is not None}
    try:
        for number in taken:
            signal.signal(number, handler)
        yield handler
    finally:
        for number, other in taken.items():
            signal.signal(number, other)


def held() -> contextlib.AbstractContextManager[None]:
    """Let signals wait for the end of the block, where :func:`handled` is in force."""
    handlers = (signal.getsignal(number) for number in _NUMBERS)
    handler = next((one for one in handlers if isinstance(one, Interrupts)), None)
    return contextlib.nullcontext() if handler is None else handler.held()
