"""Lines of equal values over the untouched photo."""

from __future__ import annotations

from typing import ClassVar, Final, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import colour_bars, page
from xaionnx.render.colours import heat
from xaionnx.render.painting import Pixels, contour, line_width
from xaionnx.render.photo import MapOnPhoto, with_photo
from xaionnx.render.photo_kind import PhotoKind
from xaionnx.render.picture import Scene
from xaionnx.render.themes import Style

# Shares of the scale at which there are lines.
_LEVELS: Final = (0.25, 0.5, 0.75)


@final
class Contours(PhotoKind):
    """Lines at a quarter, half and three quarters of the scale, over the photo in its own colours."""

    rank: ClassVar[int] = 12

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        laid, style = cls.laid_over(result, scene), scene.style
        gap = round(0.7 * laid.text_size)
        body = page.beside(
            style, [*with_photo(Image.fromarray(_with_lines(laid)), laid, scene.original), _bar(style, laid)], gap
        )
        note = "" if laid.scale.empty else "Lines are at a quarter, half and three quarters of the scale."
        return laid.page(style, body, [note])


def _with_lines(laid: MapOnPhoto) -> Pixels:
    from scipy import ndimage

    scale, photo = laid.scale, np.array(laid.shown)
    if scale.empty:
        return photo
    strength, wide = scale.strength(laid.found.values), 2 * line_width(*photo.shape[:2])
    for level in _LEVELS:
        for signed in (level, -level) if scale.sign == "signed" else (level,):
            line = ndimage.maximum_filter(contour(strength, signed, photo, laid.found.labels is None), wide + 1)
            colours, _ = heat(np.array([signed]), scale.sign, 1.0)
            # A dark edge makes the line visible on light ground, and its colour on dark ground.
            photo[ndimage.maximum_filter(line, wide + 2) & ~line] = (30, 30, 30)
            photo[line] = np.rint(colours[0]).astype(np.uint8)
    return photo


def _bar(style: Style, laid: MapOnPhoto) -> Image.Image:
    """The colours of the lines with their values."""
    scale = laid.scale
    values = np.linspace(scale.low, scale.high, len(laid.shown))
    strength = scale.strength(values)
    steps = np.select([np.abs(strength) >= level for level in _LEVELS[::-1]], _LEVELS[::-1], 0.0)
    colours, opacity = heat(np.sign(strength) * steps, scale.sign, 1.0)
    swatches = np.where(opacity[:, None] > 0, colours, np.array(style.paper)).astype(np.uint8)
    signs = (1, -1) if scale.sign == "signed" else (1,)
    zero = 0.0 if scale.sign == "signed" else scale.low
    marks = sorted(zero + sign * level * (scale.high - zero) for level in _LEVELS for sign in signs)
    return colour_bars.colour_bar(
        style, swatches, scale.low, scale.high, laid.text_size, upright=True, marks=[] if scale.empty else marks
    )
