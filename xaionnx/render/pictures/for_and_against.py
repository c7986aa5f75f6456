"""What raises the prediction and what lowers it, in two panels."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import colour_bars, page
from xaionnx.render.painting import painted
from xaionnx.render.photo import MapOnPhoto, with_photo
from xaionnx.render.photo_kind import PhotoKind
from xaionnx.render.picture import Scene
from xaionnx.render.themes import Style
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Floats


@final
class ForAndAgainst(PhotoKind):
    """Two maps over the photo, one of the values above zero and one of those below, on one scale."""

    rank: ClassVar[int] = 11

    @classmethod
    def draw(cls, result: Explanation, scene: Scene) -> Image.Image:
        laid, style = cls.laid_over(result, scene, "signed"), scene.style
        panels = [_panel(style, laid, raises) for raises in (True, False)]
        if scene.original == "inset":
            panels = [replace(panel, picture=with_photo(panel.picture, laid, "inset")[0]) for panel in panels]
        elif scene.original:
            heading = page.text_block(style, ["photo"], laid.shown.shape[1], laid.text_size, bold=True)
            panels.insert(0, page.Panel(heading, laid.photo()))
        values = laid.found.values
        missing = [f"No value is {side} zero." for side, found in _sides(values).items() if not found]
        return laid.page(style, page.grid(style, panels, len(panels), laid.text_size), missing)


def _sides(values: Floats) -> dict[str, bool]:
    """Whether there are values above and below zero."""
    return {"above": bool((values > 0).any()), "below": bool((values < 0).any())}


def _panel(style: Style, laid: MapOnPhoto, above: bool) -> page.Panel:
    """The values above or below zero."""
    scale, width, size = laid.scale, laid.shown.shape[1], laid.text_size
    side = np.maximum if above else np.minimum
    picture = painted(laid.shown, replace(laid.found, values=side(laid.found.values, 0)), scale, laid.look, "picture")
    title = sense(laid.one).sides[0 if above else 1]
    low, high = (0.0, scale.high) if above else (scale.low, 0.0)
    swatches = colour_bars.on_paper(style, scale, np.linspace(low, high, width), laid.look.alpha)
    foot = colour_bars.colour_bar(style, swatches, low, high, size, upright=False)
    heading = page.text_block(style, [title], width, size, bold=True)
    return page.Panel(heading, Image.fromarray(picture), foot)
