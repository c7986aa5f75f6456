"""What would have changed the answer, as a picture: a line a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image

from xaionnx.optimization.counterfactual_search import Counterfactual
from xaionnx.render import page
from xaionnx.render.themes import LIGHT, Style

_WIDTHS: Final = (300, 230, 230)
_SIZE: Final = 16


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
        width = sum(_WIDTHS)
        title = f"{name}: {to}, had these values been" if one.changes else f"{name}: {one}"
        blocks.append(page.text_block(style, [title], width, round(1.1 * _SIZE), bold=True))
        for change in one.changes:
            cells = [change.name.replace("_", " "), f"not {change.before}", f"but {change.after}"]
            line = [
                page.text_block(style, [cell], wide, _SIZE, bold=number == len(cells) - 1)
                for number, (cell, wide) in enumerate(zip(cells, _WIDTHS, strict=True))
            ]
            blocks.append(page.beside(style, [_filled(style, b, w) for b, w in zip(line, _WIDTHS, strict=True)], 0))
        blocks.append(page.text_block(style, [_caption(one)], width, 12, colour=style.faint))
    return page.framed(style, page.beneath(style, blocks, _SIZE // 2), _SIZE)


def _filled(style: Style, block: Image.Image, width: int) -> Image.Image:
    """A cell of a width."""
    cell = Image.new("RGB", (width, block.height), style.paper)
    cell.paste(block, (0, 0))
    return cell


def _caption(one: Counterfactual) -> str:
    return (
        f"{one.provenance['search']} of {one.provenance['model']}: distance {one.distance:.3g}, {one.plausibility:.3g} "
        "from the nearest row of the data."
    )
