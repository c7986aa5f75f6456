"""From a small map to the picture that it lies over."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]


def over_picture(small: Array, sample: Sample) -> Array:
    """Maps (..., h, w) in the shape of a picture, (..., C, H, W) or (..., H, W, C).

    They are enlarged bilinearly, each place a square about its centre, and given to every channel.

    Examples
    --------
    >>> sample = Sample({"x": np.zeros((3, 2, 4))}, "x")
    >>> over_picture(np.array([[0.0, 4.0]]), sample)[2]
    array([[0., 1., 3., 4.],
           [0., 1., 3., 4.]])
    """
    height, width = sample.spatial("A map")
    flat = small.reshape(-1, *small.shape[-2:]).astype(np.float32)
    large = [Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR) for one in flat]
    lead = small.shape[:-2]
    stacked = np.stack([np.asarray(one, dtype=np.float64) for one in large]).reshape(*lead, height, width)
    axes = sample.picture_axes
    assert axes is not None  # it has height and width
    return np.broadcast_to(np.expand_dims(stacked, len(lead) + axes[0]), (*lead, *sample.array.shape))
