"""A map painted over its photograph: enlarging, heat, greyed background, boundaries, the top features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.render.colours import LUMA, Scale, heat, over
from xaionnx.render.maps import PixelMap
from xaionnx.typing import Array

Pixels = npt.NDArray[np.uint8]

# The shorter side of a photo as it is shown, in pixels, at the least.
SHOWN: Final = 400
# A long and narrow picture is enlarged no further than to this.
_LONGEST: Final = 2000
# Up to this side a picture is made of pixels that one wants to see; above it, of shapes.
_PIXEL_ART: Final = 64
# Players are drawn with boundaries on their own only if they are this large on the average, in pixels.
_REGION: Final = 24
# How far the rest of the photo goes to white when the top features are shown, and the grey that black becomes.
_VEIL: Final = 0.4
_DARKEST: Final = 64.0
# The tone from which a white line would be lost.
_LIGHT: Final = 185.0


@final
@dataclass(frozen=True)
class Look:
    """How a map lies over the photo; see :func:`xaionnx.render.overlay` for the fields."""

    alpha: float = 0.85
    background: str = "grey"
    boundaries: bool | None = None
    top: int | None = None
    zoom: int | None = None

    def check(self, function: str) -> None:
        """Raise ParameterError unless every field lies in its domain."""

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
        for name in ("top", "zoom"):
            given = getattr(self, name)
            whole = isinstance(given, int) and not isinstance(given, bool)
            if given is not None and (not whole or given < 1):
                refuse(name, "an int in [1, inf) or None")


def enlarged(photo: Pixels, zoom: int | None, least: int = SHOWN) -> Pixels:
    """The photo as it is shown: its own pixels, or each of them ``zoom`` times as large.

    ``zoom`` None is the least whole factor that makes the shorter side ``least`` pixels long, or less where the longer
    side would exceed 2000 pixels.
    """
    height, width = photo.shape[:2]
    factor = zoom or min(-(-least // min(height, width)), max(1, _LONGEST // max(height, width)))
    if factor == 1:
        return photo
    how = Image.Resampling.NEAREST if min(height, width) <= _PIXEL_ART else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(photo)).resize((width * factor, height * factor), how))


def spread(cells: Array, height: int, width: int) -> Array:
    """A map enlarged to H, W without interpolation: every pixel keeps a value that the method gave."""
    rows = np.arange(height) * cells.shape[0] // height
    columns = np.arange(width) * cells.shape[1] // width
    larger: Array = cells[rows[:, None], columns]
    return larger


def faded(photo: Pixels) -> npt.NDArray[np.float32]:
    """The photo in grey without its darkest tones, in which no colour would show."""
    grey = _DARKEST + (photo.astype(np.float32) @ LUMA) * (1 - _DARKEST / 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def painted(photo: Pixels, found: PixelMap, scale: Scale, look: Look, function: str) -> Pixels:
    """Lay the map over the photo as it is shown, (H, W, 3).

    Raises
    ------
    ParameterError
        Boundaries or top features are asked for where the method worked on single elements.
    """
    height, width = photo.shape[:2]
    strength = scale.strength(found.values)
    ground = faded(photo) if look.background == "grey" else photo.astype(np.float32)
    lines = _lines(found, height, width, look, function)
    if look.top is not None:
        chosen = strongest(found, scale, look.top, function)
        strength = np.where(chosen, strength, 0)
        inside = spread(chosen, height, width)
        grey = faded(photo)
        ground = np.where(inside[..., None], ground, grey + (255 - grey) * _VEIL)
        if look.boundaries is None:
            lines = borders(inside, _thickness(height, width))
    # Coloured at the map's own size, which may be much smaller than the photo's.
    colours, opacity = heat(strength, scale.sign, look.alpha)
    mixed = over(ground, spread(colours, height, width), spread(opacity, height, width))
    return mixed if lines is None else _lined(mixed, lines)


def top_players(found: PixelMap, scale: Scale, top: int, function: str) -> Array:
    """Numbers of the ``top`` players: the largest values, of a signed map the largest sizes.

    Raises
    ------
    ParameterError
        The map has no players.
    """
    if found.players is None or found.labels is None:
        raise ParameterError(
            f"The 'top' parameter of {function} needs a method that worked on features, one player a pixel. "
            "Explain with features='superpixels', or leave it out."
        )
    ranked = found.players if scale.sign == "positive" else np.abs(found.players)
    # Padding of samples with fewer players is NaN and comes last; the first of equals comes first.
    order = np.argsort(-np.nan_to_num(ranked, nan=-np.inf), kind="stable")
    return order[: min(top, int(np.isfinite(found.players).sum()))]


def strongest(found: PixelMap, scale: Scale, top: int, function: str) -> npt.NDArray[np.bool_]:
    """Where the ``top`` players are.

    Raises
    ------
    ParameterError
        The map has no players.
    """
    return np.isin(np.asarray(found.labels), top_players(found, scale, top, function))


def borders(labels: Array, thickness: int = 1) -> npt.NDArray[np.bool_]:
    """Where two labels meet: the pixel before the border; thicker lines grow to both sides of it."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    if thickness > 1:
        from scipy import ndimage

        edge = ndimage.maximum_filter(edge, thickness)
    return edge


def _lines(found: PixelMap, height: int, width: int, look: Look, function: str) -> npt.NDArray[np.bool_] | None:
    if look.boundaries is False:
        return None
    if found.labels is None:
        if look.boundaries:
            raise ParameterError(
                f"The 'boundaries' parameter of {function} needs a method that worked on features, one player a pixel. "
                "Explain with features='superpixels', or leave it out."
            )
        return None
    regions = len(np.unique(found.labels))
    if look.boundaries is None and (look.top is not None or found.labels.size < _REGION * regions):
        return None
    return borders(spread(found.labels, height, width), _thickness(height, width))


def _lined(picture: Pixels, lines: npt.NDArray[np.bool_]) -> Pixels:
    """The picture with lines, white in its dark parts and dark in its light ones."""
    from scipy import ndimage

    # The tone around decides, not the pixel's own, so that a line keeps its colour along a rough texture.
    around = max(3, min(lines.shape) // 20)
    light = ndimage.uniform_filter(picture.astype(np.float32) @ LUMA, around, mode="nearest")[lines] > _LIGHT
    ink = np.where(light, 40.0, 255.0)[:, None]
    share = np.where(light, 0.55, 0.8)[:, None]
    drawn = picture.copy()
    drawn[lines] = np.rint(picture[lines] + share * (ink - picture[lines])).astype(np.uint8)
    return drawn


def _thickness(height: int, width: int) -> int:
    return max(1, round(min(height, width) / 500))
