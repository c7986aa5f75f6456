"""Maps of occlusion by position of the occluder, after Zeiler and Fergus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import colour_bars, page
from xaionnx.render.colours import scale_of, sequential
from xaionnx.render.maps import one_picture, one_sample
from xaionnx.render.painting import enlarged, spread
from xaionnx.render.result_page import sample_page
from xaionnx.render.themes import LIGHT, Style
from xaionnx.typing import Array

Colours = npt.NDArray[np.uint8]

# Okabe and Ito's colours, distinct under all common kinds of colour blindness; grey is for all further classes.
_CLASSES: Final = np.array(
    [(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66)],
    np.uint8,
)
_OTHERS: Final = (190, 190, 190)
_MAPS: Final = {
    "drop": ("drop", "of the prediction with the occluder there"),
    "probability": ("probability", "of the class with the occluder there"),
    "top_class": ("top class", "with the occluder there"),
    "activation": ("activation", "of the layer with the occluder there"),
}


def positions(
    explanation: Explanation,
    picture: Array | None = None,
    *,
    sample: int = 0,
    target: int = 0,
    labels: Sequence[str] | None = None,
    side: int = 300,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of the effect of an occluder at each position: drop, probability, top class and activation.

    Each cell of a map is one position, rows from the top and columns from the left. The drop is red where covering
    lowers the prediction; probability and activation range from their smallest value (dark blue) to their largest
    (yellow); the top class has one colour per class, and the most frequent are named with their share of the positions.

    Parameters
    ----------
    explanation : Explanation
        An explanation by ``occlusion`` with one or more of these maps.
    picture : uint8 array, (H, W, 3) or (N, H, W, 3), optional
        The photo, drawn at the left; the maps have its aspect ratio.
    sample, target : int
        Index of the sample, and of the target if there are several.
    labels : sequence of str, optional
        Names of the K classes; numbers by default.
    side : int
        The shorter side of each map in pixels, at least 100.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        The explanation has no such map, a map is not finite, or the picture or the labels do not match.
    ParameterError
        There is no such sample or target, or ``side`` is too small.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901, figure 7.
    Okabe and Ito, Color universal design, 2008, https://jfly.uni-koeln.de/color/.

    Examples
    --------
    >>> maps = {"drop": np.array([[[0.0, 2.0], [1.0, -1.0]]]), "top_class": np.array([[[3, 3], [3, 1]]])}
    >>> e = Explanation("occlusion", np.zeros((1, 1, 4, 4)), np.array(["3"]), np.array([2.0]), maps=maps)
    >>> positions(e).mode
    'RGB'
    """
    if not isinstance(side, int) or isinstance(side, bool) or side < 100:
        raise ParameterError(f"The 'side' parameter of positions must be an int in [100, inf). Got {side!r} instead.")
    one = one_sample(explanation, sample, target, "positions")
    maps = {name: np.asarray(one.maps[name])[0] for name in _MAPS if name in one.maps}
    maps = {name: cells for name, cells in maps.items() if cells.ndim == 2}
    if not maps:
        raise DataError(
            f"The {one.method} explanation has no maps by position of an occluder in a picture. "
            "Explain the picture with occlusion, or draw it with render.overlay."
        )
    for name, cells in maps.items():
        if not np.isfinite(cells).all():
            raise DataError(f"The map '{name}' of the {one.method} explanation holds NaN or infinity.")
    size = max(14, round(0.048 * side))
    panels = []
    if picture is None:
        rows, columns = next(iter(maps.values())).shape
        unit = side / min(rows, columns)
        width, height = round(columns * unit), round(rows * unit)
    else:
        photo = Image.fromarray(np.ascontiguousarray(enlarged(one_picture(picture, sample, explanation.samples), None)))
        unit = side / min(photo.size)
        width, height = round(photo.width * unit), round(photo.height * unit)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
        panels.append(page.Panel(_heading(style, "photo", "input of the model", width, size), photo))
    for name, cells in maps.items():
        if name == "top_class":
            colours, foot = _classes(style, cells, labels, width, size)
        else:
            colours, foot = _number_colours(style, name, cells, width, size)
        enlarged_map = Image.fromarray(np.ascontiguousarray(spread(colours, height, width)))
        # A map may be white at its edge, so a line marks its border.
        ImageDraw.Draw(enlarged_map).rectangle((0, 0, width - 1, height - 1), outline=style.faint)
        panels.append(page.Panel(_heading(style, *_MAPS[name], width, size), enlarged_map, foot))
    body = page.grid(style, panels, len(panels), size)
    rows, columns = next(iter(maps.values())).shape
    note = f"Each cell is one of {rows} x {columns} positions of the occluder."
    if "drop" in maps:
        note += " Red: covering this position lowers the prediction; blue: covering it raises the prediction."
    return sample_page(style, one, body, [note], size=size)


