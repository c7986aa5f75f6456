"""Pictures that a search found, each with how large its objective is."""

from __future__ import annotations

from typing import Final

from PIL import Image

from xaionnx.optimization.visualization import Visualization
from xaionnx.render import page
from xaionnx.render.themes import LIGHT, Style

_ROW: Final = 4
_SIDE: Final = 224
_SIZE: Final = 15


def found_pictures(found: Visualization, *, style: Style = LIGHT) -> Image.Image:
    """Return a picture of all pictures of a search, with their numbers and how they were made.

    Parameters
    ----------
    found : Visualization
    style : Style
        Colours of the page.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    panels = []
    for n, picture in enumerate(found.pictures):
        image = Image.fromarray(picture)
        factor = max(1, -(-_SIDE // min(image.size)))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        said = [found.predictions[n]] if found.predictions else []
        lines = [
            f"{found.unseen[n]:.3g} in other views",
            f"{found.value[n]:.3g} here, {found.trace[0, n]:.3g} at first",
        ]
        heading = [
            page.text_block(style, said or lines[:1], image.width, round(1.1 * _SIZE), bold=True),
            page.text_block(style, lines if said else lines[1:], image.width, _SIZE),
        ]
        panels.append(page.Panel(page.beneath(style, heading, 4), image, None))
    body = page.grid(style, panels, min(len(panels), _ROW), _SIZE)
    caption = page.text_block(style, [_caption(found)], body.width, 12, colour=style.faint)
    return page.framed(style, page.beneath(style, [body, caption], _SIZE), _SIZE)


def _caption(found: Visualization) -> str:
    made, search = found.provenance, found.search
    return (
        f"{made['objective']} of {made['model']}: {search['steps']} steps of {search['optimiser']}, "
        f"{search['parametrisation']}, seed {search['seed']}. Other views are those that the search did not see."
    )
