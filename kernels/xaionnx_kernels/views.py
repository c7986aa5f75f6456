"""Views of planes: turned, scaled and moved crops by bilinear interpolation, and the transpose of taking one.

The pixel (i, j) of a view, counted from its middle, lies at ``affine @ (i, j, 1)``, from the middle of the plane.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xaionnx_kernels._tier import compiled_pays

__all__ = ["crop_planes", "crop_planes_back"]

Floats = npt.NDArray[np.float32]
# What a pixel costs in numpy, in elements that are written elsewhere: it lies between four, which are looked up.
_WORK = 12


def crop_planes(
    planes: Floats, affine: npt.NDArray[np.float64], size: tuple[int, int], *, reflect: bool = True
) -> Floats:
    """Return a view of each plane.

    Parameters
    ----------
    planes : (K, H, W) float32
    affine : (2, 3) float64
    size : (int, int)
        Rows h and columns w of the view.
    reflect : bool
        Whether what lies beyond the border of a plane is its mirror image; 0 if not.

    Returns
    -------
    (K, h, w) float32

    Examples
    --------
    >>> beside = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    >>> crop_planes(np.float32([[[2, 4]]]), beside, (1, 2)).tolist()
    [[[3.0, 3.0]]]
    >>> crop_planes(np.float32([[[2, 4]]]), beside, (1, 2), reflect=False).tolist()
    [[[3.0, 2.0]]]
    """
    planes = np.ascontiguousarray(planes, np.float32)
    canvas, flat = planes.shape[1:], planes.reshape(len(planes), -1)
    if compiled_pays(_WORK * len(planes) * math.prod(size)):
        from xaionnx_kernels import _view_loops  # loads Numba

        out = np.empty((len(planes), *size), np.float32)
        _view_loops.crop(flat, np.ascontiguousarray(affine, np.float64), canvas, reflect, out)
        return out
    shares = (weights * flat[:, places] for places, weights in _taps(affine, size, canvas, reflect))
    # Without a sum's 0 at the start, so that -0 stays -0.
    return functools.reduce(np.add, shares).reshape(len(planes), *size)


def crop_planes_back(
    values: Floats, affine: npt.NDArray[np.float64], canvas: tuple[int, int], *, reflect: bool = True
) -> Floats:
    """Return the transpose of :func:`crop_planes`: the gradient with respect to planes, of one with respect to views.

    Parameters
    ----------
    values : (K, h, w) float32
    affine : (2, 3) float64
    canvas : (int, int)
        Rows H and columns W of the planes.
    reflect : bool
        Whether what lies beyond the border of a plane is its mirror image; 0 if not.

    Returns
    -------
    (K, H, W) float32

    Examples
    --------
    >>> beside = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    >>> crop_planes_back(np.float32([[[1, 3]]]), beside, (1, 2)).tolist()
    [[[2.0, 2.0]]]
    >>> crop_planes_back(np.float32([[[1, 3]]]), beside, (1, 2), reflect=False).tolist()
    [[[0.5, 2.0]]]
    """
    values = np.ascontiguousarray(values, np.float32)
    out = np.zeros((len(values), *canvas), np.float32)
    if compiled_pays(_WORK * values.size):
        from xaionnx_kernels import _view_loops  # loads Numba

        at = np.ascontiguousarray(affine, np.float64)
        _view_loops.crop_back(values, at, canvas, reflect, out.reshape(len(out), -1))
        return out
    # Pixel by pixel, in the order of the compiled loop.
    taps = list(_taps(affine, values.shape[1:], canvas, reflect))
    places = np.stack([place for place, _ in taps], axis=1).reshape(-1)
    weights = np.stack([weight for _, weight in taps], axis=1)
    for plane, row in zip(out.reshape(len(out), -1), values.reshape(len(values), -1), strict=True):
        np.add.at(plane, places, (weights * row[:, None]).reshape(-1))
    return out


def _taps(
    affine: npt.NDArray[np.float64], size: tuple[int, ...], canvas: tuple[int, ...], reflect: bool
) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """For each of the four neighbours of each pixel (h w,): its place, and its weight."""
    rows, columns = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
    axes = []
    for turn, length in zip(affine, canvas, strict=True):
        at = (turn[0] * rows + turn[1] * columns) + (turn[2] + (length - 1) / 2)
        axes.append(_cells(at.reshape(-1), length, reflect))
    for row, high in axes[0]:
        for column, wide in axes[1]:
            yield row * canvas[1] + column, high * wide


def _cells(
    at: npt.NDArray[np.float64], length: int, reflect: bool
) -> tuple[tuple[npt.NDArray[np.int64], Floats], tuple[npt.NDArray[np.int64], Floats]]:
    """Two neighbours on the canvas of positions along an axis, each with its weights."""
    end = length - 1.0
    if reflect:
        turn = max(2 * end, 1.0)
        at = np.abs(at)
        at = at - turn * np.floor(at * (1 / turn))
        at = np.minimum(np.minimum(at, turn - at), end)
    at = np.clip(at, -1.0, length)
    first = np.clip(np.floor(at), 0.0, max(end - 1, 0.0))
    share, one = (at - first).astype(np.float32), np.float32(1)
    place = first.astype(np.int64)
    near, far = np.maximum(one - np.abs(share), 0), np.maximum(one - np.abs(share - one), 0)
    return (place, near), ((place + 1, far) if length > 1 else (place, np.zeros_like(far)))
