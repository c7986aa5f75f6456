"""One photograph with what the model looked at."""

from __future__ import annotations

import numpy as np
from PIL import Image

from xaionnx.caveats import caveats
from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import page, words
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, one_picture, one_sample, pixel_map
from xaionnx.render.painting import Look, enlarged, painted, top_players
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
) -> Image.Image:
    """Draw the photo of one sample with its attribution as a heat map, a colour bar, a title and a caption.

    The heat is transparent where the value is zero and grows opaque with its size, so that the photo stays
    visible. Each pixel shows one number: the value of its feature where the method worked on features, the sum over
    the channels where the channels have values of their own (``absolute`` takes the size of that sum).

    Parameters
    ----------
    explanation : Explanation
        Of N samples.
    picture : uint8 array, (H, W, 3) or (N, H, W, 3)
        The photo as the model saw it, or a larger one of the same aspect: the map is then enlarged to it, without
        interpolation.
    sample : int
        Which of the N samples.
    target : int
        Which of several targets.
    sign : {"auto", "signed", "positive", "absolute"}
        ``signed``: red above zero and blue below, on a scale that is symmetric about zero. ``positive``: values above
        zero only, from pale yellow to dark red. ``absolute``: the sizes of the values, in the same colours. ``auto``:
        signed where any value is below zero, else positive.
    percentile : float
        The colour scale ends at this percentile of the sizes of the values (of the values for ``positive``), in
        [50, 100]; at the largest where the percentile is zero, as in a map of a few spots. Signed scales are symmetric
        about zero and others start at zero, so that maps of one method can be compared; but where the order of values
        counts alone (the kind ``importance``) they start at the opposite percentile. The caption says both ends.
    alpha : float
        Opacity of the strongest colour, in (0, 1].
    background : {"grey", "photo"}
        Whether the photo under the heat is drawn in grey or in its own colours.
    boundaries : bool, optional
        Draw the borders of the features; None draws them where features are regions rather than pixels.
    top : int, optional
        Show the strongest features only; the rest of the photo is greyed.
    original : bool
        Put the photo itself at the left.
    zoom : int, optional
        How often each pixel of the picture is repeated along each side; None enlarges small pictures until their
        shorter side has 400 pixels (or the longer one 2000), and leaves others as they are.
    title : str, optional
        Instead of the class and its score.
    stretched : bool
        The model saw the photo in another aspect, so that the map is stretched to cover it.
    input : str, optional
        The input to draw, where several have values that fit the picture.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        The values are no finite map over the picture, or the picture is no uint8 array of the right shape.
    ParameterError
        A parameter is out of its domain.

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
    swatches = page.scale_swatches(scale, alpha, heated.height)
    bar = page.colour_bar(swatches, scale.low, scale.high, size, upright=True)
    row = [Image.fromarray(np.ascontiguousarray(shown))] if original else []
    body = page.beside([*row, heated, bar], gap)
    notes = [words.reading(one, scale, found)]
    if top is not None:
        notes.insert(0, f"Only the {top} strongest features are shown.")
    return page.whole(title or words.class_and_score(one), caveats(one), body, notes, words.made_by(one), size)
