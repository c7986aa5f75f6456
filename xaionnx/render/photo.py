"""A photograph with its attribution as a heat map."""

from __future__ import annotations

import numpy as np
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import page, words
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, one_picture, one_sample, pixel_map
from xaionnx.render.painting import Look, enlarged, painted, top_players
from xaionnx.render.result_page import sample_page
from xaionnx.render.themes import LIGHT, Style
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array


def overlay(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    picture: Array,
    *,
    sample: int = 0,
    target: int = 0,
    sign: str = "auto",
    percentile: float = 99.0,
    alpha: float = 0.85,
    background: str = "grey",
    boundaries: bool | None = None,
    top: int | None = None,
    original: bool = False,
    zoom: int | None = None,
    title: str | None = None,
    stretched: bool = False,
    input: str | None = None,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of one sample: the photo with its attribution as a heat map, a colour bar, a title and a caption.

    The heat map is transparent at zero and more opaque for larger values, so that the photo stays visible. Each pixel
    shows one number: the value of its feature if the method worked on features, otherwise the sum over the channels
    (with ``absolute``, the absolute value of that sum).

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples.
    picture : uint8 array, (H, W, 3) or (N, H, W, 3)
        The model's input picture, or a larger one of the same aspect ratio, to which the map is enlarged without
        interpolation.
    sample : int
        Index of the sample.
    target : int
        Index of the target, if there are several.
    sign : {"auto", "signed", "positive", "absolute"}
        ``signed``: red for positive and blue for negative values, on a scale symmetric about zero. ``positive``: only
        positive values, from pale yellow to dark red. ``absolute``: absolute values, in the same colours. ``auto``:
        signed if any value is negative, otherwise positive.
    percentile : float
        The colour scale ends at this percentile of the absolute values (of the values for ``positive``), in [50, 100];
        at the largest value if the percentile is zero, as in a map of a few spots. Signed scales are symmetric about
        zero and others start at zero, so that maps of one method can be compared; if only the order of values matters
        (the kind ``importance``), they start at the opposite percentile. The caption states both ends.
    alpha : float
        Opacity of the strongest colour, in (0, 1].
    background : {"grey", "photo"}
        Whether the photo under the heat map is grey or in colour.
    boundaries : bool, optional
        Draw the borders of the features; None draws them if features are regions rather than pixels.
    top : int, optional
        Show only this many features, the strongest; the rest of the photo is faded.
    original : bool
        Also show the photo, at the left.
    zoom : int, optional
        Integer factor by which the picture is enlarged; None enlarges small pictures until the shorter side has 400
        pixels (or the longer side 2000).
    title : str, optional
        Replaces the class and its score.
    stretched : bool
        Whether the model's input has another aspect ratio, so that the map is stretched to cover the photo.
    input : str, optional
        The input to draw, if several have values that match the picture.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        The values are not a finite map over the picture, or the picture is not a uint8 array of the right shape.
    ParameterError
        A parameter is invalid.

    Examples
    --------
    >>> values = np.zeros((1, 1, 28, 28), np.float32)
    >>> values[..., 8:20, 8:20] = 1.5
    >>> e = Explanation("occlusion", values, np.array(["seven (7)"]), np.array([4.2]))
    >>> image = overlay(e, np.full((28, 28, 3), 90, np.uint8))
    >>> image.mode
    'RGB'
    """
    look = Look(alpha, background, boundaries, top, zoom)
    look.check("overlay")
    if not isinstance(original, bool):
        raise ParameterError(f"The 'original' parameter of overlay must be True or False. Got {original!r} instead.")
    one = one_sample(explanation, sample, target, "overlay")
    photo = one_picture(picture, sample, explanation.samples)
    found = pixel_map(one, Extent(photo.shape[0], photo.shape[1], stretched), input)
    scale = scale_of(found.values, sign, percentile, "overlay", from_zero=sense(one).from_zero)
    shown = enlarged(photo, zoom)
    if top is not None:
        top_players(found, scale, top, "overlay")
    heated = Image.fromarray(painted(shown, found, scale, look, "overlay"))

    size = page.text_size(heated.width)
    gap = round(0.7 * size)
    swatches = page.scale_swatches(style, scale, alpha, heated.height)
    bar = page.colour_bar(style, swatches, scale.low, scale.high, size, upright=True)
    row = [Image.fromarray(np.ascontiguousarray(shown))] if original else []
    body = page.beside(style, [*row, heated, bar], gap)
    meaning, details = words.meaning_and_details(one, scale, found)
    notes = [meaning] if top is None else [f"Only the {top} strongest features are shown.", meaning]
    return sample_page(style, one, body, notes, [details], title=title, size=size)
