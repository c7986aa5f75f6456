"""A whole HTML document, which runs and loads nothing whatever names it shows."""

from __future__ import annotations

import html as markup
import re
from typing import Final

# Of what a page might load, pictures inside it alone; and no scripts.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# Characters that would be invisible or turn the text around them, as they do in forged mails.
_HIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def document(title: str, body: str, head: str = "") -> str:
    """Return a document; the title is text, ``body`` and ``head`` are HTML.

    Examples
    --------
    >>> "<title>a &lt;b&gt;</title>" in document("a <b>", "<p>c</p>")
    True
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="generator" content="xaionnx">'
        f"{head}<title>{escaped(title)}</title></head>\n<body>{body}</body></html>\n"
    )


def visible(text: str) -> str:
    """Return a text with its control characters, and those that turn the direction of others, as signs.

    Examples
    --------
    >>> visible("a\\x1bb")
    'a⟨U+001B⟩b'
    """
    return _HIDDEN.sub(
        lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text.replace("\r\n", "\n").replace("\r", "\n")
    )


def escaped(text: str) -> str:
    """Return a text as HTML, with its hidden characters as signs.

    Examples
    --------
    >>> escaped("<b>\\x1b")
    '&lt;b&gt;⟨U+001B⟩'
    """
    return markup.escape(visible(text))
