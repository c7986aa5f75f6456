"""Standard errors of a mean over draws that are spread evenly over a path and over its baselines.

A draw is y = f(b, a), with one of B baselines b and one position a from its own stratum of [0, 1]. The variance of
independent draws has three parts: of the baselines, of the positions, and of what they do together. The mean of draws
that take all baselines equally often, and a position from each stratum, does not vary by the first part and hardly by
the second. What is left is estimated in one of three ways, see :func:`stratified_error`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

import numpy as np

from xaionnx.explainers._games.student import student
from xaionnx.explainers._gradients.paths import in_turn
from xaionnx.typing import Array

# With fewer draws of a baseline a variance is too uncertain.
_LEAST: Final = 8
# The degree of the polynomial in a that is taken off the draws: the mean over strata is that of the path but for less.
_DEGREE: Final = 2
# Degrees of freedom of squared second differences, for each of them (Gasser et al. 1986).
_SECOND: Final = 18 / 35


class StratifiedError(ABC):
    """Collects draws (U, m, ...) of U targets, for points, and returns the standard errors of their means."""

    @abstractmethod
    def add(self, some: Array, number: Array, place: Array, parts: Array) -> None:
        """Add draws ``place`` (m,) of targets ``some`` (U,) and points ``number`` (m,), those of a point in order."""

    @abstractmethod
    def of_means(self, means: Array) -> Array:
        """The standard errors of the means of all draws; may take the memory of what was collected."""


def stratified_error(shape: tuple[int, ...], draw: Array, share: Array, baselines: int) -> StratifiedError:
    """Return what estimates the standard errors for a design.

    Parameters
    ----------
    shape : tuple of int
        Of the values.
    draw, share : arrays (n,)
        The baseline and the position of each draw. With one baseline the positions increase; with B, any B draws
        from a multiple of B on have all baselines.
    baselines : int
        B.

    Notes
    -----
    *One baseline.* Each y is from its own stratum, and the variance of the mean is the sum of the variances within the
    strata over n^2. Of one draw a stratum no unbiased estimate exists (Cochran 1977, section 5A.12), but second
    differences of neighbours, y_(k-1) - 2 y_k + y_(k+1), keep 6 variances of a stratum and lose the slope of f. They
    are exact where f is smooth from stratum to stratum, and too large where it jumps, as gradients of rectifiers do.

    *Several baselines, each at least 8 times.* The sums c of B draws with all baselines do not vary by the baselines.
    Their regression on the same sums of 1, a and a^2 takes off what varies with the position alone; the rest,
    sum (c - fit)^2 / (m - 3) for m sums, estimates the variance of a sum. n draws that are no multiple of B leave
    r = n mod B of the baselines taken once more, without replacement: r (1 - r / B) variances of a draw.

    *Otherwise* the parts cannot be told apart, and the error is that of independent draws: it is right if B is much
    larger than n, and too large for fewer baselines.

    References
    ----------
    Cochran, Sampling Techniques, 3rd edition, Wiley 1977, chapters 5A and 7; McKay, Beckman and Conover, Technometrics
    21, 1979, doi:10.1080/00401706.1979.10489755; Gasser, Sroka and Jennen-Steinmetz, Residual variance and residual
    pattern in nonlinear regression, Biometrika 73, 1986, doi:10.1093/biomet/73.3.625.
    """
    if len(draw) < _LEAST * baselines:
        return _Independent(shape, len(draw))
    if baselines == 1:
        return _OnePath(shape, len(draw))
    return _Cycles(shape, share, baselines)


@final
class _Independent(StratifiedError):
    def __init__(self, shape: tuple[int, ...], draws: int) -> None:
        self._squares, self._draws = np.zeros(shape), draws

    def add(self, some: Array, number: Array, place: Array, parts: Array) -> None:
        for at, piece, _ in in_turn(some, number, parts):
            self._squares[at] += np.square(parts[piece])

    def of_means(self, means: Array) -> Array:
        error = _variance_of_draws(self._squares, means, self._draws)
        error /= self._draws
        np.sqrt(error, out=error)
        error *= student(self._draws - 1)
        return error


@final
class _OnePath(StratifiedError):
    def __init__(self, shape: tuple[int, ...], draws: int) -> None:
        self._squares, self._draws = np.zeros(shape), draws
        # The draw before, and the one before that, as gradients give them.
        self._last, self._earlier = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def add(self, some: Array, number: Array, place: Array, parts: Array) -> None:
        for at, piece, rows in in_turn(some, number, parts):
            part = parts[piece]
            change = part - 2 * self._last[at].astype(np.float64) + self._earlier[at]
            change *= _over(place[rows] > 1, change)
            self._squares[at] += np.square(change, out=change)
            self._earlier[at] = self._last[at]
            self._last[at] = part

    def of_means(self, means: Array) -> Array:
        del means
        differences, error = self._draws - 2, self._squares
        error /= 6 * differences * self._draws
        np.sqrt(error, out=error)
        error *= student(int(_SECOND * differences))
        return error


@final
class _Cycles(StratifiedError):
    def __init__(self, shape: tuple[int, ...], share: Array, baselines: int) -> None:
        self._draws, self._size, self._cycles = len(share), baselines, len(share) // baselines
        powers = np.vander(share[: self._cycles * baselines], _DEGREE + 1)[:, :-1]
        sums = powers.reshape(self._cycles, baselines, _DEGREE).sum(axis=1)
        # Orthonormal columns without a mean, so that the sums of products are the coefficients.
        self._columns = np.linalg.qr(sums - sums.mean(axis=0))[0]
        self._sum, self._total, self._squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._products = [np.zeros(shape) for _ in range(_DEGREE)]
        self._rest = len(share) % baselines
        self._of_draws = np.zeros(shape) if self._rest else None

    def add(self, some: Array, number: Array, place: Array, parts: Array) -> None:
        for at, piece, rows in in_turn(some, number, parts):
            part = parts[piece]
            if self._of_draws is not None:
                self._of_draws[at] += np.square(part)
            cycle, within = np.divmod(place[rows], self._size)
            counts = cycle < self._cycles
            self._sum[at] += part * _over(counts, part)
            ends = counts & (within == self._size - 1)
            if ends.any():
                done = self._sum[at] * _over(ends, part)
                self._total[at] += done
                self._squares[at] += np.square(done)
                for products, column in zip(self._products, self._columns.T, strict=True):
                    products[at] += done * _over(np.where(ends, column[np.minimum(cycle, self._cycles - 1)], 0), done)
                self._sum[at] *= _over(~ends, part)

    def of_means(self, means: Array) -> Array:
        freedom = self._cycles - 1 - _DEGREE
        error = self._squares
        error -= np.square(self._total, out=self._total) / self._cycles
        for products in self._products:
            error -= np.square(products, out=products)
        np.maximum(error, 0, out=error)
        # Of a sum of B draws; there are n / B of them.
        error *= self._draws / self._size / freedom
        if self._of_draws is not None:
            share = self._rest * (1 - self._rest / self._size)
            error += share * _variance_of_draws(self._of_draws, means, self._draws)
        np.sqrt(error, out=error)
        error *= student(freedom) / self._draws
        return error


def _over(factors: Array, parts: Array) -> Array:
    """Factors (m,) by which parts (u, m, ...) are multiplied."""
    return factors.reshape(1, -1, *(1,) * (parts.ndim - 2))


def _variance_of_draws(squares: Array, means: Array, count: int) -> Array:
    """The variance of draws from the sum of their squares, in place, and their mean."""
    squares /= count
    squares -= np.square(means)
    np.maximum(squares, 0, out=squares)
    squares *= count / (count - 1)
    return squares
