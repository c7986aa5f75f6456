"""A thread that does what onnxruntime does, so that the caller's thread can stop it.

The time limit of a run, Ctrl-C and other signals end the wait for it; work that does not stop soon is abandoned.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

# Time to wait for a run to end after Ctrl-C; a node that takes longer is abandoned.
_PATIENCE_S = 0.8


class Expired(Exception):
    """A job was stopped by its time limit."""


class Worker:
    """A thread that runs sessions, so that the caller's thread stays free to receive Ctrl-C.

    onnxruntime releases Python's lock while it computes, but signals are not handled; a new thread for each call would
    cost 0.3 ms.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.usable = True
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._loop, name="xaionnx-session", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while self.usable:
            self._jobs.get()()

    @property
    def alive(self) -> bool:
        # Threads do not survive a fork.
        return self.usable and self._pid == os.getpid()

    def call(self, job: Callable[[], T], stop: Callable[[], None], timeout_s: float) -> T:
        done = threading.Lock()
        done.acquire()
        result: list[T] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                result.append(job())
            except BaseException as error:  # noqa: BLE001 - passed to the caller's thread, which raises it
                failure.append(error)
            finally:
                done.release()

        self._jobs.put(work)
        finished = False
        try:
            finished = done.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))
        finally:
            # The time is over, or a handler of Ctrl-C or of another signal has raised.
            if not finished:
                self._stop(stop, done)
        if not finished:
            raise Expired
        if failure:
            raise failure[0]
        return result[0]

    def _stop(self, stop: Callable[[], None], done: threading.Lock) -> None:
        stop()
        if not done.acquire(timeout=_PATIENCE_S):
            self.usable = False
            # If the work has ended just now, the thread waits for another.
            self._jobs.put(lambda: None)
            _abandoned.append(self._thread)
            atexit.unregister(wait_for_abandoned)
            atexit.register(wait_for_abandoned)


_current: list[Worker] = []
# Threads that go on with work that was stopped.
_abandoned: list[threading.Thread] = []
# Most seconds for which the end of the interpreter waits for them.
_LAST_WAIT_S = 60.0


def has_abandoned() -> bool:
    """Whether onnxruntime still works on something that was stopped."""
    return any(thread.is_alive() for thread in _abandoned)


def wait_for_abandoned() -> None:
    """Wait for such work: it would abort a process whose interpreter has ended."""
    end = time.monotonic() + _LAST_WAIT_S
    for thread in _abandoned:
        thread.join(max(0.0, end - time.monotonic()))


def current_worker() -> Worker:
    if not _current or not _current[0].alive:
        _current[:] = [Worker()]
    return _current[0]
