"""A photograph with its attribution as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import colour_bars, page, readings
from xaionnx.render.colours import Scale, scale_of
from xaionnx.render.maps import Extent, PixelMap, one_picture, one_sample, pixel_map, smoothed
from xaionnx.render.painting import Look, Pixels, enlarged, is_hidden, painted, top_players
from xaionnx.render.result_page import sample_page
from xaionnx.render.themes import LIGHT, Style
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array

# The sides of a picture are so many times those of the photo inside it.
_INSET: Final = 4


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
    top: int | float | None = None,
    smooth: float | None = None,
    original: bool | str | None = False,
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
    top : int or float, optional
        Show only this many features, the strongest, or this share of the picture, as 0.1 for a tenth; the rest of the
        photo is faded.
    smooth : float, optional
        Replace each value by a mean of its neighbours, weighted by a Gaussian of this standard deviation in pixels of
        the map. None does so, by a hundredth of the shorter side, in large maps of single pixels whose neighbours have
        little in common, such as gradients, which cannot be read otherwise; the caption says it. 0 never does.
    original : bool, "beside" or "inset"
        Also show the photo: at the left (True, or "beside"), or small in the corner with the weakest colours.
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
    if look.is_share:
        # What is left of the photo is to be seen itself.
        look = replace(look, alpha=alpha / 2, background="photo")
    check_original(original, "overlay")
    laid = laid_over(
        explanation,
        picture,
        sample=sample,
        target=target,
        sign=sign,
        percentile=percentile,
        look=look,
        smooth=smooth,
        stretched=stretched,
        input=input,
    )
    if look.top is None and is_hidden(laid.shown, laid.found, laid.scale):
        laid = replace(laid, look=replace(look, half_line=True))
    heated = Image.fromarray(painted(laid.shown, laid.found, laid.scale, laid.look, "overlay"))
    row = with_photo(heated, laid, original)
    body = page.beside(style, [*row, laid.bar(style)], round(0.7 * laid.text_size))
    return laid.page(style, body, _what_is_shown(laid.look), title)


@final
@dataclass(frozen=True, eq=False, repr=False)
class MapOnPhoto:
    """A map and the photo over which it is drawn.

    Attributes
    ----------
    one : Explanation
        The record of the sample and target.
    found : PixelMap
    scale : Scale
    shown : uint8 array (H, W, 3)
        The photo, enlarged if it is small.
    look : Look
    """

    one: Explanation
    found: PixelMap
    scale: Scale
    shown: Pixels
    look: Look

    def photo(self) -> Image.Image:
        """The photo itself, of the size of the map."""
        return Image.fromarray(np.ascontiguousarray(self.shown))

    @property
    def text_size(self) -> int:
        """Text height in pixels."""
        return page.text_size(self.shown.shape[1])

    def bar(self, style: Style) -> Image.Image:
        """The vertical colour bar."""
        swatches = colour_bars.scale_swatches(style, self.scale, self.look.alpha, len(self.shown))
        return colour_bars.colour_bar(style, swatches, self.scale.low, self.scale.high, self.text_size, upright=True)

    def page(self, style: Style, body: Image.Image, notes: Sequence[str], title: str | None = None) -> Image.Image:
        """The page with the picture; ``notes`` come before what the colours mean."""
        meaning, details = readings.meaning_and_details(self.one, self.scale, self.found)
        every = [*notes, meaning, readings.smoothing(self.found)]
        return sample_page(style, self.one, body, every, [details], title=title, size=self.text_size)


def laid_over(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    picture: Array,
    *,
    sample: int = 0,
    target: int = 0,
    sign: str = "auto",
    percentile: float = 99.0,
    look: Look = Look(),  # noqa: B008 - frozen
    smooth: float | None = None,
    stretched: bool = False,
    input: str | None = None,
    function: str = "overlay",
) -> MapOnPhoto:
    """The map of one sample and the photo over which it is drawn; parameters are those of :func:`overlay`."""
    look.check(function)
    one = one_sample(explanation, sample, target, function)
    photo = one_picture(picture, sample, explanation.samples)
    whole = pixel_map(one, Extent(photo.shape[0], photo.shape[1], stretched), input)
    found = smoothed(whole, smooth, sign, function)
    scale = scale_of(found.values, sign, percentile, function, from_zero=sense(one).from_zero)
    if look.top is not None and not look.is_share:
        top_players(found, scale, int(look.top), function)
    return MapOnPhoto(one, found, scale, enlarged(photo, look.zoom), look)


def _what_is_shown(look: Look) -> list[str]:
    """Sentences on what is left out, and on lines."""
    if look.top is not None:
        which = f"{100 * look.top:.3g} % of the picture" if look.is_share else f"{look.top} features"
        shown = "is" if look.is_share else "are"
        return [f"Only the strongest {which} {shown} shown."]
    return ["The line is at half of the scale."] if look.half_line else []


def check_original(original: bool | str | None, function: str) -> None:
    """Raise ParameterError if this is no place for the photo."""
    if not isinstance(original, bool) and original not in (None, "beside", "inset"):
        raise ParameterError(
            f"The 'original' parameter of {function} must be True, False, 'beside' or 'inset'. "
            f"Got {original!r} instead."
        )


def with_photo(heated: Image.Image, laid: MapOnPhoto, original: bool | str | None) -> list[Image.Image]:
    """A map, with the photo small inside it or in its own picture at the left, if either is asked for."""
    if original == "inset":
        paste_photo(heated, laid.photo(), laid.scale.strength(laid.found.values))
    return [laid.photo(), heated] if original in (True, "beside") else [heated]


def paste_photo(heated: Image.Image, photo: Image.Image, strength: Array) -> None:
    """Paste a small copy of the photo into the corner of a map with the weakest colours, by their strength (H, W)."""
    wide, tall = heated.width // _INSET, heated.height // _INSET
    strength = np.abs(strength)
    rows, columns = -(-strength.shape[0] // _INSET), -(-strength.shape[1] // _INSET)
    corners = {
        (bottom, right): float(strength[-rows if bottom else 0 :, -columns if right else 0 :][:rows, :columns].mean())
        for bottom in (True, False)
        for right in (False, True)
    }
    bottom, right = min(corners, key=corners.__getitem__)
    edge = max(2, heated.width // 300)
    left, top = (heated.width - wide) * right, (heated.height - tall) * bottom
    small = photo.resize((wide - 2 * edge, tall - 2 * edge), Image.Resampling.LANCZOS)
    heated.paste((255, 255, 255), (left, top, left + wide, top + tall))
    heated.paste(small, (left + edge, top + edge))
