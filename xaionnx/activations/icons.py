"""Icons: small searched pictures of what a direction in a layer stands for, and places of a picture made bright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xaionnx.errors import ZeroGradientError
from xaionnx.optimization import Search
from xaionnx.optimization.objectives.direction import Direction
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


def icon(model: Model, layer: str, direction: Array, search: Search) -> NDArray[np.uint8] | None:
    """Return the picture (h, w, 3) for which a layer points most in a direction (C,), None if none leads there."""
    try:
        found = search.run(model, Direction(layer=layer, weights=direction))
    except ZeroGradientError:
        return None
    return np.asarray(found.pictures[0])


def lit(picture: NDArray[np.uint8], place: Array) -> NDArray[np.uint8]:
    """Return a picture, darkened where a map (h, w) over it is small."""
    largest = float(place.max())
    share = np.asarray(place / largest if largest > 0 else place, dtype=np.float32)
    size = (picture.shape[1], picture.shape[0])
    wide = np.asarray(Image.fromarray(np.clip(share, 0, 1)).resize(size, Image.Resampling.BILINEAR))
    return np.rint(picture * (0.2 + 0.8 * wide[..., None])).astype(np.uint8)


def reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture whose longer side is ``side``; small ones are enlarged."""
    image, factor = Image.fromarray(picture), side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    how = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST
    return np.asarray(image.resize(size, how))
