"""Standard output and error, whose failures end in a sentence rather than in a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO, cast

# Characters that fit into the buffer of a stream, 8192 bytes: of longer text, Python loses a part if a signal arrives
# while it waits for the reader of a pipe.
_PIECE: Final = 2000


class ReaderLeft(Exception):
    """The reader of stdout has closed the pipe."""


class OutputLost(Exception):
    """Stdout cannot be written; the argument is the reason."""


class _Checked:
    """A stream whose failed writes raise an error that is no OSError, since click and argument parsers catch those.

    After the first failure nothing is written any more, so that a command can still save what it has finished. Failures
    of a ``muted`` stream are not reported: for stderr there is no other place.
    """

    def __init__(self, stream: TextIO | None, *, muted: bool = False) -> None:
        self._stream, self._muted, self._lost = stream, muted, False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            # click tries whether a stream takes bytes, and ignores the error.
            raise TypeError("only text is written")
        if self._lost or not text:
            return len(text)
        if self._stream is None:
            self._lost = True
            if not self._muted:
                raise OutputLost("it is closed")
            return len(text)
        with self._translated():
            self._stream.write(text[:_PIECE])
            for start in range(_PIECE, len(text), _PIECE):
                self._stream.flush()
                self._stream.write(text[start : start + _PIECE])
        return len(text)

    def flush(self) -> None:
        if self._stream is not None and not self._lost:
            with self._translated():
                self._stream.flush()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self._lost = True
            self._discard()
            if self._muted:
                return
            if isinstance(error, BrokenPipeError):
                raise ReaderLeft from error
            raise OutputLost(error.strerror if isinstance(error, OSError) and error.strerror else error) from error

    def _discard(self) -> None:
        """Send the rest of the buffer nowhere: it would fail again when the interpreter flushes it."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            assert self._stream is not None
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:  # Any: whatever the stream has
        if name == "buffer":
            # click would write past the checks.
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextlib.contextmanager
def checked_streams() -> Iterator[None]:
    """Escape characters that the terminal cannot show, and check what is written to stdout and stderr."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = cast("TextIO", _Checked(sys.stdout)), cast("TextIO", _Checked(sys.stderr, muted=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
