"""A time limit of a part of a command, also where Python itself works: while graphs are read, inlined and rewritten."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from xaionnx.errors import TimeLimitError


@contextlib.contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Raise TimeLimitError if the block takes longer; on Windows only runs of the model are limited.

    Parameters
    ----------
    seconds : float
    what : str
        The work, as the subject of the message.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeLimitError(f"{what} took longer than {seconds:g} s and was stopped. Raise --timeout.")

    before = signal.signal(signal.SIGALRM, stop)
    # The system takes no more than some decades.
    signal.setitimer(signal.ITIMER_REAL, min(seconds, 1e8))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
