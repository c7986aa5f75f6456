"""A text or a file in the terminal, its words or bytes coloured for and against."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from xaionnx.explanation import Explanation
from xaionnx_cli._messages import printable

if TYPE_CHECKING:
    from rich.style import Style
    from rich.text import Text

# Longer texts fill the screen; the page in HTML has all of them.
_MOST: Final = 4000
_MOST_ROWS: Final = 40
_FOR: Final = (214, 40, 48)
_AGAINST: Final = (38, 112, 206)
_DARK: Final = 0.5
# Weaker words are not coloured: terminals have few shades.
_LEAST: Final = 0.15


def text_lines(result: Explanation) -> list[str]:
    """The text of one sample for the first target with colours, if stdout is a terminal that shows them; else none."""
    from xaionnx.render.text_parts import has_bytes, has_text

    one = result.sample(0, 0 if result.several_targets else None)
    if not sys.stdout.isatty() or not (has_text(one) or has_bytes(one)):
        return []
    return coloured(one)


def coloured(one: Explanation) -> list[str]:
    """The lines of a text or file with codes of colours, as rich writes them; without, where the terminal has none."""
    from rich.console import Console

    from xaionnx.render.text_parts import has_bytes

    shown = _dump(one) if has_bytes(one) else _text(one)
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as capture:
        console.print(shown, soft_wrap=True)
    return [f"  {line}" for line in capture.get().rstrip("\n").split("\n")]


def _text(one: Explanation) -> Text:
    from rich.text import Text

    from xaionnx.render.html_document import visible
    from xaionnx.render.text_parts import text_parts, text_scale

    shown = Text()
    for part in text_parts(one, text_scale(one, "auto")):
        # Lines of the text stay; no other control character of a mail reaches the terminal.
        shown.append("\n".join(printable(line) for line in visible(part.text).split("\n")), _style(part.strength))
        if len(shown) > _MOST:
            shown.append(" ...")
            break
    return shown


def _dump(one: Explanation) -> Text:
    from rich.text import Text

    from xaionnx.render.byte_rows import Gap, byte_rows
    from xaionnx.render.text_parts import text_scale

    shown = Text()
    for row in byte_rows(one, text_scale(one, "auto"), None, _MOST_ROWS):
        if isinstance(row, Gap):
            shown.append(f"          {row.words}\n")
            continue
        shown.append(f"{row.start:08x}  ")
        styles = [_style(0.0 if byte is None else byte.run.strength) for byte in row.bytes]
        for byte, style in zip(row.bytes, styles, strict=True):
            shown.append("  " if byte is None else byte.hexadecimal, style)
            shown.append(" ")
        shown.append(" ")
        for byte, style in zip(row.bytes, styles, strict=True):
            shown.append(" " if byte is None else byte.character, style)
        shown.append("\n")
    return shown


def _style(strength: float) -> Style:
    from rich.style import Style

    size = abs(strength)
    if size <= _LEAST:
        return Style.null()
    red, green, blue = (round(255 + (channel - 255) * size) for channel in (_AGAINST if strength < 0 else _FOR))
    ink = "white" if size > _DARK else "black"
    return Style.parse(f"{ink} on rgb({red},{green},{blue})")
