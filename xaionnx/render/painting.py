"""A map painted over its photograph: enlarging, heat, greyed background, boundaries, the top features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.render.colours import LUMA, Scale, heat, over
from xaionnx.render.maps import PixelMap

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

# The shorter side of a photo as it is shown, in pixels, at the least.
SHOWN: Final = 400
# Up to this side a picture is made of pixels that one wants to see; above it, of shapes.
_PIXEL_ART: Final = 64
# Players are drawn with boundaries on their own only if they are this large on the average, in pixels.
_REGION: Final = 24
# How far the rest of the photo goes to white when the top features are shown, and the grey that black becomes.
_VEIL: Final = 0.4
_DARKEST: Final = 64.0


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

    ``zoom`` None is the least whole factor that makes the shorter side ``least`` pixels long.
    """
    height, width = photo.shape[:2]
    factor = -(-least // min(height, width)) if zoom is None else zoom
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
    strength = spread(scale.strength(found.values), height, width)
    labels = None if found.labels is None else spread(found.labels, height, width)
    ground = photo.astype(np.float32)
    if look.background == "grey":
        ground = faded(photo)
    lines = _lines(found, labels, look, function)
    if look.top is not None:
        assert labels is not None  # top_players refuses a map without labels
        inside = np.isin(labels, top_players(found, scale, look.top, function))
        # The chosen parts keep the photo's colours; the rest is grey and veiled.
        grey = faded(photo)
        ground = np.where(inside[..., None], photo.astype(np.float32), grey + (255 - grey) * _VEIL)
        strength = np.where(inside, strength, 0)
        if lines is None and look.boundaries is None:
            lines = borders(inside.astype(np.int8), _thickness(height, width))
    colours, opacity = heat(strength, scale.sign, look.alpha)
    mixed = over(ground, colours, opacity)
    if lines is not None:
        mixed = over(mixed.astype(np.float32), np.full_like(ground, 255), np.where(lines, 0.8, 0).astype(np.float32))
    return mixed


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


def borders(labels: Array, thickness: int = 1) -> npt.NDArray[np.bool_]:
    """Where two labels meet: the pixel before the border; thicker lines grow to both sides of it."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    if thickness > 1:
        from scipy import ndimage

        edge = ndimage.maximum_filter(edge, thickness)
    return edge


def _lines(found: PixelMap, labels: Array | None, look: Look, function: str) -> npt.NDArray[np.bool_] | None:
    if look.boundaries is False:
        return None
    if found.labels is None or labels is None:
        if look.boundaries:
            raise ParameterError(
                f"The 'boundaries' parameter of {function} needs a method that worked on features, one player a pixel. "
                "Explain with features='superpixels', or leave it out."
            )
        return None
    regions = len(np.unique(found.labels))
    if look.boundaries is None and (look.top is not None or found.labels.size < _REGION * regions):
        return None
    return borders(labels, _thickness(*labels.shape))


def _thickness(height: int, width: int) -> int:
    return max(1, round(min(height, width) / 500))
