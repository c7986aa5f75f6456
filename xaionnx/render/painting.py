"""A map drawn over its photograph: enlargement, colours, grey background, boundaries, top features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xaionnx.errors import ParameterError
from xaionnx.render.colours import LUMA, Scale, heat, over
from xaionnx.render.maps import PixelMap
from xaionnx.typing import Array, Floats

Pixels = npt.NDArray[np.uint8]

# Smallest shorter side of a photo in a picture, in pixels.
SHOWN: Final = 400
# Largest longer side of an enlarged picture.
_LONGEST: Final = 2000
# Up to this side, pictures are enlarged without interpolation.
_PIXEL_ART: Final = 64
# By default, boundaries are drawn only if players have at least this many pixels on average.
_REGION: Final = 24
# How far the rest of the photo is faded to white around top features, and the grey that replaces black.
_FADE: Final = 0.4
_DARKEST: Final = 64.0
# The tone above which a white line is hard to see.
_LIGHT: Final = 185.0
# The strength at which a line is drawn where the photo is darker than this tone.
_HALF: Final = 0.5
_DARK: Final = 100.0
_SPOTS: Final = 12


@final
@dataclass(frozen=True)
class Look:
    """The style of a map over a photo; see :func:`xaionnx.render.overlay` for the fields.

    ``half_line`` is whether there is a line at half of the scale's end.
    """

    alpha: float = 0.85
    background: str = "grey"
    boundaries: bool | None = None
    top: int | float | None = None
    zoom: int | None = None
    half_line: bool = False

    def check(self, function: str) -> None:
        """Raise ParameterError if a field is invalid."""

        def refuse(name: str, domain: str) -> None:
            raise ParameterError(
                f"The '{name}' parameter of {function} must be {domain}. Got {getattr(self, name)!r} instead."
            )

        number = isinstance(self.alpha, int | float) and not isinstance(self.alpha, bool)
        if not number or not 0 < self.alpha <= 1:
            refuse("alpha", "a float in (0, 1]")
        if self.background not in ("grey", "photo"):
            refuse("background", "one of 'grey', 'photo'")
        if self.boundaries not in (None, True, False):
            refuse("boundaries", "True, False or None")
        if self.top is not None and not _is_count(self.top) and not self.is_share:
            refuse("top", "an int in [1, inf), a share of the picture in (0, 1), or None")
        if self.zoom is not None and not _is_count(self.zoom):
            refuse("zoom", "an int in [1, inf) or None")

    @property
    def is_share(self) -> bool:
        """Whether ``top`` is a share of the picture, rather than a number of features."""
        return isinstance(self.top, float) and 0 < self.top < 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def enlarged(photo: Pixels, zoom: int | None, least: int = SHOWN) -> Pixels:
    """The photo, enlarged by the integer factor ``zoom``.

    If ``zoom`` is None it is the smallest factor that makes the shorter side at least ``least`` pixels, as long as the
    longer side does not exceed 2000 pixels.
    """
    height, width = photo.shape[:2]
    factor = zoom or min(-(-least // min(height, width)), max(1, _LONGEST // max(height, width)))
    if factor == 1:
        return photo
    how = Image.Resampling.NEAREST if min(height, width) <= _PIXEL_ART else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(photo)).resize((width * factor, height * factor), how))


def spread(cells: Array, height: int, width: int) -> Array:
    """A map enlarged to (H, W) without interpolation, so that every pixel has a value of the method."""
    rows = np.arange(height) * cells.shape[0] // height
    columns = np.arange(width) * cells.shape[1] // width
    # Columns first, in the few rows of the map; whole rows are then copied at once. An index is six times slower.
    larger: Array = cells.take(columns, axis=1).take(rows, axis=0)
    return larger


def faded(photo: Pixels) -> npt.NDArray[np.float32]:
    """The photo in grey, (H, W, 1), without its darkest tones, on which colours would not be visible."""
    grey = _DARKEST + (photo.astype(np.float32) @ LUMA) * (1 - _DARKEST / 255)
    return grey[..., None].astype(np.float32)


def painted(photo: Pixels, pixel_map: PixelMap, scale: Scale, look: Look, function: str) -> Pixels:
    """The photo with the map drawn over it, (H, W, 3).

    Raises
    ------
    ParameterError
        Boundaries or top features are requested, but the method worked on single elements.
    """
    height, width = photo.shape[:2]
    strength = scale.strength(pixel_map.values)
    ground = faded(photo) if look.background == "grey" else photo.astype(np.float32)
    lines = _lines(pixel_map, height, width, look, function)
    if look.top is not None:
        is_top = (
            strongest_share(pixel_map, scale, look.top)
            if look.is_share
            else strongest(pixel_map, scale, int(look.top), function)
        )
        strength = np.where(is_top, strength, 0)
        inside = spread(is_top, height, width)
        grey = faded(photo)
        ground = np.where(inside[..., None], ground, grey + (255 - grey) * _FADE)
        if look.boundaries is None:
            lines = borders(inside, line_width(height, width))
    # Colours are computed at the size of the map, which may be much smaller than the photo.
    colours, opacity = heat(strength, scale.sign, look.alpha)
    mixed = over(ground, spread(colours, height, width), spread(opacity, height, width))
    if look.half_line:
        lines = half_lines(photo, pixel_map, scale)
    mixed = mixed if lines is None else _draw_lines(mixed, lines)
    return mixed if pixel_map.box is None else framed(mixed, pixel_map.box)


def framed(picture: Pixels, box: Sequence[float]) -> Pixels:
    """The picture with the frame of a box, given by x0, y0, x1, y1 as shares of its width and height.

    The frame is a white line between two black ones, which is visible on every ground.
    """
    height, width = picture.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(picture))
    corners = [round(share * side) for share, side in zip(box, (width, height, width, height), strict=True)]
    # A box may reach beyond the picture; its frame stays inside.
    x0, y0, x1, y1 = np.clip(corners, 0, [width - 1, height - 1, width - 1, height - 1]).tolist()
    thick = max(1, round(min(height, width) / 250))
    pen = ImageDraw.Draw(image)
    for inset, colour, line in ((0, "black", 3 * thick), (thick, "white", thick)):
        if x1 - x0 > 2 * inset and y1 - y0 > 2 * inset:
            pen.rectangle((x0 + inset, y0 + inset, x1 - inset, y1 - inset), outline=colour, width=line)
    return np.asarray(image)


def top_players(pixel_map: PixelMap, scale: Scale, top: int, function: str) -> Array:
    """The ``top`` players with the largest values, or the largest absolute values for a signed map.

    Raises
    ------
    ParameterError
        The map has no players.
    """
    if pixel_map.players is None or pixel_map.labels is None:
        raise ParameterError(
            f"The 'top' parameter of {function} needs a method that worked on features, one player per pixel. "
            "Explain with features='superpixels', or leave it out."
        )
    ranked = pixel_map.players if scale.sign == "positive" else np.abs(pixel_map.players)
    # NaN, the padding of samples with fewer players, is sorted last; ties keep their order.
    order = np.argsort(-np.nan_to_num(ranked, nan=-np.inf), kind="stable")
    return order[: min(top, int(np.isfinite(pixel_map.players).sum()))]


def strongest(pixel_map: PixelMap, scale: Scale, top: int, function: str) -> npt.NDArray[np.bool_]:
    """The mask of the ``top`` players.

    Raises
    ------
    ParameterError
        The map has no players.
    """
    return np.isin(np.asarray(pixel_map.labels), top_players(pixel_map, scale, top, function))


def strongest_share(pixel_map: PixelMap, scale: Scale, share: float) -> npt.NDArray[np.bool_]:
    """The mask of the share of pixels with the largest values, with all that equal the least of them, but not zero."""
    ranked = np.maximum(pixel_map.values, 0) if scale.sign == "positive" else np.abs(pixel_map.values)
    return np.asarray((ranked >= np.quantile(ranked, 1 - share)) & (ranked > 0))


def borders(labels: Array, thickness: int = 1) -> npt.NDArray[np.bool_]:
    """The mask of pixels before a change of label; thicker lines extend to both sides."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    if thickness > 1:
        from scipy import ndimage

        edge = ndimage.maximum_filter(edge, thickness)
    return edge


