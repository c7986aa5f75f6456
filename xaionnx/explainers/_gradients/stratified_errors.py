"""Standard errors of a mean over draws that are spread evenly over a path and over its baselines.

A draw is y = f(b, a), with one of B baselines b and one position a from its own stratum of [0, 1]. The variance of
independent draws has three parts: of the baselines, of the positions, and of what they do together. The mean of
:class:`~xaionnx.explainers._gradients.path_draws.PathDraws` does not vary by the first part if all baselines are taken,
and hardly by the second. What is left is estimated as :func:`stratified_error` says, or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

import numpy as np

from xaionnx.explainers._gradients.path_draws import PathDraws
from xaionnx.explainers._gradients.paths import in_turn
from xaionnx.student import student
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
    def result(self) -> Array:
        """The standard errors of the means of all draws; may take the memory of what was collected."""


def why_no_error(draws: int, baselines: int) -> str | None:
    """Return why a design has no standard error, or None if it has one."""
    if draws >= _LEAST * baselines:
        return None
    if baselines == 1:
        return f"{draws} draws are too few, it needs {_LEAST}"
    return (
        f"{draws} draws of {baselines} baselines do not tell how much is due to the baseline; set draws to at least "
        f"{_LEAST * baselines}, or give fewer baselines"
    )


def stratified_error(shape: tuple[int, ...], draws: PathDraws) -> StratifiedError:
    """Return what estimates the standard errors for a design that has them, see :func:`why_no_error`.

    Parameters
    ----------
    shape : tuple of int
        Of the values.
    draws : PathDraws

    Notes
    -----
    *One baseline.* Each y is from its own stratum, and the variance of the mean is the sum of the variances within the
    strata over n^2. Of one draw a stratum no unbiased estimate exists (Cochran 1977, section 5A.12), but second
    differences of neighbours, y_(k-1) - 2 y_k + y_(k+1), keep 6 variances of a stratum and lose the slope of f. They
    are exact where f is smooth from stratum to stratum, and too large where it jumps, as gradients of rectifiers do.

    *Several baselines.* The sums c of B draws with all baselines do not vary by the baselines. Their regression on the
    same sums of 1, a and a^2 takes off what varies with the position alone (if some baselines are taken once more, of
    theirs and of the others); the rest, sum (c - fit)^2 / (m - 3) for m sums, or / (m - 5), estimates the variance of a
    sum. That of the mean is this times the mean over the baselines of 1 / how often
    they were taken, over B^2.

    There is none for fewer than 8 draws of each baseline. Of one draw of each, the three parts cannot be told apart; of
    two to seven, a variance within the baselines can be, but it holds less often than it says where few draws are much
    larger than the others.

    References
    ----------
    Cochran, Sampling Techniques, 3rd edition, Wiley 1977, chapters 5A and 7; McKay, Beckman and Conover, Technometrics
    21, 1979, doi:10.1080/00401706.1979.10489755; Gasser, Sroka and Jennen-Steinmetz, Residual variance and residual
    pattern in nonlinear regression, Biometrika 73, 1986, doi:10.1093/biomet/73.3.625.
    """
    assert why_no_error(len(draws.weight), draws.baselines) is None
    return _OnePath(shape, len(draws.weight)) if draws.baselines == 1 else _Cycles(shape, draws)


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

    def result(self) -> Array:
        differences, error = self._draws - 2, self._squares
        error /= 6 * differences * self._draws
        np.sqrt(error, out=error)
        error *= student(int(_SECOND * differences))
        return error


@final
class _Cycles(StratifiedError):
    def __init__(self, shape: tuple[int, ...], draws: PathDraws) -> None:
        self._size, self._cycles = draws.baselines, len(draws.weight) // draws.baselines
        powers = np.vander(draws.position, _DEGREE + 1)[:, :-1]
        # The positions of baselines that are taken once more are spread by themselves.
        powers = np.concatenate([powers * (draws.weight == w)[:, None] for w in np.unique(draws.weight)], axis=1)
        sums = powers[: self._cycles * self._size].reshape(self._cycles, self._size, -1).sum(axis=1)
        # Orthonormal columns without a mean, so that the sums of products are the coefficients.
        self._columns = np.linalg.qr(sums - sums.mean(axis=0))[0]
        # A baseline taken k times weighs 1 / B by k draws of 1 / (k B): the sum is that of 1 / k over B^2.
        self._squared_weights = float(np.square(draws.weight).sum())
        self._sum, self._total, self._squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._products = [np.zeros(shape) for _ in range(powers.shape[1])]

    def add(self, some: Array, number: Array, place: Array, parts: Array) -> None:
        for at, piece, rows in in_turn(some, number, parts):
            part = parts[piece]
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

    def result(self) -> Array:
        freedom = self._cycles - 1 - len(self._products)
        error = self._squares
        error -= np.square(self._total, out=self._total) / self._cycles
        for products in self._products:
            error -= np.square(products, out=products)
        np.maximum(error, 0, out=error)
        # The mean variance of a draw is that of a sum over B.
        error *= self._squared_weights / self._size / freedom
        np.sqrt(error, out=error)
        error *= student(freedom)
        return error


def _over(factors: Array, parts: Array) -> Array:
    """Factors (m,) by which parts (u, m, ...) are multiplied."""
    return factors.reshape(1, -1, *(1,) * (parts.ndim - 2))
