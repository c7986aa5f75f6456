"""Run the command line: the console script ``xaionnx``, and ``python -m xaionnx_cli``."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys


def main() -> None:
    """Run with the arguments of the process and leave with an exit code."""
    try:
        # Imported here, so that Ctrl-C during the import is handled like any other.
        from xaionnx_cli.app import main as run

        run(prog_name="xaionnx")
    except SystemExit as end:
        _leave_at_once(end.code)
        raise
    except KeyboardInterrupt:
        sys.stderr.write("xaionnx: interrupted.\n")
        sys.exit(130)
    finally:
        # Everything is saved, and the interpreter would end with a traceback.
        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


# Exit codes from here on are those of a command that a signal has stopped.
_SIGNALS = 128


def _leave_at_once(code: object) -> None:
    """End the process if work goes on that was stopped, for which the interpreter would wait.

    Such as a run of onnxruntime, or a thread that reads a large table; what was finished is saved.
    """
    worker = sys.modules.get("xaionnx.runtime.worker")
    abandoned = worker is not None and worker.has_abandoned()
    if not abandoned and not (isinstance(code, int) and code > _SIGNALS):
        return
    if worker is not None:
        atexit.unregister(worker.wait_for_abandoned)
    # Temporary files are removed.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
