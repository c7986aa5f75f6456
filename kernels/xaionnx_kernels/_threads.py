"""Work in as many threads as Numba uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any


# Any: a task and its parts, of one type.
def in_threads(task: Callable[[Any], None], parts: Iterable[Any]) -> None:
    """Do a task for each part, in as many threads as Numba uses."""
    import numba

    waiting = list(parts)
    waiting.reverse()
    failures: list[BaseException] = []

    def work() -> None:
        while waiting and not failures:
            try:
                # Taken and done by one thread: removing the last entry of a list is atomic.
                task(waiting.pop())
            except IndexError:
                return
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                failures.append(error)

    threads = min(len(waiting), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # it has no types
    others = [threading.Thread(target=work) for _ in range(threads - 1)]
    for other in others:
        other.start()
    try:
        work()
    finally:
        waiting.clear()
        for other in others:
            other.join()
    if failures:
        raise failures[0]
