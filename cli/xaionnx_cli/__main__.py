"""Run the command line: the console script ``xaionnx``, and ``python -m xaionnx_cli``."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run with the arguments of the process and leave with an exit code."""
    try:
        # Imported here, so that Ctrl-C during the import is handled like any other.
        from xaionnx_cli.app import main as run

        run(prog_name="xaionnx")
    except KeyboardInterrupt:
        sys.stderr.write("xaionnx: interrupted.\n")
        sys.exit(130)
    finally:
        # Everything is saved, and the interpreter would end with a traceback.
        for name in ("SIGINT", "SIGTERM"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


if __name__ == "__main__":
    main()