def _heading(style: Style, name: str, subtitle: str, width: int, size: int) -> Image.Image:
    first = page.text_block(style, [name], width, round(1.1 * size), bold=True)
    return page.beneath(style, [first, page.text_block(style, [subtitle], width, size)], 0)


def _number_colours(style: Style, name: str, cells: Array, width: int, size: int) -> tuple[Colours, Image.Image]:
    """Colours (rows, columns, 3) of a map of numbers, and its colour bar."""
    values = cells.astype(np.float64)
    if name == "drop":
        scale = scale_of(values, "signed", 100, "positions")
        swatches = colour_bars.scale_swatches(style, scale, 1.0, width)
        colours = colour_bars.on_paper(style, scale, values, 1.0)
        return colours, colour_bars.scale_bar(style, scale, 1.0, width, size)
    table = np.rint(sequential("viridis")).astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    place = np.zeros(values.shape) if low == high else (values - low) / (high - low)
    swatches = table[np.arange(width) * 256 // width]
    if low == high:
        swatches = np.broadcast_to(table[0], (width, 3))
    marks = colour_bars.end_marks(low, high)
    bar = colour_bars.colour_bar(style, swatches, low, high, size, upright=False, marks=marks)
    return table[np.minimum((place * 256).astype(np.intp), 255)], bar


def _classes(
    style: Style, cells: Array, labels: Sequence[str] | None, width: int, size: int
) -> tuple[Colours, Image.Image]:
    """Colours (rows, columns, 3) of a map of class numbers, and its legend."""
    classes, counts = np.unique(cells, return_counts=True)
    if labels is not None and (classes.min() < 0 or classes.max() >= len(labels)):
        raise DataError(
            f"The map 'top_class' holds class {int(classes.max())}, but there are {len(labels)} labels. "
            "Give one label per class, in the order of the outputs."
        )
    # The most frequent first; ties by class number.
    order = np.argsort(-counts, kind="stable")
    colours = np.broadcast_to(np.array(_OTHERS, np.uint8), (*cells.shape, 3)).copy()
    entries: list[tuple[tuple[int, int, int], str]] = []
    for rank, k in enumerate(order[: len(_CLASSES)]):
        colours[cells == classes[k]] = _CLASSES[rank]
        name = f"{labels[classes[k]]} ({classes[k]})" if labels is not None else f"class {classes[k]}"
        chip = (int(_CLASSES[rank][0]), int(_CLASSES[rank][1]), int(_CLASSES[rank][2]))
        entries.append((chip, f"{name}, {_share(counts[k], cells.size)}"))
    rest = order[len(_CLASSES) :]
    if len(rest):
        entries.append((_OTHERS, f"{len(rest)} further classes, {_share(counts[rest].sum(), cells.size)}"))
    return colours, _legend(style, entries, width, size)


def _share(count: int, of: int) -> str:
    percent = 100 * count / of
    return "less than 1%" if percent < 1 else f"{percent:.0f}%"


def _legend(style: Style, entries: list[tuple[tuple[int, int, int], str]], width: int, size: int) -> Image.Image:
    chip, gap = round(0.8 * size), round(0.45 * size)
    blocks = []
    for colour, text in entries:
        words_block = page.text_block(style, [text], width - chip - gap, size, colour=style.ink)
        block = Image.new("RGB", (width, words_block.height), style.paper)
        block.paste(words_block, (chip + gap, 0))
        top = round(0.2 * size)
        ImageDraw.Draw(block).rectangle((0, top, chip - 1, top + chip - 1), fill=colour, outline=style.faint)
        blocks.append(block)
    return page.beneath(style, blocks, 0)
