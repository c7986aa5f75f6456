"""A time limit of a part of a command, also where Python itself works: while graphs are read, inlined and rewritten."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from xaionnx.errors import TimeLimitError
from xaionnx.runtime.progress import Listener, Silent, listening
from xaionnx.runtime.session import DEFAULT_LIMIT_S

# Python drops what is raised in a destructor; the alarm comes again so long after.
_AGAIN_S: Final = 5.0
# The limit of a single run, whose message is more precise, comes first.
_AFTER_RUNS_S: Final = 2.0


class _Expired(BaseException):
    """The time is over. Not an Exception, so that no handler of a model's or a method's errors takes it for one."""


@contextlib.contextmanager
def time_limit(timeout: float | None, what: str, patience_s: float = 0.0) -> Iterator[Callable[[], None]]:
    """Raise TimeLimitError if the block takes longer; on Windows only runs of the model are limited.

    Yields a function that starts the time anew. What stops is Python's own work, and any run or opening of a model;
    a single call of the ``onnx`` package, which takes seconds for 20,000 nodes, ends first.

    Parameters
    ----------
    timeout : float or None
        The value of ``--timeout``, in seconds; its default if None.
    what : str
        The work, as the subject of the message.
    patience_s : float
        Seconds after the limit at which the work is stopped.
    """
    seconds = timeout or DEFAULT_LIMIT_S
    if not hasattr(signal, "setitimer"):
        yield lambda: None
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Expired

    def start() -> None:
        # The system takes no more than some decades.
        signal.setitimer(signal.ITIMER_REAL, min(seconds + patience_s, 1e8), _AGAIN_S)

    before = signal.signal(signal.SIGALRM, stop)
    try:
        start()
        yield start
    except _Expired:
        raise TimeLimitError(f"{what} took longer than {seconds:g} s and was stopped. Raise --timeout.") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def time_limit_between_runs(timeout: float | None, what: str, listener: Listener | None = None) -> Iterator[None]:
    """Raise TimeLimitError if for so long no evaluation is planned or finished inside the block.

    Parameters
    ----------
    timeout, what
        As in :func:`time_limit`.
    listener : Listener, optional
        Receives the progress.
    """
    with time_limit(timeout, what, _AFTER_RUNS_S) as start, listening(_Renewing(listener or Silent(), start)):
        yield


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Stop the time of a limit inside the block, which is not the work that it limits."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    left = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


class _Renewing:
    """Starts a time limit anew with each report, and passes it on."""

    def __init__(self, listener: Listener, start: Callable[[], None]) -> None:
        self._listener, self._start = listener, start

    def expect(self, evaluations: int) -> None:
        self._start()
        self._listener.expect(evaluations)

    def advance(self, evaluations: int) -> None:
        self._start()
        self._listener.advance(evaluations)

    def phase(self, words: str) -> None:
        self._start()
        self._listener.phase(words)
