"""The first principal component of the channels, as a map over the places."""

from __future__ import annotations

import numpy as np

from xaionnx.typing import Array


def projected(planes: Array, centred: bool) -> Array:
    """The places (..., h, w) on the first right singular vector of the matrix of places by channels.

    Parameters
    ----------
    planes : array (..., D, h, w)
    centred : bool
        Whether each channel's mean over the places is taken off first.

    Returns
    -------
    array (..., h, w)
        A singular vector has no sign; it gets the one with which the map agrees with the sum over the channels.
    """
    rows = np.moveaxis(planes, -3, -1).reshape(*planes.shape[:-3], -1, planes.shape[-3])
    if centred:
        rows = rows - rows.mean(axis=-2, keepdims=True)
    vectors = np.linalg.svd(rows, full_matrices=False)[2]
    lines = (rows @ vectors[..., 0, :, None])[..., 0]
    sign = np.sign((lines * rows.sum(axis=-1)).sum(axis=-1, keepdims=True))
    found: Array = (lines * np.where(sign == 0, 1, sign)).reshape(*planes.shape[:-3], *planes.shape[-2:])
    return found
