"""Faults: the n-th write, rename, read, run of a session or allocation of a command fails, or is where it is killed.

Each kind is put in where xaionnx does such things at one place, so that the n-th is the same one in each run.
"""

from __future__ import annotations

import io
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

KINDS: Final = ("write", "sync", "rename", "read", "open", "run", "allocation")
# Functions that allocate arrays of the library itself.
_ALLOCATORS: Final = (
    "empty", "zeros", "ones", "full", "empty_like", "zeros_like", "array", "asarray", "concatenate", "stack",
    "repeat", "tile", "pad", "arange", "where", "broadcast_to", "ascontiguousarray",
)  # fmt: skip


def install(fault: dict[str, Any], streams: Path) -> None:
    """Put a fault into this process.

    Parameters
    ----------
    fault : dict
        ``kind``, one of :data:`KINDS`, and ``n``, counted from 1; or ``after_s``, a time. ``signal`` is the number of
        the signal that arrives there; without one the call fails, writes, renames and reads with ``errno``.
    streams : Path
        The folder in which the file ``fired`` tells that it happened, and those of ``tmp`` are the temporary ones.
    """
    import xaionnx_cli._results

    # Parts of one file after each batch, however short.
    xaionnx_cli._results._PART_S = 0.0
    (streams / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = str(streams / "tmp")
    if "after_s" in fault:
        _later(fault["after_s"], fault["signal"], streams)
    elif "kind" in fault:
        _SEAMS[fault["kind"]](_Trigger(fault, streams))


def _later(seconds: float, number: int, streams: Path) -> None:
    def kill() -> None:
        time.sleep(seconds)
        _note(streams)
        os.kill(os.getpid(), number)

    threading.Thread(target=kill, daemon=True).start()


def _note(streams: Path) -> None:
    os.close(os.open(streams / "fired", os.O_WRONLY | os.O_CREAT))


class _Trigger:
    """Counts the calls at a seam, and acts at the n-th."""

    def __init__(self, fault: dict[str, Any], streams: Path) -> None:
        self._fault, self._streams, self._calls = fault, streams, itertools.count(1)

    def __call__(self, failure: Callable[[], BaseException], half: Callable[[], object] = lambda: None) -> None:
        """Count a call; at the n-th do ``half`` of it, then raise the ``failure`` or send the signal."""
        if next(self._calls) != self._fault["n"]:
            return
        _note(self._streams)
        if self._fault.get("signal") in (None, signal.SIGKILL):
            # After other signals the call goes on.
            half()
        if "signal" not in self._fault:
            raise failure()
        os.kill(os.getpid(), self._fault["signal"])

    def os_error(self) -> OSError:
        number = self._fault["errno"]
        return OSError(number, os.strerror(number))


def _write(trigger: _Trigger) -> None:
    from xaionnx.data import storage

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            view = memoryview(data)
            trigger(trigger.os_error, lambda: super(Raw, self).write(view[: len(view) // 2]))
            return super().write(data)

    storage._stream = lambda handle: io.BufferedWriter(Raw(handle, "wb"))


def _before(module: Any, name: str, trigger: _Trigger, failure: Callable[[], BaseException]) -> None:
    function = getattr(module, name)

    def counted(*given: Any, **options: Any) -> Any:
        trigger(failure)
        return function(*given, **options)

    setattr(module, name, counted)


def _sync(trigger: _Trigger) -> None:
    from xaionnx.data import storage

    _before(storage, "_sync", trigger, trigger.os_error)


def _rename(trigger: _Trigger) -> None:
    from xaionnx.data import storage

    _before(storage, "_rename", trigger, trigger.os_error)


def _read(trigger: _Trigger) -> None:
    # All files of users are read through these two.
    _before(Path, "read_bytes", trigger, trigger.os_error)
    _before(Path, "open", trigger, trigger.os_error)


def _failed() -> BaseException:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    failure: BaseException = state.Fail("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for a buffer")
    return failure


def _open(trigger: _Trigger) -> None:
    from xaionnx.runtime import session

    _before(session.ort, "InferenceSession", trigger, _failed)


def _run(trigger: _Trigger) -> None:
    from xaionnx.runtime import session

    opened = session._opened

    class Counted:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def run(self, *given: Any) -> Any:
            trigger(_failed)
            return self._inner.run(*given)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    session._opened = lambda *given: Counted(opened(*given))


def _allocation(trigger: _Trigger) -> None:
    for name in _ALLOCATORS:
        _before(np, name, trigger, lambda: MemoryError("an array does not fit"))


_SEAMS: Final[dict[str, Callable[[_Trigger], None]]] = {
    "write": _write,
    "sync": _sync,
    "rename": _rename,
    "read": _read,
    "open": _open,
    "run": _run,
    "allocation": _allocation,
}
