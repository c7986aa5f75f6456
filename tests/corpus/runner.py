"""Run commands in copies of one process that has imported xaionnx already: a second each would be ten minutes in all.

``python -m tests.corpus.runner`` reads one JSON object a line and answers each with the exit code, None where the time
was up. Each command is a fork, so that it ends as a process does, with its own streams and limits.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
# Far above what a command needs, and far below what a bad file declares.
_ADDRESS_SPACE = 24 << 30
# How much longer a command may take than its seconds of the processor.
_WAITING = 6


class Runner:
    """A client of the process."""

    def __init__(self) -> None:
        path = os.pathsep.join(str(ROOT / folder) for folder in ("", "kernels", "cli"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.corpus.runner"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        words: tuple[str, ...],
        folder: Path,
        streams: Path,
        stdout: str,
        limit_s: float,
        fault: dict[str, Any] | None = None,
    ) -> int | None:
        """Run a command in ``folder``; its output goes to the files ``out`` and ``err`` in ``streams``.

        ``limit_s`` are seconds of the processor, so that a busy machine does not matter, and a multiple of them passes
        before a command is stopped that only waits.

        ``fault`` is installed first, see :mod:`tests.faults.faults`.
        """
        asked = {"words": words, "folder": str(folder), "streams": str(streams), "stdout": stdout, "limit_s": limit_s}
        asked["fault"] = fault
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _redirect(streams: Path, stdout: str, terminal: int | None) -> None:
    if terminal is not None:
        for stream in (0, 1, 2):
            os.dup2(terminal, stream)
        # Those of the runner know whether they could seek, and a terminal cannot.
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", 1, encoding="utf-8", closefd=False) for stream in (1, 2))
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open("/dev/full" if stdout == "full stderr" else streams / "err", os.O_WRONLY | os.O_CREAT), 2)
    if stdout == "no stderr":
        os.close(2)
        sys.stderr = None  # as below
    if stdout == "closed":
        os.close(1)
        sys.stdout = None  # as Python does where it starts without a stdout
        return
    if stdout == "broken":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full" if stdout == "full" else streams / "out", os.O_WRONLY | os.O_CREAT)
    os.dup2(write, 1)


def _command(asked: dict[str, Any], terminal: int | None) -> None:
    _redirect(Path(asked["streams"]), asked["stdout"], terminal)
    os.chdir(asked["folder"])
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = math.ceil(asked["limit_s"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    words = asked["words"]
    if asked["fault"] is not None:
        from tests.faults import faults

        faults.install(asked["fault"], Path(asked["streams"]))
    if words and words[0] == "load":
        _load(*words[1:])
    from xaionnx_cli.app import main

    main(words, "xaionnx")


def _end(asked: dict[str, Any], terminal: int | None) -> NoReturn:
    """Run a command and end as an interpreter does, without the destructors of libraries whose threads are not here."""
    try:
        _command(asked, terminal)
        code = 1
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:  # ahead of the command, as xaionnx_cli.__main__ does
        sys.stderr.write("xaionnx: interrupted.\n")
        code = 130
    except BaseException:  # noqa: BLE001 - what the interpreter would print
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        traceback.print_exc()
        code = 120
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(code)


def _load(kind: str, path: str) -> None:
    from xaionnx.errors import XaionnxError
    from xaionnx.explanation import Explanation
    from xaionnx.patterns import Patterns

    try:
        loaded = (
            _of_frame(Path(path)) if kind == "frame" else {"record": Explanation, "patterns": Patterns}[kind].load(path)
        )
        text = repr(loaded)
        if isinstance(loaded, Explanation):
            loaded.sample(0).to_dict()
        if kind == "frame":
            print(text)  # noqa: T201 - as a Python prompt does
    except XaionnxError as error:
        print(f"xaionnx: {error}", file=sys.stderr)  # noqa: T201 - as the command line does
        sys.exit(error.exit_code)
    sys.exit(0)


def _of_frame(path: Path) -> Any:
    """The explanation of a frame of pandas, from the arguments of its constructor."""
    import pandas

    import xaionnx

    return xaionnx.explain("bad.onnx", pandas.DataFrame(**json.loads(path.read_text())), "feature_ablation")


def _read_terminal(ours: int, path: Path) -> None:
    with path.open("wb") as copy, contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(ours, 65536):
            copy.write(data)
    os.close(ours)


def _wait(child: int, limit_s: float) -> int | None:
    late = threading.Event()

    def stop() -> None:
        late.set()
        os.kill(child, signal.SIGKILL)

    timer = threading.Timer(_WAITING * limit_s, stop)
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    code = os.waitstatus_to_exitcode(status)
    return None if late.is_set() or code == -signal.SIGXCPU else code


def _serve() -> None:
    import matplotlib.figure  # noqa: F401 - as above
    import xaionnx_cli._inspection
    import xaionnx_cli._run
    import xaionnx_cli.compile
    import xaionnx_cli.explain
    import xaionnx_cli.join
    import xaionnx_cli.patterns  # noqa: F401 - so that the forks have them

    from xaionnx import discovery, render  # noqa: F401 - as above

    for method in discovery.methods():
        discovery.method(method)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        ours, theirs = pty.openpty() if asked["stdout"] == "terminal" else (None, None)
        child = os.fork()
        if child == 0:
            _end(asked, theirs)
        if ours is not None and theirs is not None:
            os.close(theirs)
            reader = threading.Thread(target=_read_terminal, args=(ours, Path(asked["streams"]) / "out"))
            reader.start()
            code = _wait(child, asked["limit_s"])
            reader.join()
        else:
            code = _wait(child, asked["limit_s"])
        answers.write(json.dumps(code) + "\n")
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _serve()
