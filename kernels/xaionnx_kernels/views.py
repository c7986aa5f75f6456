"""Views of planes: turned, scaled and moved crops by bilinear interpolation, and the transpose of taking one.

The pixel (i, j) of a view, counted from its middle, lies at ``affine @ (i, j, 1)``, from the middle of the plane.
"""

from __future__ import annotations

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
    planes: Floats, affine: npt.NDArray[np.float64], size: tuple[int, int], beyond: float | None = None
) -> Floats:
    """Return a view of each plane.

    Parameters
    ----------
    planes : (K, H, W) float32
    affine : (2, 3) float64
    size : (int, int)
        Rows h and columns w of the view.
    beyond : float, optional
        What lies beyond the border of a plane; its mirror image if None.

    Returns
    -------
    (K, h, w) float32

    Examples
    --------
    >>> beside = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    >>> crop_planes(np.float32([[[2, 4]]]), beside, (1, 2)).tolist()
    [[[3.0, 3.0]]]
    >>> crop_planes(np.float32([[[2, 4]]]), beside, (1, 2), beyond=0).tolist()
    [[[3.0, 2.0]]]
    """
    planes = np.ascontiguousarray(planes, np.float32)
    out = np.empty((len(planes), *size), np.float32)
    if compiled_pays(_WORK * out.size):
        from xaionnx_kernels import _view_loops  # loads Numba

        at = np.ascontiguousarray(affine, np.float64)
        flat = planes.reshape(len(planes), -1)
        _view_loops.crop(flat, at, planes.shape[1:], beyond is None, np.float32(beyond or 0), out)
        return out
    flat, crops = planes.reshape(len(planes), -1), out.reshape(len(out), -1)
    crops[:] = 0
    for places, weights, inside in _taps(affine, size, planes.shape[1:], beyond is None):
        read = flat[:, places]
        crops += weights * (read if beyond is None else np.where(inside, read, np.float32(beyond)))
    return out


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
        Whether what lies beyond the border of a plane is its mirror image.

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
    taps = list(_taps(affine, values.shape[1:], canvas, reflect))
    # Pixel by pixel, in the order of the compiled loop.
    places = np.stack([each for each, _, _ in taps], axis=1).reshape(-1)
    weights = np.stack([w if reflect else w * inside for _, w, inside in taps], axis=1)
    for plane, row in zip(out.reshape(len(out), -1), values.reshape(len(values), -1), strict=True):
        np.add.at(plane, places, (weights * row[:, None]).reshape(-1))
    return out


def _taps(
    affine: npt.NDArray[np.float64], size: tuple[int, ...], canvas: tuple[int, ...], reflect: bool
) -> Iterator[tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.bool_]]]:
    """For each of the four neighbours of each pixel (h w,): its place, its weight, and whether it is on the canvas."""
    rows, columns = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
    axes: list[list[tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.bool_]]]] = []
    for turn, length in zip(affine, canvas, strict=True):
        at = ((turn[0] * rows + turn[1] * columns) + (turn[2] + (length - 1) / 2)).reshape(-1)
        low = np.floor(at)
        first, share = low.astype(np.int64), (at - low).astype(np.float32)
        near = (first, np.float32(1) - share), (first + 1, share)
        axes.append([(_folded(p, length), w, (p >= 0) & (p < length)) for p, w in near])
    for (row, below, high), (column, beside, wide) in ((a, b) for a in axes[0] for b in axes[1]):
        yield row * math.prod(canvas[1:]) + column, below * beside, reflect | (high & wide)


def _folded(position: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Positions along an axis, reflected at its ends."""
    turn = max(2 * (length - 1), 1)
    inside = np.abs(position) % turn
    return np.minimum(inside, turn - inside) if length > 1 else np.zeros_like(position)
