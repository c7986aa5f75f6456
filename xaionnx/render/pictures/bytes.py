"""The bytes of a file as a hexadecimal dump, coloured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, final

from PIL import Image, ImageDraw

from xaionnx.explanation import Explanation
from xaionnx.render import fonts
from xaionnx.render.byte_rows import WIDTH, ByteRow, Gap, byte_rows
from xaionnx.render.colours import Scale
from xaionnx.render.picture import SampleKind, Scene, whole_number
from xaionnx.render.pictures.text import coloured_page, ground
from xaionnx.render.text_page import caption
from xaionnx.render.text_parts import has_bytes, text_scale
from xaionnx.render.themes import Style

_CELL: Final = 15
_STEP: Final = 22
# Longer files show their strongest rows; the page in HTML has more of them.
_MOST_ROWS: Final = 96


@final
class BytesPicture(SampleKind):
    """A hexadecimal dump with each run of bytes on a red or blue ground; the page in HTML has the values too."""

    rank: ClassVar[int] = 6
    needs: ClassVar[str] = "the bytes of a file"

    @classmethod
    def shows(cls, one: Explanation) -> bool:
        return has_bytes(one)

    @classmethod
    def draw_one(cls, one: Explanation, scene: Scene) -> Image.Image:
        scale = text_scale(one, scene.sign)
        rows = byte_rows(one, scale, whole_number(scene.top), _MOST_ROWS)
        return coloured_page(scene.style, one, _dump(scene.style, rows, scale), scale, caption(one, scale, []))


def _dump(style: Style, rows: Sequence[ByteRow | Gap], scale: Scale) -> Image.Image:
    face = fonts.font(_CELL, fixed=True)
    digit = face.getlength("0")
    numbers = round(10 * digit)
    characters = round(numbers + (3 * WIDTH + 1) * digit)
    image = Image.new("RGB", (round(characters + WIDTH * digit) + 8, _STEP * len(rows)), style.paper)
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        top = number * _STEP
        if isinstance(row, Gap):
            draw.text((numbers, top + 3), row.words, fill=style.faint, font=face, anchor="la")
            continue
        draw.text((0, top + 3), f"{row.start:08x}", fill=style.faint, font=face, anchor="la")
        for place, byte in enumerate(row.bytes):
            if byte is None:
                continue
            left, right = numbers + 3 * place * digit, characters + place * digit
            if byte.run.strength:
                colour = ground(style, byte.run.strength, scale)
                # The space up to the next byte too, so that a run is one band.
                draw.rectangle((left - digit / 2, top + 1, left + 2.5 * digit, top + _STEP - 2), fill=colour)
                draw.rectangle((right, top + 1, right + digit, top + _STEP - 2), fill=colour)
            draw.text((left, top + 3), byte.hexadecimal, fill=style.ink, font=face, anchor="la")
            draw.text((right, top + 3), byte.character, fill=style.ink, font=face, anchor="la")
    return image
