"""From a small map over a picture to one number a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]


def enlarged(small: Array, extent: tuple[int, int]) -> Array:
    """Maps (..., h, w) at the size (..., H, W) of a picture, bilinearly, each cell's value at its middle.

    Examples
    --------
    >>> enlarged(np.array([[0.0, 4.0]]), (1, 4))
    array([[0., 1., 3., 4.]])
    """
    height, width = extent
    flat = small.reshape(-1, *small.shape[-2:]).astype(np.float32)
    large = [Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR) for one in flat]
    return np.stack([np.asarray(one, dtype=np.float64) for one in large]).reshape(*small.shape[:-2], height, width)


def over_channels(large: Array, sample: Sample) -> Array:
    """Maps (..., H, W) in the shape (..., C, H, W) or (..., H, W, C) of a picture: each channel has the same."""
    axes = sample.picture_axes
    assert axes is not None  # a map over a picture
    lead = large.shape[:-2]
    placed = np.expand_dims(large, len(lead) + axes[0])
    return np.broadcast_to(placed, (*lead, *sample.array.shape))
