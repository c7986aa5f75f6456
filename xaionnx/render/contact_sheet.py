"""A sheet of several methods side by side, for one or more photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from xaionnx.caveats import Caveat, caveats
from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import captions, colour_bars, headings, page, readings, settings
from xaionnx.render.colours import Scale, scale_of
from xaionnx.render.maps import Extent, PixelMap, one_picture, one_sample, pixel_map, smoothed
from xaionnx.render.painting import Look, enlarged, painted
from xaionnx.render.photo import paste_photo
from xaionnx.render.themes import LIGHT, Style
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array

# With more panels in a row the text is too small on a screen.
_ROW: Final = 5
# A picture is reduced to the panel's size only if it is larger by more than this factor.
_SLACK: Final = 1.2


def sheet(  # noqa: PLR0913 - options of a picture, all by keyword
    explanations: Sequence[Explanation],
    pictures: Array,
    *,
    samples: Sequence[int] | None = None,
    target: int = 0,
    sign: str = "auto",
    percentile: float = 99.0,
    alpha: float = 0.85,
    background: str = "grey",
    boundaries: bool | None = None,
    top: int | float | None = None,
    smooth: float | None = None,
    columns: int | None = None,
    side: int = 300,
    stretched: bool = False,
    input: str | None = None,
    inset: bool = False,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of photos with the attributions of several methods, each titled with method, class and score.

    A single photo fills rows of panels, with the photo first; with several photos each has its own row. Panels of the
    same method and kind of value share a colour scale and can be compared; others have different units and scales. Each
    panel has a colour bar. To compare several targets of one method, pass ``[e.sample(0, t) for t in range(3)]``.

    Parameters
    ----------
    explanations : sequence of Explanation
        Explanations of the same N samples.
    pictures : uint8 array, (H, W, 3) or (N, H, W, 3)
        As in :func:`overlay`.
    samples : sequence of int, optional
        The samples to draw; all if None.
    columns : int, optional
        Panels per row for a single photo; up to five if None.
    side : int
        The shorter side of each panel's picture in pixels, at least 100; small pictures are enlarged by an integer
        factor to at least this size.
    target, sign, percentile, alpha, background, boundaries, top, smooth, input
        As in :func:`overlay`. Boundaries and top features are drawn in the panels of methods that worked on features.
    inset : bool
        Show the photo small inside each map, in place of a panel of its own.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError, ParameterError
        As in :func:`overlay`; or the explanations are not of the same number of samples.

    Examples
    --------
    >>> values = np.linspace(-1, 1, 28 * 28).reshape(1, 1, 28, 28)
    >>> e = Explanation("occlusion", values, np.array(["seven (7)"]), np.array([4.2]))
    >>> image = sheet([e, e], np.full((28, 28, 3), 90, np.uint8), side=100)
    >>> image.width > 3 * 100
    True
    """
    look = Look(alpha, background, boundaries, top)
    look.check("sheet")
    given = list(explanations)
    if not given or not all(isinstance(e, Explanation) for e in given):
        raise ParameterError("The 'explanations' parameter of sheet must be one or more Explanations in a list.")
    _check_int("columns", columns, 1)
    _check_int("side", side, 100)
    count = given[0].samples
    if any(e.samples != count for e in given):
        raise DataError(
            f"The explanations of a sheet must be of the same samples. "
            f"Got {', '.join(str(e.samples) for e in given)} samples."
        )
    sample_numbers = list(range(count)) if samples is None else list(samples)
    if not sample_numbers:
        raise ParameterError("The 'samples' parameter of sheet must name at least one sample. Got [] instead.")
    size, alone = max(14, round(0.048 * side)), len(sample_numbers) == 1
    panels: list[page.Panel] = []
    drawn: list[readings.Drawn] = []
    records = {
        n: [one_sample(e, n, target if e.several_targets else 0, "sheet") for e in given] for n in sample_numbers
    }
    photos = {n: one_picture(pictures, n, count) for n in sample_numbers}
    sizes = {n: Extent(photo.shape[0], photo.shape[1], stretched) for n, photo in photos.items()}
    maps = {
        n: [smoothed(pixel_map(one, sizes[n], input), smooth, sign, "sheet") for one in records[n]]
        for n in sample_numbers
    }
    everything = [
        (one, pixel_map_) for n in sample_numbers for one, pixel_map_ in zip(records[n], maps[n], strict=True)
    ]
    scales = _scales(everything, sign, percentile)
    for n in sample_numbers:
        shown = enlarged(photos[n], None, side)
        name = "photo" if alone else f"photo {n}"
        photo = _reduce(shown, side)
        panels += [] if inset else [_panel(style, name, "", photo, size)]
        titles = headings.panel_titles(records[n])
        for (name, line), one, pixel_map_ in zip(titles, records[n], maps[n], strict=True):
            scale = scales[_measure(one)]
            by_players = pixel_map_.labels is not None and pixel_map_.players is not None
            look_here = look if by_players or look.is_share else _plain(look)
            heated = _reduce(painted(shown, pixel_map_, scale, look_here, "sheet"), side)
            if inset:
                paste_photo(heated, photo, scale.strength(pixel_map_.values))
            subtitle = [line, *(settings.against(one) if not alone else [])]
            foot = colour_bars.scale_bar(style, scale, alpha, heated.width, size)
            panels.append(_panel(style, name, ", ".join(subtitle), heated, size, foot, caveats(one)))
            drawn.append(readings.Drawn(name, one, scale, pixel_map_))
    across = len(given) + (not inset)
    if alone:
        rows = -(-across // _ROW)
        across = min(columns or -(-across // rows), across)
    body = page.grid(style, panels, across, size)
    caption = page.beneath(
        style,
        [
            page.text_block(style, readings.shared_reading(drawn, percentile, look), body.width, size),
            page.text_block(style, readings.advice(drawn), body.width, size, bold=True, colour=style.warning),
            page.text_block(
                style,
                list(dict.fromkeys(captions.made_by(one, alone=alone) for one in records[sample_numbers[0]])),
                body.width,
                max(12, round(0.85 * size)),
                colour=style.faint,
            ),
        ],
        size // 2,
    )
    return page.framed(style, page.beneath(style, [body, caption], size), size)


def _measure(one: Explanation) -> tuple[str, str | None]:
    """The key of the colour scale: method and kind of value."""
    return one.method, one.value_kind


def _scales(
    drawn: Sequence[tuple[Explanation, PixelMap]], sign: str, percentile: float
) -> dict[tuple[str, str | None], Scale]:
    """The colour scale of each method and kind of value, over all of its panels."""
    by_measure: dict[tuple[str, str | None], list[tuple[Explanation, PixelMap]]] = {}
    for one, pixel_map_ in drawn:
        by_measure.setdefault(_measure(one), []).append((one, pixel_map_))
    return {
        measure: scale_of(
            np.concatenate([pixel_map_.values.reshape(-1) for _, pixel_map_ in panels]),
            sign,
            percentile,
            "sheet",
            from_zero=sense(panels[0][0]).from_zero,
        )
        for measure, panels in by_measure.items()
    }


def _reduce(pixels: Array, side: int) -> Image.Image:
    """The picture, reduced if it is larger than a panel."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    shorter = min(picture.size)
    if shorter <= _SLACK * side:
        return picture
    ratio = side / shorter
    new = (max(side, round(picture.width * ratio)), max(side, round(picture.height * ratio)))
    return picture.resize(new, Image.Resampling.LANCZOS)


def _panel(
    style: Style,
    name: str,
    subtitle: str,
    picture: Image.Image,
    size: int,
    foot: Image.Image | None = None,
    off: Sequence[Caveat] = (),
) -> page.Panel:
    width = picture.width
    heading = [page.text_block(style, [name], width, round(1.1 * size), bold=True)]
    if subtitle:
        heading.append(page.text_block(style, [subtitle], width, size))
    # Panels are narrow, so the advice is printed beneath the sheet.
    heading.append(page.warning_band(style, [Caveat(one.finding, "") for one in off], width, size))
    return page.Panel(page.beneath(style, heading, size // 4), picture, foot)


def _plain(look: Look) -> Look:
    return Look(look.alpha, look.background, None, None, look.zoom)


def _check_int(name: str, given: object, least: int) -> None:
    if given is None and name == "columns":
        return
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        alternative = " or None" if name == "columns" else ""
        raise ParameterError(
            f"The '{name}' parameter of sheet must be an int in [{least}, inf){alternative}. Got {given!r} instead."
        )
