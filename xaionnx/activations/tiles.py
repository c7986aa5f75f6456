"""Numbers as the pixels of tiles, and tiles beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xaionnx.data.spec import InputSpec
from xaionnx.typing import Array


def gray(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Return values (h, w) as a gray picture: black is ``low`` and less, white is ``high`` and more.

    Examples
    --------
    >>> import numpy as np
    >>> gray(np.array([[0.0, 1.0]]), 0, 1)[..., 0]
    array([[  0, 255]], dtype=uint8)
    """
    share = (np.asarray(values, dtype=np.float64) - low) / (high - low) if high > low else np.zeros(values.shape)
    return np.repeat(np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def signed(values: Array, largest: float) -> NDArray[np.uint8]:
    """Return values (h, w, 3) or (h, w, 1) as a picture: 0 is middle gray, and ``largest`` is the end of the range."""
    half = np.asarray(values, dtype=np.float64) / (2 * largest) if largest > 0 else np.zeros(values.shape)
    pixels = np.rint(255 * np.clip(0.5 + half, 0, 1)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def colours_last(values: Array, spec: InputSpec) -> Array:
    """Return values (N, ...) in the shape of a model's pictures as (N, H, W, C), with red first."""
    last = np.moveaxis(values, spec.channel_axis, -1)
    return last[..., ::-1] if spec.color == "BGR" else last


def block(pictures: Sequence[NDArray[np.uint8]], side: int, gap: int = 1) -> NDArray[np.uint8]:
    """Return pictures of one size in a square of rows, with white lines between them.

    Small ones are enlarged by a whole factor to at least ``side``.
    """
    columns, factor = math.ceil(math.sqrt(len(pictures))), max(1, -(-side // min(pictures[0].shape[:2])))
    pictures = [one.repeat(factor, axis=0).repeat(factor, axis=1) for one in pictures]
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    size = (rows * (height + gap) - gap, min(columns, len(pictures)) * (width + gap) - gap, 3)
    page = np.full(size, 255, dtype=np.uint8)
    for n, picture in enumerate(pictures):
        top, left = (n // columns) * (height + gap), (n % columns) * (width + gap)
        page[top : top + height, left : left + width] = picture
    return page
