"""Error messages that are safe to print."""

from __future__ import annotations

from xaionnx.errors import ModelFileError


def refusal(sentence: str) -> ModelFileError:
    """Return the error, with line breaks and control characters in the file's names escaped.

    A name in a model may contain an escape sequence for the terminal; the message stays one line of plain text.

    Examples
    --------
    >>> print(refusal("No node computes output 'a\\x1b[2J'."))
    No node computes output 'a\\x1b[2J'.
    """
    return ModelFileError("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in sentence))
