"""Layout of a page: wrapped text, colour bars with numbers, and blocks."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from PIL import Image, ImageDraw

from xaionnx.caveats import Caveat
from xaionnx.render.fonts import Face, legible
from xaionnx.render.themes import Colour, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Text height as a share of the width of its block, and the smallest legible height in pixels.
_SHARE: Final = 0.031

_LEAST: Final = 14

# Tabs and ends of lines, which names of classes may have.
_BREAKS: Final = re.compile(r"[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+")
# Spaces before a sign, and between a quantity and its number.
_UNBROKEN: Final = re.compile(r"(?<=\d) (?=%)|(?<=\(logit) (?=[\d−])|(?<=\(log probability) (?=[\d−])")

FIGURES: Final = threading.Lock()

"""Held while a figure of matplotlib is drawn: unlike other pictures, several cannot be drawn at once."""


def text_size(width: int) -> int:
    """Text height in pixels for a block of width ``width``."""
    return max(_LEAST, round(_SHARE * width))


def wrapped(text: str, face: Face, width: int) -> list[str]:
    """The lines of a text, no wider than ``width`` pixels; longer words are split.

    Examples
    --------
    >>> wrapped("in 55 % of all", Face(10), 30)
    ['in', '55\xa0%', 'of all']
    """
    text = _UNBROKEN.sub("\N{NO-BREAK SPACE}", _BREAKS.sub(" ", text))
    lines: list[str] = []
    line = ""
    # Only plain spaces break a line: a no-break space keeps a separator with the word before it.
    for word in filter(None, text.split(" ")):
        while face.width(word) > width and len(word) > 1:
            fits = max(1, next((k for k in range(len(word), 0, -1) if face.width(word[:k]) <= width), 1))
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:fits])
            word = word[fits:]
            if not word:
                break
        joined = f"{line} {word}".strip()
        if line and face.width(joined) > width:
            lines.append(line)
            line = word
        else:
            line = joined
    return [*lines, line] if line else lines


def text_block(
    style: Style,
    paragraphs: Sequence[str],
    width: int,
    size: int,
    *,
    bold: bool = False,
    colour: Colour | None = None,
    paper: Colour | None = None,
) -> Image.Image:
    """An image of paragraphs, ``width`` pixels wide; of height 0 if there are none."""
    face = Face(size, bold)
    lines = [line for paragraph in paragraphs for line in wrapped(legible(paragraph), face, width)]
    step = round(1.32 * size)
    block = Image.new("RGB", (width, step * len(lines)), paper or style.paper)
    draw = ImageDraw.Draw(block)
    for row, line in enumerate(lines):
        # Text is aligned to the ascender line, so that lines are evenly spaced whatever their letters.
        face.write(draw, 0, row * step + round(0.05 * size), line, colour or style.ink)
    return block


def warning_band(style: Style, found: Sequence[Caveat], width: int, size: int) -> Image.Image:
    """The warnings about a result, in bold on amber, with advice; of height 0 if there are none."""
    if not found:
        return Image.new("RGB", (width, 0), style.paper)
    pad = max(4, round(0.5 * size))
    edge, inner = pad, width - 3 * pad
    rows = []
    for one in found:
        for text, bold in ((one.finding, True), (one.advice, False)):
            rows.append(
                text_block(style, [text], inner, size, bold=bold, colour=style.warning, paper=style.warning_paper)
            )
    band = Image.new("RGB", (width, sum(row.height for row in rows) + 2 * pad), style.warning_paper)
    band.paste(style.warning, (0, 0, edge, band.height))
    top = pad
    for row in rows:
        band.paste(row, (2 * pad, top))
        top += row.height
    return band


@final
@dataclass(frozen=True, repr=False)
class Caption:
    """The caption of a picture.

    Attributes
    ----------
    notes : sequence of str
        What is drawn, and what was left out of it.
    made_by : str
        How it was computed, in short.
    details : sequence of str
        Further sentences, and how it was computed in full, which replaces ``made_by``.
    """

    notes: Sequence[str]
    made_by: str
    details: Sequence[str] = ()
    in_full: str = ""


def whole(
    style: Style, title: Sequence[str], found: Sequence[Caveat], body: Image.Image, text: Caption, size: int
) -> Image.Image:
    """A page: title, its first line in bold, warnings, picture and caption; ``size`` is the text height."""
    notes = " ".join(filter(None, [*text.notes, *(text.details if style.details else ())]))
    made_by = (text.in_full if style.details else "") or text.made_by
    small = max(12, round(0.85 * size))
    first, *further = title
    heading = [
        text_block(style, [first], body.width, round(1.25 * size), bold=True),
        text_block(style, further, body.width, size),
    ]
    caption = [
        text_block(style, [notes], body.width, small),
        text_block(style, [made_by], body.width, small, colour=style.faint),
    ]
    gap = round(0.7 * size)
    blocks = [
        beneath(style, heading, gap // 2),
        warning_band(style, found if style.warns else [], body.width, size),
        body,
        beneath(style, caption, gap // 2),
    ]
    return framed(style, beneath(style, blocks, gap), size)


def beneath(style: Style, blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    """Blocks stacked vertically, aligned left; blocks of height 0 add no gap."""
    kept = [b for b in blocks if b.height]
    size = max(b.width for b in kept), sum(b.height for b in kept) + gap * (len(kept) - 1)
    page = Image.new("RGB", size, style.paper)
    top = 0
    for block in kept:
        page.paste(block, (0, top))
        top += block.height + gap
    return page


def beside(style: Style, blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    """Blocks side by side, aligned at the top."""
    page = Image.new(
        "RGB",
        (sum(b.width for b in blocks) + gap * (len(blocks) - 1), max(b.height for b in blocks)),
        style.paper,
    )
    left = 0
    for block in blocks:
        page.paste(block, (left, 0))
        left += block.width + gap
    return page


@final
@dataclass(frozen=True, eq=False)
class Panel:
    """A picture with its heading and its colour bar or legend, all of the same width."""

    heading: Image.Image
    picture: Image.Image
    foot: Image.Image | None = None


def grid(style: Style, panels: Sequence[Panel], columns: int, gap: int) -> Image.Image:
    """Panels in rows; the pictures of a row are aligned whatever the height of their headings."""
    rows = []
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        tallest = max(panel.heading.height for panel in row)
        cells = []
        for panel in row:
            heading = Image.new("RGB", (panel.picture.width, tallest), style.paper)
            heading.paste(panel.heading, (0, tallest - panel.heading.height))
            foot = [panel.foot] if panel.foot is not None else []
            cells.append(beneath(style, [heading, panel.picture, *foot], gap // 3))
        rows.append(beside(style, cells, gap))
    return beneath(style, rows, gap)


def framed(style: Style, block: Image.Image, margin: int) -> Image.Image:
    """The block with a margin."""
    page = Image.new("RGB", (block.width + 2 * margin, block.height + 2 * margin), style.paper)
    page.paste(block, (margin, margin))
    return page


def figure_picture(figure: Figure) -> Image.Image:
    """A matplotlib figure as a picture of its size in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)  # Any: its methods are untyped
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
