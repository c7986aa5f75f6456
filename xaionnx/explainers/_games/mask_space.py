"""Sums over the smooth masks of RISE, computed over the cells of the masks instead of the pixels.

Mask i is ``M_i = Ay[t_i : t_i + H] C_i Ax[l_i : l_i + W]^T``. A sum over thousands of masks therefore needs one matrix
of cells per shift (t, l), together as large as the picture, and is expanded to pixels once at the end. The same holds
for the sum of squares: the square of a bilinear mask is bilinear in products of neighbouring cells. Volumes have three
axes in place of two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from xaionnx_kernels import masks

from xaionnx.typing import Array

# Cells held at once, whatever the number of masks.
_CELLS = 2**14
# From this many targets on, computing the moments over the pixels is faster; measured for 1,000 masks of 224 x 224
# pixels.
_MANY_TARGETS = 24
# Masks and pixels of masks held at once in that case.
_MASKS = 1024
_PIXELS = 2**22
# Strength of the ridge, in masks per feature: each adds the variance of a feature and an output of zero. On photographs
# and digits, 0.25 to 1 give nearly the same noise from 100 to 4,000 masks; no ridge or a fixed share give more.
_RIDGE = 0.5
# Largest number of blocks of the regression along an axis, by the number of axes longer than 1; the cost grows with the
# square of their product.
_BLOCKS = {0: 256, 1: 256, 2: 16, 3: 6}
_PICTURE = 2


@final
@dataclass(frozen=True, eq=False)
class MaskSpace:
    """The masks of one seed.

    Attributes
    ----------
    draw : callable
        Returns cells (m, *grid) and shifts (m, D) of the masks ``start`` to ``stop``.
    grid, cell, extent : tuple of D ints
        Numbers of cells, of pixels per cell, and of pixels, along each axis: depth if there is one, height and width.
    keep : float
        The mean of a mask, at every pixel.
    """

    draw: Callable[[int, int], tuple[Array, Array]]
    grid: tuple[int, ...]
    cell: tuple[int, ...]
    extent: tuple[int, ...]
    keep: float

    @property
    def is_fine(self) -> bool:
        """Whether every cell is one pixel, so that masks are the cells themselves."""
        return max(self.cell) == 1

    def moments(self, weights: Array, squares: Array, middle: float) -> Iterator[tuple[slice, Array, Array]]:
        """Yield the sums of w_i M_i and of v_i (M_i - middle)^2, for w and v of (M, T), in parts of the picture.

        A part is a slice of the first axis, and the two sums there, (T, ...). They are computed over cells, at a cost
        that grows with the targets, or over pixels, at a cost that grows with the masks. The results are the same.
        """
        if weights.shape[1] < _MANY_TARGETS or self.is_fine or len(self.extent) != _PICTURE:
            around = self.square_sums(squares) - 2 * middle * self.sums(squares)
            around += middle**2 * np.expand_dims(squares.sum(axis=0), tuple(range(1, around.ndim)))
            yield slice(None), self.sums(weights), around
        else:
            yield from self._moments_by_pixels(weights, squares, middle)

    def sums(self, weights: Array) -> Array:
        """The sum of w_i M_i over the masks 0 to M, (T, *extent), for weights (M, T)."""
        return self._weighted_sum(weights, lambda cells: cells, [self._side(axis) for axis in range(len(self.grid))])

    def square_sums(self, weights: Array) -> Array:
        """The sum of w_i M_i^2, element by element, (T, *extent)."""
        sides = [self._products(self._side(axis)) for axis in range(len(self.grid))]
        total: Array | float = 0.0
        # Along each axis, a cell is multiplied by itself or by its neighbour.
        for neighbours in itertools.product((False, True), repeat=len(self.grid)):
            if any(near and count == 1 for near, count in zip(neighbours, self.grid, strict=True)):
                continue
            matrices = [side[near] for side, near in zip(sides, neighbours, strict=True)]
            part = self._weighted_sum(weights, partial(_neighbour_products, neighbours), matrices)
            # Each pair of neighbours occurs twice in a square.
            total = total + (2 * part if any(neighbours) else part)
        return np.asarray(total)

    def variance(self) -> Array:
        """The variance of a mask at each pixel, over cells and shifts, (*extent)."""
        sides = [
            np.convolve(np.square(self._side(axis)).sum(axis=1), np.full(cell, 1 / cell), "valid")[: self.extent[axis]]
            for axis, cell in enumerate(self.cell)
        ]
        return np.asarray(self.keep * (1 - self.keep) * reduce(np.multiply.outer, sides))

    def regress(self, outputs: Array) -> tuple[Array, Array, Array]:
        """A linear model of the outputs, fitted to the masks, and its residuals.

        The features z are the means of a mask over blocks of half a cell. A small ridge stabilises fits to few masks.

        Parameters
        ----------
        outputs : array (M, T)

        Returns
        -------
        covariance : array (T, *extent)
            Of the masks with the linear model, over all cells and shifts: exact, not sampled.
        residuals : array (M, T)
        leave_one_out : array (M, T)
            The residual of each mask under the linear model fitted without it.
        """
        count = len(outputs)
        offset = outputs.mean(axis=0)
        blocks = [self._block_means(axis) for axis in range(len(self.grid))]
        counts = [means.shape[1] for means in blocks]
        size = math.prod(counts)
        gram, mean, moment = np.zeros((size, size)), np.zeros(size), np.zeros((size, outputs.shape[1]))
        for piece, z in self._features(count, blocks):
            gram += z.T @ z
            mean += z.sum(axis=0) / count
            moment += z.T @ (outputs[piece] - offset)
        gram -= count * np.outer(mean, mean)
        inverse = np.linalg.inv(gram + _RIDGE * np.trace(gram) / count * np.eye(size))
        coefficients = inverse @ moment
        residuals, leave_one_out = np.empty_like(outputs), np.empty_like(outputs)
        for piece, z in self._features(count, blocks):
            z -= mean
            residuals[piece] = outputs[piece] - offset - z @ coefficients
            leverage = 1 / count + ((z @ inverse) * z).sum(axis=1)
            leave_one_out[piece] = residuals[piece] / (1 - leverage)[:, None]
        along = [self._covariances(axis, means) for axis, means in enumerate(blocks)]
        covariance = self.keep * (1 - self.keep) * _along_axes(coefficients.T.reshape(-1, *counts), along)
        return covariance, residuals, leave_one_out

    def _side(self, axis: int) -> Array:
        """Interpolation weights (size + cell, s) of all rows that shifts reach; the identity for 1-pixel cells."""
        if self.is_fine:
            return np.eye(self.grid[axis])
        return masks.bilinear_matrix(self.grid[axis], self.cell[axis]).astype(np.float64)

    @staticmethod
    def _products(side: Array) -> tuple[Array, Array]:
        return side * side, side[:, 1:] * side[:, :-1]

    def _pieces(self, count: int) -> Iterator[tuple[slice, Array, Array]]:
        size = max(1, _CELLS // math.prod(self.grid))
        for start in range(0, count, size):
            stop = min(count, start + size)
            cells, shifts = self.draw(start, stop)
            yield slice(start, stop), cells.astype(np.float64), shifts

    def _weighted_sum(self, weights: Array, products: Callable[[Array], Array], sides: Sequence[Array]) -> Array:
        from scipy.sparse import csr_array

        counts = [side.shape[1] for side in sides]
        total = np.zeros((math.prod(self.cell) * math.prod(counts), weights.shape[1]))
        for piece, cells, shifts in self._pieces(len(weights)):
            values = products(cells).reshape(len(cells), -1)
            # The number of each cell among those of all shifts: shift and cell of the first axis, of the second, ...
            indices = np.zeros((len(cells), 1), dtype=np.int64)
            for axis, count in enumerate(counts):
                here = indices * self.cell[axis] + shifts[:, axis, None].astype(np.int64)
                indices = (here[:, :, None] * count + np.arange(count)).reshape(len(cells), -1)
            ends = np.arange(len(cells) + 1) * values.shape[1]
            scattered = csr_array((values.reshape(-1), indices.reshape(-1), ends), shape=(len(cells), len(total)))
            total += scattered.T @ weights[piece]
        shapes = [size for pair in zip(self.cell, counts, strict=True) for size in pair]
        expanded = total.T.reshape(-1, *shapes)
        # The last axis first; lengths of finished axes stay at the end.
        for axis in reversed(range(len(sides))):
            place, rank = 1 + 2 * axis, expanded.ndim
            order = [*range(place), *range(place + 2, rank), place, place + 1]
            cells = expanded.transpose(order)
            lines = _correlate_shifts(cells.reshape(-1, *cells.shape[-2:]), sides[axis], self.extent[axis])
            expanded = np.moveaxis(lines.reshape(*cells.shape[:-2], -1), -1, place)
        return expanded

    def _moments_by_pixels(self, weights: Array, squares: Array, middle: float) -> Iterator[tuple[slice, Array, Array]]:
        """The moments computed from the masks, a few masks and a few lines of the picture at a time."""
        down, across = self._side(0), np.ascontiguousarray(self._side(1).T)
        height, width = self.extent
        # By shift, the interpolation weights of a line: (shifts, s, width).
        shifted = sliding_window_view(across, width, axis=1).transpose(1, 0, 2)
        lines = max(1, _PIXELS // (_MASKS * width))
        for top in range(0, height, lines):
            rows = np.arange(top, min(top + lines, height))
            sums = np.zeros((2, weights.shape[1], len(rows), width))
            for start in range(0, len(weights), _MASKS):
                piece = slice(start, min(start + _MASKS, len(weights)))
                cells, shifts = self.draw(piece.start, piece.stop)
                half = cells.astype(np.float64) @ shifted[shifts[:, 1]]
                pixels = (down[shifts[:, 0, None] + rows] @ half).reshape(len(cells), -1)
                sums[0] += (weights[piece].T @ pixels).reshape(sums[0].shape)
                pixels -= middle
                np.square(pixels, out=pixels)
                sums[1] += (squares[piece].T @ pixels).reshape(sums[1].shape)
            yield slice(top, top + len(rows)), sums[0], sums[1]

    def _features(self, count: int, blocks: Sequence[Array]) -> Iterator[tuple[slice, Array]]:
        for piece, cells, shifts in self._pieces(count):
            # A single shift need not be repeated for each mask.
            matrices = [means if len(means) == 1 else means[shifts[:, axis]] for axis, means in enumerate(blocks)]
            yield piece, _along_axes(cells - self.keep, matrices).reshape(len(cells), -1)

    def _block_means(self, axis: int) -> Array:
        """The mean interpolation weights over each block, for each shift: (cell, blocks, s)."""
        extent, most = self.extent[axis], _BLOCKS[sum(length > 1 for length in self.extent)]
        count = min(2 * self.grid[axis], extent, most)
        edges = np.arange(count + 1) * extent // count
        running = np.concatenate([np.zeros((1, self.grid[axis])), self._side(axis).cumsum(axis=0)])
        sums = running[np.arange(self.cell[axis])[:, None] + edges]
        means: Array = np.diff(sums, axis=1) / np.diff(edges)[:, None]
        return means

    def _covariances(self, axis: int, means: Array) -> Array:
        """Products of each pixel's weights with each block's, averaged over the shifts: (size, blocks)."""
        covariances = _correlate_shifts(means.transpose(1, 0, 2), self._side(axis), self.extent[axis])
        return covariances.T / len(means)


def _neighbour_products(neighbours: Sequence[bool], cells: Array) -> Array:
    """The sum of products of cells (M, *grid) with those that are next to them along some axes, in all directions."""
    chosen = [axis for axis, near in enumerate(neighbours) if near]
    if not chosen:
        return cells * cells
    total: Array | float = 0.0
    # Opposite directions have the same products.
    for ahead in itertools.product((False, True), repeat=len(chosen) - 1):
        first, second = [slice(None)] * cells.ndim, [slice(None)] * cells.ndim
        for axis, forward in zip(chosen, (True, *ahead), strict=True):
            near, far = slice(None, -1), slice(1, None)
            first[axis + 1], second[axis + 1] = (far, near) if forward else (near, far)
        total = total + cells[tuple(first)] * cells[tuple(second)]
    return np.asarray(total)


def _along_axes(values: Array, matrices: Sequence[Array]) -> Array:
    """Multiply each axis of values (M, *counts) by its matrix, (size, count), or one for each of M."""
    for axis, matrix in enumerate(matrices):
        last = axis == len(matrices) - 1
        shape = values.shape
        if last:
            stacked = matrix.reshape(*matrix.shape[:-2], *(1,) * (axis - 1), *matrix.shape[-2:])
            values = values @ np.swapaxes(stacked, -1, -2)
            continue
        stacked = matrix.reshape(*matrix.shape[:-2], *(1,) * axis, *matrix.shape[-2:])
        inner = values.reshape(*shape[: axis + 2], -1)
        values = (stacked @ inner).reshape(*shape[: axis + 1], -1, *shape[axis + 2 :])
    return values


def _correlate_shifts(cells: Array, side: Array, size: int) -> Array:
    """``sum over shifts l and cells k of side[l + w, k] cells[:, l, k]``: (R, shifts, s) to (R, size).

    This is a correlation along the shifts. With Fourier transforms the cost grows with the size of the picture times
    its logarithm, instead of times the number of shifts.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    shifts = cells.shape[1]
    if shifts == 1:
        return np.asarray(cells[:, 0] @ side[:size].T)
    length = next_fast_len(shifts + size - 1, real=True)
    spectrum = np.zeros((len(cells), length // 2 + 1), dtype=complex)
    for k in range(cells.shape[2]):
        spectrum += rfft(side[: shifts + size - 1, k], length) * rfft(cells[:, :, k], length, axis=1).conj()
    return np.asarray(irfft(spectrum, length, axis=1)[:, :size])
