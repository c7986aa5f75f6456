"""Sheets of what is inside a model, drawn: rows of tiles with their captions."""

from __future__ import annotations

from typing import Final

from PIL import Image

from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.render import page
from xaionnx.render.themes import LIGHT, Style

_WIDTH: Final = 1200
_SIZE: Final = 14
# Small tiles are enlarged to about this many pixels, large ones are reduced to at most the other number.
_SMALL: Final = 72
_LARGE: Final = 240


def activation_sheet(sheet: ActivationSheet, *, style: Style = LIGHT) -> Image.Image:
    """Return a picture of a sheet.

    Parameters
    ----------
    sheet : ActivationSheet
    style : Style
        Colours of the page.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    rows = [_row(style, row) for row in sheet.rows]
    widest = max(row.width for row in rows)
    across = max(1, (_WIDTH + 2 * _SIZE) // (widest + 2 * _SIZE))
    lines = [page.beside(style, rows[n : n + across], 2 * _SIZE) for n in range(0, len(rows), across)]
    body = page.beneath(style, lines, _SIZE)
    width = max(body.width, 600)
    made = sheet.provenance
    blocks = [
        page.text_block(style, [sheet.title], width, round(1.2 * _SIZE), bold=True),
        body,
        page.text_block(style, [sheet.reading], width, _SIZE),
        page.text_block(style, [f"{made['view']} of {made['model']}."], width, 12, colour=style.faint),
    ]
    return page.framed(style, page.beneath(style, blocks, _SIZE), _SIZE)


def _row(style: Style, row: Row) -> Image.Image:
    panels = [_panel(style, tile) for tile in row.tiles]
    widest = max(panel.picture.width for panel in panels)
    body = page.grid(style, panels, max(1, _WIDTH // (widest + _SIZE // 2)), _SIZE // 2)
    if not row.name:
        return body
    return page.beneath(style, [page.text_block(style, [row.name], body.width, _SIZE, bold=True), body], 4)


def _panel(style: Style, tile: Tile) -> page.Panel:
    image = Image.fromarray(tile.pixels)
    shorter, longer = min(image.size), max(image.size)
    if shorter < _SMALL:
        factor = max(1, min(round(_SMALL / shorter), _LARGE // longer))
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    elif longer > _LARGE:
        image.thumbnail((_LARGE, _LARGE), Image.Resampling.LANCZOS)
    heading = page.text_block(style, [tile.caption] if tile.caption else [], image.width, 12)
    return page.Panel(heading, image, None)
