"""Compiled loops of ``views``; see ``_loops``."""

from __future__ import annotations

import numpy as np

from xaionnx_kernels._loops import _compile


@_compile
def _cell(at, length, reflect):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """Return the first of two neighbours on the canvas of a position along an axis, and the weights of both."""
    one, end = np.float32(1), length - 1.0
    if reflect:
        turn = max(2 * end, 1.0)
        at = abs(at)
        at = at - turn * np.floor(at * (1 / turn))
        at = min(at, turn - at, end)
    at = min(max(at, -1.0), length * 1.0)
    first = min(max(np.floor(at), 0.0), max(end - 1, 0.0))
    share, zero = np.float32(at - first), np.float32(0)
    second = max(one - abs(share - one), zero) if length > 1 else zero
    return np.uint32(first), max(one - abs(share), zero), second


@_compile
def _row(affine, canvas, reflect, row, places, weights):  # type: ignore[no-untyped-def]  # as for _cell
    """Write the first of the four neighbours of each pixel of a row of a view, (w,), and their weights, (4, w)."""
    height, width = canvas
    half = (places.shape[0] - 1) / 2
    down, right = affine[0, 2] + (height - 1) / 2, affine[1, 2] + (width - 1) / 2
    for j in range(places.shape[0]):
        y, above, below = _cell((affine[0, 0] * row + affine[0, 1] * (j - half)) + down, height, reflect)
        x, before, beside = _cell((affine[1, 0] * row + affine[1, 1] * (j - half)) + right, width, reflect)
        places[j] = y * np.uint32(width) + x
        weights[0, j], weights[1, j] = above * before, above * beside
        weights[2, j], weights[3, j] = below * before, below * beside


@_compile
def _steps(canvas):  # type: ignore[no-untyped-def]  # as for _cell
    """Return how far the neighbours to the right and below lie in a flat plane; a side of 1 has none."""
    height, width = canvas
    return np.uint32(width > 1), np.uint32(width * (height > 1))


@_compile
def crop(planes, affine, canvas, reflect, out):  # type: ignore[no-untyped-def]  # as for _cell
    """planes (K, H W), affine (2, 3), out (K, h, w)."""
    size = out.shape[2]
    right, down = _steps(canvas)
    places, weights = np.empty(size, np.uint32), np.empty((4, size), np.float32)
    for i in range(out.shape[1]):
        _row(affine, canvas, reflect, i - (out.shape[1] - 1) / 2, places, weights)
        for k in range(out.shape[0]):
            for j in range(size):
                p = places[j]
                upper = weights[0, j] * planes[k, p] + weights[1, j] * planes[k, p + right]
                lower = upper + weights[2, j] * planes[k, p + down]
                out[k, i, j] = lower + weights[3, j] * planes[k, p + down + right]


@_compile
def crop_back(values, affine, canvas, reflect, out):  # type: ignore[no-untyped-def]  # as for _cell
    """values (K, h, w), affine (2, 3), out (K, H W) of zeros."""
    size = values.shape[2]
    right, down = _steps(canvas)
    places, weights = np.empty(size, np.uint32), np.empty((4, size), np.float32)
    for i in range(values.shape[1]):
        _row(affine, canvas, reflect, i - (values.shape[1] - 1) / 2, places, weights)
        for k in range(values.shape[0]):
            for j in range(size):
                p, value = places[j], values[k, i, j]
                out[k, p] += weights[0, j] * value
                out[k, p + right] += weights[1, j] * value
                out[k, p + down] += weights[2, j] * value
                out[k, p + down + right] += weights[3, j] * value
