"""How a refusal is worded safely."""

from __future__ import annotations

from xaionnx.errors import ModelFileError


def refusal(sentence: str) -> ModelFileError:
    """Build the error, with line breaks and control characters from the file's own names shown as escapes.

    A name in a model may hold a terminal's escape sequence; a message stays one line of plain text.

    Examples
    --------
    >>> print(refusal("Output 'a\\x1b[2J' is made by no node."))
    Output 'a\\x1b[2J' is made by no node.
    """
    return ModelFileError("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in sentence))
