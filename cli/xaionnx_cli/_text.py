"""A text in the terminal, its words coloured for and against."""

from __future__ import annotations

import sys
from typing import Final

from xaionnx.explanation import Explanation
from xaionnx_cli._messages import printable

# Longer texts fill the screen; the page in HTML has all of them.
_MOST: Final = 4000
_FOR: Final = (214, 40, 48)
_AGAINST: Final = (38, 112, 206)
_DARK: Final = 0.5
# Weaker words are not coloured: terminals have few shades.
_LEAST: Final = 0.15


def text_lines(result: Explanation) -> list[str]:
    """The text of one sample for the first target with colours, if stdout is a terminal that shows them; else none."""
    from xaionnx.render.text_parts import has_text

    one = result.sample(0, 0 if result.several_targets else None)
    if not sys.stdout.isatty() or not has_text(one):
        return []
    return coloured(one)


def coloured(one: Explanation) -> list[str]:
    """The lines of a text with codes of colours, as rich writes them; without, where the terminal has none."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    from xaionnx.render.text_page import visible
    from xaionnx.render.text_parts import text_parts, text_scale

    shown, scale = Text(), text_scale(one, "auto")
    for part in text_parts(one, scale):
        size = abs(part.strength)
        style = Style.null()
        if size > _LEAST:
            end = _AGAINST if part.strength < 0 else _FOR
            red, green, blue = (round(255 + (channel - 255) * size) for channel in end)
            ink = "white" if size > _DARK else "black"
            style = Style.parse(f"{ink} on rgb({red},{green},{blue})")
        # Lines of the text stay; no other control character of a mail reaches the terminal.
        shown.append("\n".join(printable(line) for line in visible(part.text).split("\n")), style)
        if len(shown) > _MOST:
            shown.append(" ...")
            break
    console = Console(file=sys.stdout, highlight=False)
    with console.capture() as capture:
        console.print(shown, soft_wrap=True)
    return [f"  {line}" for line in capture.get().rstrip("\n").split("\n")]
