"""Sums over the smooth masks of RISE, computed over the cells of the masks instead of the pixels.

Mask i is ``M_i = Ay[t_i : t_i + H] C_i Ax[l_i : l_i + W]^T``. A sum over thousands of masks therefore needs one matrix
of cells per shift (t, l), together as large as the picture, and is expanded to pixels once at the end. The same holds
for the sum of squares: the square of a bilinear mask is bilinear in products of neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from xaionnx_kernels import masks

from xaionnx.explainers._games.blas import one_blas_thread
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
# Largest number of blocks of the regression along an axis, for a picture and for a sequence; the cost grows with its
# square.
_BLOCKS = {True: 16, False: 256}


@final
@dataclass(frozen=True, eq=False)
class MaskSpace:
    """The masks of one seed.

    Attributes
    ----------
    draw : callable
        Returns cells (m, s_h, s_w) and shifts (m, 2) of the masks ``start`` to ``stop``.
    grid, cell, extent : (int, int)
        Numbers of cells, of pixels per cell, and of pixels, along height and width.
    keep : float
        The mean of a mask, at every pixel.
    """

    draw: Callable[[int, int], tuple[Array, Array]]
    grid: tuple[int, int]
    cell: tuple[int, int]
    extent: tuple[int, int]
    keep: float

    def moments(self, weights: Array, squares: Array) -> tuple[Array, Array, Array]:
        """The sums of w_i M_i, of v_i M_i and of v_i M_i^2, each (T, H, W), for w and v of (M, T).

        They are computed over cells, at a cost that grows with the targets, or over pixels, at a cost that grows with
        the masks. The results are the same.
        """
        if weights.shape[1] < _MANY_TARGETS or self.cell == (1, 1):
            return self.sums(weights), self.sums(squares), self.square_sums(squares)
        return self._moments_by_pixels(weights, squares)

    def sums(self, weights: Array) -> Array:
        """The sum of w_i M_i over the masks 0 to M, (T, H, W), for weights (M, T)."""
        sides = [self._side(axis) for axis in (0, 1)]
        return self._weighted_sum(weights, lambda cells: cells, *sides)

    def square_sums(self, weights: Array) -> Array:
        """The sum of w_i M_i^2, element by element, (T, H, W)."""
        (own_y, next_y), (own_x, next_x) = (self._products(self._side(axis)) for axis in (0, 1))
        total = self._weighted_sum(weights, lambda c: c * c, own_y, own_x)
        # Each pair of neighbours occurs twice in a square. Both diagonals of a 2 x 2 block have the same factors.
        if self.grid[1] > 1:
            total += 2 * self._weighted_sum(weights, lambda c: c[:, :, 1:] * c[:, :, :-1], own_y, next_x)
        if self.grid[0] > 1:
            total += 2 * self._weighted_sum(weights, lambda c: c[:, 1:] * c[:, :-1], next_y, own_x)
        if min(self.grid) > 1:
            total += 2 * self._weighted_sum(
                weights,
                lambda c: c[:, 1:, 1:] * c[:, :-1, :-1] + c[:, 1:, :-1] * c[:, :-1, 1:],
                next_y,
                next_x,
            )
        return total

    def variance(self) -> Array:
        """The variance of a mask at each pixel, over cells and shifts, (H, W)."""
        down, across = (
            np.convolve(np.square(self._side(axis)).sum(axis=1), np.full(cell, 1 / cell), "valid")[: self.extent[axis]]
            for axis, cell in enumerate(self.cell)
        )
        return self.keep * (1 - self.keep) * np.outer(down, across)

    @one_blas_thread()
    def regress(self, outputs: Array) -> tuple[Array, Array, Array]:
        """A linear model of the outputs, fitted to the masks, and its residuals.

        The features z are the means of a mask over blocks of half a cell. A small ridge stabilises fits to few masks.

        Parameters
        ----------
        outputs : array (M, T)

        Returns
        -------
        covariance : array (T, H, W)
            Of the masks with the linear model, over all cells and shifts: exact, not sampled.
        residuals : array (M, T)
        leave_one_out : array (M, T)
            The residual of each mask under the linear model fitted without it.
        """
        count = len(outputs)
        offset = outputs.mean(axis=0)
        down, across = (self._block_means(axis) for axis in (0, 1))
        size = down.shape[1] * across.shape[1]
        gram, mean, moment = np.zeros((size, size)), np.zeros(size), np.zeros((size, outputs.shape[1]))
        for piece, z in self._features(count, down, across):
            gram += z.T @ z
            mean += z.sum(axis=0) / count
            moment += z.T @ (outputs[piece] - offset)
        gram -= count * np.outer(mean, mean)
        inverse = np.linalg.inv(gram + _RIDGE * np.trace(gram) / count * np.eye(size))
        coefficients = inverse @ moment
        residuals, leave_one_out = np.empty_like(outputs), np.empty_like(outputs)
        for piece, z in self._features(count, down, across):
            z -= mean
            residuals[piece] = outputs[piece] - offset - z @ coefficients
            leverage = 1 / count + ((z @ inverse) * z).sum(axis=1)
            leave_one_out[piece] = residuals[piece] / (1 - leverage)[:, None]
        along = [self._covariances(axis, means) for axis, means in enumerate((down, across))]
        shaped = coefficients.T.reshape(-1, down.shape[1], across.shape[1])
        covariance = self.keep * (1 - self.keep) * (along[0] @ shaped @ along[1].T)
        return covariance, residuals, leave_one_out

    def _side(self, axis: int) -> Array:
        """Interpolation weights (size + cell, s) of all rows that shifts reach; the identity for 1-pixel cells."""
        if self.cell == (1, 1):
            return np.eye(self.grid[axis])
        return masks.bilinear_matrix(self.grid[axis], self.cell[axis]).astype(np.float64)

    @staticmethod
    def _products(side: Array) -> tuple[Array, Array]:
        return side * side, side[:, 1:] * side[:, :-1]

    def _pieces(self, count: int) -> Iterator[tuple[slice, Array, Array]]:
        size = max(1, _CELLS // (self.grid[0] * self.grid[1]))
        for start in range(0, count, size):
            stop = min(count, start + size)
            cells, shifts = self.draw(start, stop)
            yield slice(start, stop), cells.astype(np.float64), shifts

    def _weighted_sum(self, weights: Array, products: Callable[[Array], Array], down: Array, across: Array) -> Array:
        from scipy.sparse import csr_array

        (tops, lefts), (rows, columns) = self.cell, (down.shape[1], across.shape[1])
        total = np.zeros((tops * rows * lefts * columns, weights.shape[1]))
        for piece, cells, shifts in self._pieces(len(weights)):
            values = products(cells).reshape(len(cells), -1)
            top, left = shifts.T.astype(np.int64)
            line = (top[:, None] * rows + np.arange(rows)) * lefts + left[:, None]
            indices = (line[:, :, None] * columns + np.arange(columns)).reshape(values.shape)
            ends = np.arange(len(cells) + 1) * values.shape[1]
            scattered = csr_array((values.reshape(-1), indices.reshape(-1), ends), shape=(len(cells), len(total)))
            total += scattered.T @ weights[piece]
        height, width = self.extent
        lines = _correlate_shifts(total.T.reshape(-1, lefts, columns), across, width)
        lines = lines.reshape(-1, tops, rows, width).transpose(0, 3, 1, 2).reshape(-1, tops, rows)
        return _correlate_shifts(lines, down, height).reshape(-1, width, height).transpose(0, 2, 1)

    def _moments_by_pixels(self, weights: Array, squares: Array) -> tuple[Array, Array, Array]:
        """The moments computed from the masks, a few masks and a few lines of the picture at a time."""
        down, across = (self._side(axis) for axis in (0, 1))
        height, width = self.extent
        sums = np.zeros((3, weights.shape[1], height, width))
        lines = max(1, _PIXELS // (_MASKS * width))
        for start in range(0, len(weights), _MASKS):
            piece = slice(start, min(start + _MASKS, len(weights)))
            cells, shifts = self.draw(piece.start, piece.stop)
            horizontal = across[shifts[:, 1, None] + np.arange(width)]
            half = cells.astype(np.float64) @ horizontal.transpose(0, 2, 1)
            first, second = weights[piece].T, squares[piece].T
            for top in range(0, height, lines):
                rows = np.arange(top, min(top + lines, height))
                pixels = (down[shifts[:, 0, None] + rows] @ half).reshape(len(cells), -1)
                block = (-1, len(rows), width)
                sums[0][:, rows] += (first @ pixels).reshape(block)
                sums[1][:, rows] += (second @ pixels).reshape(block)
                np.square(pixels, out=pixels)
                sums[2][:, rows] += (second @ pixels).reshape(block)
        return sums[0], sums[1], sums[2]

    def _features(self, count: int, down: Array, across: Array) -> Iterator[tuple[slice, Array]]:
        for piece, cells, shifts in self._pieces(count):
            # A single shift need not be repeated for each mask.
            vertical = down if len(down) == 1 else down[shifts[:, 0]]
            horizontal = across if len(across) == 1 else across[shifts[:, 1]]
            means = vertical @ (cells - self.keep) @ horizontal.transpose(0, 2, 1)
            yield piece, means.reshape(len(cells), -1)

    def _block_means(self, axis: int) -> Array:
        """The mean interpolation weights over each block, for each shift: (cell, blocks, s)."""
        extent, most = self.extent[axis], _BLOCKS[min(self.extent) > 1]
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
