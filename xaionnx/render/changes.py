"""What would have changed the answer, as a picture: a line a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from PIL import Image

from xaionnx.optimization.change import Change
from xaionnx.optimization.contrast import Contrast
from xaionnx.optimization.counterfactual_search import Counterfactual
from xaionnx.render import page
from xaionnx.render.themes import LIGHT, Style

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WIDTHS: Final = (300, 230, 230)
_SIZE: Final = 16
# The side of a small picture, about, in pixels.
_TILE: Final = 224


def changes(found: Sequence[Counterfactual], names: Sequence[str], to: str, *, style: Style = LIGHT) -> Image.Image:
    """Return a picture of the changes of each row.

    Parameters
    ----------
    found : sequence of Counterfactual
    names : sequence of str
        The names of the rows.
    to : str
        The wanted answer.
    style : Style
        Colours of the page.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    blocks: list[Image.Image] = []
    for one, name in zip(found, names, strict=True):
        for number, each in enumerate((one, *one.others)):
            said = f"{name}: {to}, had these values been" if number == 0 else "or"
            blocks += _rows(style, said if each.changes else f"{name}: {each}", each.changes, _caption(each))
    return page.framed(style, page.beneath(style, blocks, _SIZE // 2), _SIZE)


def contrasts(found: Sequence[Contrast], names: Sequence[str], *, style: Style = LIGHT) -> Image.Image:
    """Return a picture of inputs beside the changed ones: the pictures, or a line a change of a row.

    Parameters
    ----------
    found : sequence of Contrast
    names : sequence of str
        The names of the inputs.
    style : Style
        Colours of the page.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    blocks: list[Image.Image] = []
    for number, name in enumerate(names):
        own = [one for one in found if one.provenance["input"] == number]
        panels = {title: picture for one in own for title, picture in one.pictures.items()}
        if not panels:
            for one in own:
                blocks += _rows(style, f"{name}: {str(one).splitlines()[0]}", one.changes, _made_by(one))
            continue
        tiles = [_tile(style, title, picture) for title, picture in panels.items()]
        sheet = page.beside(style, tiles, _SIZE)
        blocks.append(page.text_block(style, [name], sheet.width, round(1.1 * _SIZE), bold=True))
        blocks.append(sheet)
        words = [str(one) for one in own] + [_made_by(own[0])]
        blocks.append(page.text_block(style, words, max(sheet.width, sum(_WIDTHS)), 12, colour=style.faint))
    return page.framed(style, page.beneath(style, blocks, _SIZE // 2), _SIZE)


def _rows(style: Style, title: str, found: Sequence[Change], caption: str) -> list[Image.Image]:
    width = sum(_WIDTHS)
    blocks = [page.text_block(style, [title], width, round(1.1 * _SIZE), bold=True)]
    for change in found:
        cells = [change.name.replace("_", " "), f"not {change.before}", f"but {change.after}"]
        line = [
            page.text_block(style, [cell], wide, _SIZE, bold=number == len(cells) - 1)
            for number, (cell, wide) in enumerate(zip(cells, _WIDTHS, strict=True))
        ]
        blocks.append(page.beside(style, [_filled(style, b, w) for b, w in zip(line, _WIDTHS, strict=True)], 0))
    return [*blocks, page.text_block(style, [caption], width, 12, colour=style.faint)]


def _tile(style: Style, title: str, picture: NDArray[np.uint8]) -> Image.Image:
    """A picture with its title, small ones enlarged without smoothing."""
    shown = Image.fromarray(picture)
    scale = max(1, _TILE // max(shown.size))
    shown = shown.resize((shown.width * scale, shown.height * scale), Image.Resampling.NEAREST)
    return page.beneath(style, [page.text_block(style, [title], shown.width, 14), shown], 4)


def _made_by(one: Contrast) -> str:
    return f"{one.provenance['search']} of {one.provenance['model']}"


def _filled(style: Style, block: Image.Image, width: int) -> Image.Image:
    """A cell of a width."""
    cell = Image.new("RGB", (width, block.height), style.paper)
    cell.paste(block, (0, 0))
    return cell


def _caption(one: Counterfactual) -> str:
    return (
        f"{one.provenance['search']} of {one.provenance['model']}: distance {one.distance:.3g}, {one.plausibility:.3g} "
        "from the nearest other row of the data."
    )
