"""A text whose words are coloured."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, final

from PIL import Image, ImageDraw

from xaionnx.explanation import Explanation
from xaionnx.render import colour_bars, fonts, page
from xaionnx.render.colours import Scale, heat
from xaionnx.render.fonts import Face
from xaionnx.render.html_document import visible
from xaionnx.render.picture import SampleKind, Scene, whole_number
from xaionnx.render.result_page import sample_page
from xaionnx.render.right_to_left import begins_at_the_right
from xaionnx.render.text_page import caption
from xaionnx.render.text_parts import Part, has_text, text_parts, text_scale
from xaionnx.render.themes import Style

_WIDTH: Final = 900
_SIZE: Final = 21
_OPACITY: Final = 0.72
# Longer texts are cut in a picture; the HTML page has all of them.
_MOST_LINES: Final = 120
_BAR: Final = 360


@final
class TextPicture(SampleKind):
    """The text with each word on a red or blue ground; the page in HTML has the values too."""

    rank: ClassVar[int] = 4
    needs: ClassVar[str] = "a text"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return has_text(one)

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        scale = text_scale(one, scene.sign)
        parts = text_parts(one, scale, whole_number(scene.top))
        body, cut = _body(scene.style, parts, scale)
        notes = caption(one, scale, parts)
        if cut:
            notes.append(f"The picture ends after {_MOST_LINES} lines; the page in HTML has the whole text.")
        if lacking := fonts.boxes(visible("".join(part.text for part in parts))):
            notes.append(f"{lacking} The page in HTML has them.")
        return coloured_page(scene.style, one, body, scale, notes)


def coloured_page(style: Style, one: Explanation, body: Image.Image, scale: Scale, notes: Sequence[str]) -> Image.Image:
    """The page of a text or of bytes, with the scale of their colours below it."""
    bars = []
    if not scale.empty:
        swatches = colour_bars.scale_swatches(style, scale, _OPACITY, _BAR)
        bars = [colour_bars.colour_bar(style, swatches, scale.low, scale.high, _SIZE, upright=False)]
    return sample_page(style, one, page.beneath(style, [body, *bars], _SIZE), notes, size=_SIZE)


def _body(style: Style, parts: Sequence[Part], scale: Scale) -> tuple[Image.Image, bool]:
    """The text on lines, and whether it was cut."""
    face = Face(_SIZE)
    step = round(1.6 * _SIZE)
    boxes = list(_laid_out(parts, face))
    cut = bool(boxes) and boxes[-1][1] >= _MOST_LINES
    boxes = [box for box in boxes if box[1] < _MOST_LINES]
    rows = 1 + max((box[1] for box in boxes), default=0)
    image = Image.new("RGB", (_WIDTH, step * rows), style.paper)
    draw = ImageDraw.Draw(image)
    from_right = begins_at_the_right("".join(text for _, _, text, _ in boxes))
    for offset, row, text, part in boxes:
        top, width = row * step, face.width(text)
        left = _WIDTH - offset - width if from_right else offset
        if part.strength:
            colour = ground(style, part.strength, scale)
            draw.rounded_rectangle((left - 1, top + 2, left + width + 1, top + step - 4), radius=3, fill=colour)
        face.write(draw, left, top + round(0.25 * _SIZE), text, style.ink if part.seen else style.faint)
        if not part.seen and text.strip():
            middle = top + step // 2
            draw.line((left, middle, left + width, middle), fill=style.faint)
    return image, cut


def ground(style: Style, strength: float, scale: Scale) -> tuple[int, int, int]:
    """The colour behind a word, blended with the paper."""
    import numpy as np

    colours, opacity = heat(np.array([strength], np.float32), scale.sign, _OPACITY)
    mixed = colours[0] * opacity[0] + np.array(style.paper) * (1 - opacity[0])
    red, green, blue = np.rint(mixed).astype(int).tolist()
    return red, green, blue


def _laid_out(parts: Sequence[Part], face: Face) -> Iterator[tuple[float, int, str, Part]]:
    """Each piece of text with its left edge in pixels and its line; words move to a new line as a whole if they fit."""
    left, row = 0.0, 0
    for part in parts:
        for number, line in enumerate(fonts.legible(visible(part.text)).replace("\t", "    ").split("\n")):
            if number:
                left, row = 0.0, row + 1
            for piece in _pieces(line):
                width = face.width(piece)
                if left and left + width > _WIDTH:
                    left, row = 0.0, row + 1
                    piece = piece.lstrip(" ")
                    width = face.width(piece)
                while width > _WIDTH and len(piece) > 1:
                    fits = _fitting(piece, face)
                    yield left, row, piece[:fits], part
                    left, row, piece = 0.0, row + 1, piece[fits:]
                    width = face.width(piece)
                if piece:
                    yield left, row, piece, part
                    left += width


def _fitting(text: str, face: Face) -> int:
    """How many characters of a text fit on a line, at least one."""
    return max(1, bisect_right(range(1, len(text)), _WIDTH, key=lambda count: int(face.width(text[:count]))))


def _pieces(line: str) -> Iterator[str]:
    """Words, each with the spaces before it, so that long parts can be divided."""
    start = 0
    for place in range(1, len(line)):
        if line[place] == " " and line[place - 1] != " ":
            yield line[start:place]
            start = place
    if line:
        yield line[start:]