def contour(strength: Floats, level: float, photo: Pixels, smooth: bool) -> npt.NDArray[np.bool_]:
    """The mask of pixels of a photo where a map crosses a level in -1..1; ``smooth`` interpolates between its cells."""
    height, width = photo.shape[:2]
    if smooth:
        enlarged_map = Image.fromarray(strength.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        strength = np.asarray(enlarged_map, np.float64)
    else:
        strength = spread(strength, height, width)
    return borders(strength >= level if level > 0 else strength <= level, line_width(height, width))


def is_hidden(photo: Pixels, pixel_map: PixelMap, scale: Scale) -> bool:
    """Whether the strongest part of a map lies on a dark part of the photo, where its colours are hard to tell."""
    if pixel_map.labels is not None or scale.empty:
        return False
    from scipy import ndimage

    strong = np.abs(scale.strength(pixel_map.values)) >= _HALF
    # Lines around many spots would hide them.
    if not 1 <= ndimage.label(strong)[1] <= _SPOTS:
        return False
    return bool((photo[spread(strong, *photo.shape[:2])] @ LUMA).mean() < _DARK)


def half_lines(photo: Pixels, pixel_map: PixelMap, scale: Scale) -> npt.NDArray[np.bool_]:
    """The mask of the line at half of the scale's end, of either sign."""
    strength = scale.strength(pixel_map.values)
    return contour(strength, _HALF, photo, True) | contour(strength, -_HALF, photo, True)


def _lines(pixel_map: PixelMap, height: int, width: int, look: Look, function: str) -> npt.NDArray[np.bool_] | None:
    if look.boundaries is False:
        return None
    if pixel_map.labels is None:
        if look.boundaries:
            raise ParameterError(
                f"The 'boundaries' parameter of {function} needs a method that worked on features, one player per "
                "pixel. Explain with features='superpixels', or leave it out."
            )
        return None
    regions = len(np.unique(pixel_map.labels))
    if look.boundaries is None and (look.top is not None or pixel_map.labels.size < _REGION * regions):
        return None
    return borders(spread(pixel_map.labels, height, width), line_width(height, width))


def _draw_lines(picture: Pixels, lines: npt.NDArray[np.bool_]) -> Pixels:
    """The picture with lines, white in dark parts and dark in light parts."""
    from scipy import ndimage

    # The mean tone of the surroundings decides, so that a line keeps its colour along a rough texture.
    window = max(3, min(lines.shape) // 20)
    light = ndimage.uniform_filter(picture.astype(np.float32) @ LUMA, window, mode="nearest")[lines] > _LIGHT
    ink = np.where(light, 40.0, 255.0)[:, None]
    share = np.where(light, 0.55, 0.8)[:, None]
    drawn = picture.copy()
    drawn[lines] = np.rint(picture[lines] + share * (ink - picture[lines])).astype(np.uint8)
    return drawn


def line_width(height: int, width: int) -> int:
    """The width of lines on a photo in pixels."""
    return max(1, round(min(height, width) / 500))
