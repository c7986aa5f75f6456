"""The inputs that a run refused or that failed, or its methods, and the sentences about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xaionnx.data.block import Refused
from xaionnx.errors import DataError, XaionnxError
from xaionnx.typing import Document
from xaionnx_cli._messages import in_command

# Up to this many inputs refused for the same reason are all listed.
_MAX_ALIKE: Final = 5


class Refusals:
    """The inputs without a result, each with its error.

    Parameters
    ----------
    what : str
        What is counted.

    Attributes
    ----------
    what : str
    errors : list of XaionnxError
    entries : list of dict
        Those of the JSON document: ``input``, ``row`` and ``message``.
    """

    def __init__(self, what: str = "inputs") -> None:
        self.what = what
        self.errors: list[XaionnxError] = []
        self.entries: list[Document] = []

    def add(self, name: str, row: int | None, error: XaionnxError) -> None:
        """Add an input, or one of its rows."""
        self.errors.append(error)
        self.entries.append({"input": name, "row": row, "message": in_command(str(error))})

    def lines(self, done: int) -> list[str]:
        """Return sentences about all of them, those for the same reason together; ``done`` inputs have a result."""
        count = len(self.errors)
        if not count:
            return []
        alike: dict[str, list[Document]] = {}
        for entry in self.entries:
            alike.setdefault(entry["message"].replace(entry["input"], ""), []).append(entry)
        word = "refused" if all(isinstance(error, DataError) for error in self.errors) else "failed"
        lines = [f"{count} of {count + done} {self.what} {word}:"]
        for group in alike.values():
            shown = group if len(group) <= _MAX_ALIKE else group[:1]
            lines += [f"  {_sentence(entry)}" for entry in shown]
            if len(shown) < len(group):
                lines.append(f"  and {len(group) - 1} more for the same reason, up to '{group[-1]['input']}'")
        return lines

    def exit_code(self, done: int) -> int:
        """Return 0 if there are none, the code that all of them share if no input is done, else that of bad data."""
        codes = {error.exit_code for error in self.errors}
        if not codes:
            return 0
        return codes.pop() if not done and len(codes) == 1 else DataError.exit_code


def _sentence(entry: Document) -> str:
    """The message, after the name of the input where it does not say which it is."""
    name, message = str(entry["input"]), str(entry["message"])
    file = name.rpartition("[")[0] or name
    return message if file in message else f"'{name}': {message}"


def refusals_of(refused: Sequence[Refused]) -> Refusals:
    """Return what was left out of a data set, for messages."""
    found = Refusals()
    for one in refused:
        found.add(one.name, None, DataError(one.reason))
    return found
