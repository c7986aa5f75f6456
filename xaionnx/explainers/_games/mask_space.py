"""Sums over the smooth masks of RISE, taken where the masks are drawn: in their cells, not over the pixels.

Mask i is ``M_i = Ay[t_i : t_i + H] C_i Ax[l_i : l_i + W]^T``. A sum over thousands of masks therefore needs one
matrix of cells for each shift (t, l), as large as the picture together, and only in the end the pixels. So does the
sum of their squares: the square of a bilinear mask is bilinear in products of neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from threadpoolctl import threadpool_limits
from xaionnx_kernels import masks

from xaionnx.typing import Array

# Cells that exist at a time, whatever the number of masks.
_CELLS = 2**14
# Of so many targets the moments are taken over the pixels; measured, for 1,000 masks of 224 x 224 pixels.
_MANY_TARGETS = 24
# Masks, and pixels of them, that exist at a time there.
_MASKS = 1024
_PIXELS = 2**22
# The ridge of the regression: that many masks a feature, of which each adds a feature's variance and no answer. On
# photographs and digits 0.25 to 1 give nearly the same noise from 100 to 4,000 masks, and none or a fixed share more.
_RIDGE = 0.5
# Blocks that the regression knows on an axis, of a picture and of a sequence: its cost grows with their square.
_BLOCKS = {True: 16, False: 256}


@final
@dataclass(frozen=True, eq=False)
class MaskSpace:
    """The masks of one seed.

    Attributes
    ----------
    draw : callable
        Cells (m, s_h, s_w) and shifts (m, 2) of the masks ``start`` to ``stop``.
    grid, cell, extent : (int, int)
        Cells, pixels a cell, and pixels, down and across.
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

        Two ways give the same numbers: in the cells the cost grows with the targets, over the pixels with the masks.
        """
        if weights.shape[1] < _MANY_TARGETS or self.cell == (1, 1):
            return self.sums(weights), self.sums(squares), self.square_sums(squares)
        return self._moments_by_pixels(weights, squares)

    def sums(self, weights: Array) -> Array:
        """The sum of w_i M_i over the masks 0 to M: weights (M, T) to (T, H, W)."""
        sides = [self._side(axis) for axis in (0, 1)]
        return self._summed(weights, lambda cells: cells, *sides)

    def square_sums(self, weights: Array) -> Array:
        """The sum of w_i M_i^2, element by element, (T, H, W)."""
        (own_y, next_y), (own_x, next_x) = (self._products(self._side(axis)) for axis in (0, 1))
        total = self._summed(weights, lambda c: c * c, own_y, own_x)
        # Each pair of neighbours occurs twice in a square. A diagonal pair shares its factors with the other diagonal.
        if self.grid[1] > 1:
            total += 2 * self._summed(weights, lambda c: c[:, :, 1:] * c[:, :, :-1], own_y, next_x)
        if self.grid[0] > 1:
            total += 2 * self._summed(weights, lambda c: c[:, 1:] * c[:, :-1], next_y, own_x)
        if min(self.grid) > 1:
            total += 2 * self._summed(
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

    # On matrices this small the threads of BLAS wait for each other.
    @threadpool_limits.wrap(limits=1, user_api="blas")  # type: ignore[untyped-decorator]  # it carries no types
    def regressed(self, answers: Array) -> tuple[Array, Array, Array]:
        """What a linear model of the masks explains of the answers, and what it leaves.

        Its features z are the means of a mask over blocks of half a cell; a slight ridge bounds what few masks give.

        Parameters
        ----------
        answers : array (M, T)

        Returns
        -------
        covariance : array (T, H, W)
            Of the masks with the model's answers, over all cells and shifts: exact, not sampled.
        residuals : array (M, T)
        alone : array (M, T)
            The residual of each mask from the model that was fitted without it.
        """
        count = len(answers)
        offset = answers.mean(axis=0)
        down, across = (self._block_means(axis) for axis in (0, 1))
        size = down.shape[1] * across.shape[1]
        gram, mean, moment = np.zeros((size, size)), np.zeros(size), np.zeros((size, answers.shape[1]))
        for piece, z in self._features(count, down, across):
            gram += z.T @ z
            mean += z.sum(axis=0) / count
            moment += z.T @ (answers[piece] - offset)
        gram -= count * np.outer(mean, mean)
        inverse = np.linalg.inv(gram + _RIDGE * np.trace(gram) / count * np.eye(size))
        coefficients = inverse @ moment
        residuals, alone = np.empty_like(answers), np.empty_like(answers)
        for piece, z in self._features(count, down, across):
            z -= mean
            residuals[piece] = answers[piece] - offset - z @ coefficients
            leverage = 1 / count + ((z @ inverse) * z).sum(axis=1)
            alone[piece] = residuals[piece] / (1 - leverage)[:, None]
        beside = [self._covariances(axis, means) for axis, means in enumerate((down, across))]
        shaped = coefficients.T.reshape(-1, down.shape[1], across.shape[1])
        covariance = self.keep * (1 - self.keep) * (beside[0] @ shaped @ beside[1].T)
        return covariance, residuals, alone

    def _side(self, axis: int) -> Array:
        """Every row that a shifted picture may read, (size + cell, s); without interpolation if a cell is a pixel."""
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

    def _summed(self, weights: Array, products: Callable[[Array], Array], down: Array, across: Array) -> Array:
        from scipy.sparse import csr_array

        (tops, lefts), (rows, columns) = self.cell, (down.shape[1], across.shape[1])
        total = np.zeros((tops * rows * lefts * columns, weights.shape[1]))
        for piece, cells, shifts in self._pieces(len(weights)):
            values = products(cells).reshape(len(cells), -1)
            top, left = shifts.T.astype(np.int64)
            line = (top[:, None] * rows + np.arange(rows)) * lefts + left[:, None]
            places = (line[:, :, None] * columns + np.arange(columns)).reshape(values.shape)
            ends = np.arange(len(cells) + 1) * values.shape[1]
            scattered = csr_array((values.reshape(-1), places.reshape(-1), ends), shape=(len(cells), len(total)))
            total += scattered.T @ weights[piece]
        height, width = self.extent
        lines = _behind_shifts(total.T.reshape(-1, lefts, columns), across, width)
        lines = lines.reshape(-1, tops, rows, width).transpose(0, 3, 1, 2).reshape(-1, tops, rows)
        return _behind_shifts(lines, down, height).reshape(-1, width, height).transpose(0, 2, 1)

    def _moments_by_pixels(self, weights: Array, squares: Array) -> tuple[Array, Array, Array]:
        """The moments from the masks themselves: some masks at a time, and of these some lines of the picture."""
        down, across = (self._side(axis) for axis in (0, 1))
        height, width = self.extent
        found = np.zeros((3, weights.shape[1], height, width))
        lines = max(1, _PIXELS // (_MASKS * width))
        for start in range(0, len(weights), _MASKS):
            some = slice(start, min(start + _MASKS, len(weights)))
            cells, shifts = self.draw(some.start, some.stop)
            beside = across[shifts[:, 1, None] + np.arange(width)]
            half = cells.astype(np.float64) @ beside.transpose(0, 2, 1)
            first, second = weights[some].T, squares[some].T
            for top in range(0, height, lines):
                here = np.arange(top, min(top + lines, height))
                drawn = (down[shifts[:, 0, None] + here] @ half).reshape(len(cells), -1)
                block = (-1, len(here), width)
                found[0][:, here] += (first @ drawn).reshape(block)
                found[1][:, here] += (second @ drawn).reshape(block)
                np.square(drawn, out=drawn)
                found[2][:, here] += (second @ drawn).reshape(block)
        return found[0], found[1], found[2]

    def _features(self, count: int, down: Array, across: Array) -> Iterator[tuple[slice, Array]]:
        for piece, cells, shifts in self._pieces(count):
            # A single shift is not repeated for each mask.
            above = down if len(down) == 1 else down[shifts[:, 0]]
            beside = across if len(across) == 1 else across[shifts[:, 1]]
            means = above @ (cells - self.keep) @ beside.transpose(0, 2, 1)
            yield piece, means.reshape(len(cells), -1)

    def _block_means(self, axis: int) -> Array:
        """The mean row over each block, behind each shift: (cell, blocks, s)."""
        extent, most = self.extent[axis], _BLOCKS[min(self.extent) > 1]
        count = min(2 * self.grid[axis], extent, most)
        edges = np.arange(count + 1) * extent // count
        running = np.concatenate([np.zeros((1, self.grid[axis])), self._side(axis).cumsum(axis=0)])
        behind = running[np.arange(self.cell[axis])[:, None] + edges]
        means: Array = np.diff(behind, axis=1) / np.diff(edges)[:, None]
        return means

    def _covariances(self, axis: int, means: Array) -> Array:
        """Of each pixel's row with each block's, over the shifts: (size, blocks)."""
        behind = _behind_shifts(means.transpose(1, 0, 2), self._side(axis), self.extent[axis])
        return behind.T / len(means)


def _behind_shifts(cells: Array, side: Array, size: int) -> Array:
    """``sum over shifts l and cells k of side[l + w, k] cells[:, l, k]``: (R, shifts, s) to (R, size).

    That is a correlation along the shifts, which Fourier transforms take at the cost of the picture times its
    logarithm, instead of times the number of shifts.
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
