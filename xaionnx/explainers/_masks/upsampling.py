"""From a coarse mask to one over all positions, and the way back of its gradient."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, final

import numpy as np

from xaionnx.typing import Array

# Of the smooth maximum: weights are proportional to exp(20 z), as in equation 7 of Fong et al. 2019, whose T is 1/20.
_COLDNESS: Final = np.float32(20)
# How far the kernel of the smooth maximum reaches, in standard deviations; it is 0.25 there.
_REACH: Final = 4 / 3
# Where the smooth maximum is computed: its kernel is smooth over a cell.
_EACH: Final = 2


class Upsampling(ABC):
    """Makes masks (B, *extent) from coarse ones (B, *cells), both in float32."""

    cells: tuple[int, ...]
    extent: tuple[int, ...]

    @abstractmethod
    def up(self, coarse: Array) -> Array:
        """Return the masks over all positions, with values between the least and the largest of a coarse one."""

    @abstractmethod
    def back(self, coarse: Array, gradient: Array) -> Array:
        """Return the gradient with respect to the coarse masks, from that with respect to :meth:`up` of them."""


def centres(size: int, cells: int) -> Array:
    """Return where each of ``size`` positions lies on an axis of ``cells`` cells, whose centres are 0, 1, ...

    Examples
    --------
    >>> centres(4, 2)
    array([-0.25,  0.25,  0.75,  1.25])
    """
    return (np.arange(size) + 0.5) * cells / size - 0.5


@final
class Linear(Upsampling):
    """Linear interpolation between the centres of cells, then a Gaussian blur of ``sigma`` times each side.

    Examples
    --------
    >>> Linear((4,), (2,), 0.0).up(np.float32([[0, 1]]))
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """

    def __init__(self, extent: Sequence[int], cells: Sequence[int], sigma: float) -> None:
        self.extent, self.cells = tuple(extent), tuple(cells)
        self._matrices = [self._matrix(size, count, sigma) for size, count in zip(extent, cells, strict=True)]

    @staticmethod
    def _matrix(size: int, cells: int, sigma: float) -> Array:
        from scipy.ndimage import gaussian_filter1d

        hats = np.maximum(0, 1 - np.abs(np.clip(centres(size, cells), 0, cells - 1)[:, None] - np.arange(cells)))
        blurred = gaussian_filter1d(hats, sigma * size, axis=0, mode="nearest") if sigma else hats
        return np.asarray(blurred, dtype=np.float32)

    def up(self, coarse: Array) -> Array:
        for axis, matrix in enumerate(self._matrices, start=1):
            coarse = np.moveaxis(np.moveaxis(coarse, axis, -1) @ matrix.T, -1, axis)
        return coarse

    def back(self, coarse: Array, gradient: Array) -> Array:
        del coarse
        for axis, matrix in enumerate(self._matrices, start=1):
            gradient = np.moveaxis(np.moveaxis(gradient, axis, -1) @ matrix, -1, axis)
        return gradient


@final
class SmoothMaximum(Upsampling):
    """The smooth maximum over the cells i around a position u of ``z_i = k(u - i) coarse_i``::

        up(u) = sum_i z_i exp(20 z_i) / sum_i exp(20 z_i),     k(d) = exp(-2 max(0, |d / sigma| - 1/2)^2)

    Unlike an interpolation it lets a mask be 1 over a whole region and 0 around it, whatever the cells are. ``sigma``
    is a share of each side, and at least half a cell. It is computed at two positions a cell along each axis, and
    interpolated between them. Cells beyond the border repeat those at it: with none there, a mask of equal cells would
    be larger at the border, and masks whose values are compared would begin there.
    """

    def __init__(self, extent: Sequence[int], cells: Sequence[int], sigma: float) -> None:
        self.extent, self.cells = tuple(extent), tuple(cells)
        self._middle = tuple(min(size, _EACH * count) for size, count in zip(extent, cells, strict=True))
        self._finest = Linear(self.extent, self._middle, 0.0)
        rank = len(self.extent)
        squares, number = np.zeros(()), np.zeros((), np.int64)
        for axis, (size, count) in enumerate(zip(self._middle, self.cells, strict=True)):
            wide = max(sigma * count, 0.5)
            reach = math.ceil(_REACH * wide)
            at = centres(size, count)[:, None]
            near = np.rint(at).astype(np.int64) + np.arange(-reach, reach + 1)
            shape = [1] * (2 * rank)
            shape[axis], shape[rank + axis] = near.shape
            squares = squares + np.square((near - at) / wide).reshape(shape)
            number = number * count + np.clip(near, 0, count - 1).reshape(shape)
        weights = np.exp(-2 * np.square(np.maximum(0, np.sqrt(squares) - 0.5)))
        positions = math.prod(self._middle)
        self._weights = np.float32(weights).reshape(positions, -1)
        self._numbers = number.reshape(positions, -1)

    def _terms(self, coarse: Array) -> tuple[Array, Array, Array]:
        """The z (P, K) of one coarse mask, their weights in the mean, and the mean (P, 1)."""
        z = self._weights * coarse.reshape(-1)[self._numbers]
        shares = np.exp(_COLDNESS * z) * (self._weights > 0)
        shares /= shares.sum(axis=1, keepdims=True)
        return z, shares, (z * shares).sum(axis=1, keepdims=True)

    def up(self, coarse: Array) -> Array:
        return self._finest.up(np.stack([self._terms(one)[2].reshape(self._middle) for one in coarse]))

    def back(self, coarse: Array, gradient: Array) -> Array:
        found, gradient = np.empty_like(coarse), self._finest.back(coarse, gradient)
        numbers, count = self._numbers.reshape(-1), math.prod(self.cells)
        for one, slope, out in zip(coarse, gradient, found, strict=True):
            z, shares, mean = self._terms(one)
            each = shares * (1 + _COLDNESS * (z - mean)) * self._weights * slope.reshape(-1, 1)
            out[...] = np.bincount(numbers, each.reshape(-1), count).reshape(self.cells)
        return found
