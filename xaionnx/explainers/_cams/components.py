"""The first principal component of the channels, as a map."""

from __future__ import annotations

import numpy as np

from xaionnx.typing import Array


def first_component(planes: Array, centred: bool) -> Array:
    """The projection (..., h, w) of each position on the first right singular vector of positions by channels.

    Parameters
    ----------
    planes : array (..., D, h, w)
    centred : bool
        Whether the mean of each channel over the positions is subtracted first.

    Returns
    -------
    array (..., h, w)
        The sign of a singular vector is arbitrary; it is chosen so that the map agrees with the sum over the channels.
    """
    rows = np.moveaxis(planes, -3, -1).reshape(*planes.shape[:-3], -1, planes.shape[-3])
    if centred:
        rows = rows - rows.mean(axis=-2, keepdims=True)
    vectors = np.linalg.svd(rows, full_matrices=False)[2]
    projections = (rows @ vectors[..., 0, :, None])[..., 0]
    sign = np.sign((projections * rows.sum(axis=-1)).sum(axis=-1, keepdims=True))
    component: Array = (projections * np.where(sign == 0, 1, sign)).reshape(*planes.shape[:-3], *planes.shape[-2:])
    return component
