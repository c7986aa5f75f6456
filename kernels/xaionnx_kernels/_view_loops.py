"""Compiled loops of ``views``; see ``_loops``."""

from __future__ import annotations

import numpy as np

from xaionnx_kernels._loops import _compile


@_compile
def _folded(position, length):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """Return a position along an axis, reflected at its ends."""
    if 0 <= position < length:
        return position
    if length == 1:
        return 0
    turn = 2 * (length - 1)
    inside = abs(position) % turn
    return min(inside, turn - inside)


@_compile
def _row(affine, canvas, row, first, places, weights, inside):  # type: ignore[no-untyped-def]  # as for _folded
    """Write the four neighbours of each pixel of a row of a view, and return whether all are on the canvas.

    first (2, w) int64 is scratch; places (4, w) uint32, weights (4, w), inside (4, w).
    """
    height, width = canvas
    one = np.float32(1)
    half = (places.shape[1] - 1) / 2
    down, right = affine[0, 2] + (height - 1) / 2, affine[1, 2] + (width - 1) / 2
    whole = True
    for j in range(places.shape[1]):
        y = (affine[0, 0] * row + affine[0, 1] * (j - half)) + down
        x = (affine[1, 0] * row + affine[1, 1] * (j - half)) + right
        low, left = np.floor(y), np.floor(x)
        below, beside = np.float32(y - low), np.float32(x - left)
        first[0, j], first[1, j] = np.int64(low), np.int64(left)
        weights[0, j], weights[1, j] = (one - below) * (one - beside), (one - below) * beside
        weights[2, j], weights[3, j] = below * (one - beside), below * beside
        whole &= (low >= 0) & (low + 1 < height) & (left >= 0) & (left + 1 < width)
    if whole:
        for j in range(places.shape[1]):
            place = np.uint32(first[0, j] * width + first[1, j])
            places[0, j], places[1, j] = place, place + np.uint32(1)
            places[2, j], places[3, j] = place + np.uint32(width), place + np.uint32(width + 1)
        return True
    for t in range(4):
        for j in range(places.shape[1]):
            y, x = first[0, j] + t // 2, first[1, j] + t % 2
            places[t, j] = _folded(y, height) * width + _folded(x, width)
            inside[t, j] = 0 <= y < height and 0 <= x < width
    return False


@_compile
def crop(planes, affine, canvas, reflect, beyond, out):  # type: ignore[no-untyped-def]  # as for _folded
    """planes (K, H W), affine (2, 3), out (K, h, w)."""
    size = out.shape[2]
    first, places = np.empty((2, size), np.int64), np.empty((4, size), np.uint32)
    weights, inside = np.empty((4, size), np.float32), np.empty((4, size), np.bool_)
    for i in range(out.shape[1]):
        whole = _row(affine, canvas, i - (out.shape[1] - 1) / 2, first, places, weights, inside)
        for k in range(out.shape[0]):
            if whole or reflect:
                for j in range(size):
                    upper = weights[0, j] * planes[k, places[0, j]] + weights[1, j] * planes[k, places[1, j]]
                    lower = upper + weights[2, j] * planes[k, places[2, j]]
                    out[k, i, j] = lower + weights[3, j] * planes[k, places[3, j]]
            else:
                for j in range(size):
                    total = np.float32(0)
                    for t in range(4):
                        total += weights[t, j] * (planes[k, places[t, j]] if inside[t, j] else beyond)
                    out[k, i, j] = total


@_compile
def crop_back(values, affine, canvas, reflect, out):  # type: ignore[no-untyped-def]  # as for _folded
    """values (K, h, w), affine (2, 3), out (K, H W) of zeros."""
    size = values.shape[2]
    first, places = np.empty((2, size), np.int64), np.empty((4, size), np.uint32)
    weights, inside = np.empty((4, size), np.float32), np.empty((4, size), np.bool_)
    for i in range(values.shape[1]):
        whole = _row(affine, canvas, i - (values.shape[1] - 1) / 2, first, places, weights, inside)
        if not (whole or reflect):
            for t in range(4):
                for j in range(size):
                    if not inside[t, j]:
                        weights[t, j] = 0
        for k in range(values.shape[0]):
            for j in range(size):
                value = values[k, i, j]
                for t in range(4):
                    out[k, places[t, j]] += weights[t, j] * value
