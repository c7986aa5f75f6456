"""What a run prints: lines about its samples, or one JSON document, on stdout; notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from xaionnx_cli._messages import printable, sentence
from xaionnx_cli._streams import OutputLost, ReaderLeft


class Printer:
    """Prints for a run, which goes on without stdout as long as there are files to write.

    Parameters
    ----------
    as_json : bool
        Whether stdout is reserved for the document.
    saves : bool
        Whether the run writes files.

    Attributes
    ----------
    notes : list of str
        Those printed so far.
    lost : ReaderLeft, OutputLost or None
        Why stdout can no longer be written.
    """

    def __init__(self, as_json: bool, saves: bool) -> None:
        self._as_json, self._saves = as_json, saves
        self._printed: set[str] = set()
        self.notes: list[str] = []
        self.lost: ReaderLeft | OutputLost | None = None

    def lines(self, *lines: str) -> None:
        """Print lines, unless stdout is reserved for the document."""
        if not self._as_json:
            # A blank line before a head is part of the layout; names were escaped before.
            self.document("".join(f"{printable(part)}\n" for line in lines for part in line.split("\n")))

    def lines_once(self, lines: Sequence[str]) -> None:
        """Print those lines that this method has not printed before: most warnings hold for all inputs."""
        new = [line for line in lines if line not in self._printed]
        self._printed.update(new)
        self.lines(*new)

    def document(self, text: str) -> None:
        """Write text to stdout.

        Raises
        ------
        OutputLost, ReaderLeft
            It cannot be written, and the run writes no files.
        """
        try:
            sys.stdout.write(text)
            # Flushed, so that the reader of a pipe sees these lines during a long run.
            sys.stdout.flush()
        except (ReaderLeft, OutputLost) as loss:
            self.lost = loss
            if not self._saves:
                raise

    def note(self, text: str) -> None:
        """Print a note about a conversion to stderr, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.error(f"note: {text}")

    @staticmethod
    def error(text: str) -> None:
        """Print a sentence to stderr."""
        sys.stderr.write(f"xaionnx: {sentence(text)}\n")
