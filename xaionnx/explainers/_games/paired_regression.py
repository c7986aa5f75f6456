"""A linear surrogate of a game, fitted to pairs of a coalition and its complement.

With u = z - 1/2 for a coalition z, the two rows of a pair are +u and -u. A weighted least-squares fit with an intercept
(or with the efficiency constraint, which fixes it) therefore depends only on half the difference r = (v(z) - v(1 - z))
/ 2 of their values, and reduces to a regression through the origin::

    minimise over phi   sum over pairs of w (r - u . phi)^2   [subject to sum of phi = total]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.blas import COLUMNS, column_blocks, joined_columns, one_blas_thread
from xaionnx.explainers._games.cost import fitting
from xaionnx.explainers._games.feature_choice import on_lasso_path
from xaionnx.explainers._games.local_surrogate import LEAST_FREEDOM, widened_by
from xaionnx.explainers._games.ridge import ridge
from xaionnx.explainers._games.size_means import about_size_means, imbalance, sums_by_size
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Entries of coalitions held at once.
_ENTRIES = 2**22
# An eigenvalue below this share of the largest is rounding error: some players were always present together.
_RANK = 1e-9


@final
@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """Pairs of a coalition and its complement, as they were drawn.

    Attributes
    ----------
    coalitions : callable
        Makes the first coalition of each of the pairs ``start`` to ``stop``, (n, P).
    weights : array (M,)
        w of each pair.
    shares : array (M,)
        The finite-population share of each pair's variance: 1 for draws with replacement, 1 - n/N for n draws out of N
        without, 0 if all pairs of its kind are present.
    by_size : bool
        Whether so many pairs of each size were drawn, every player as often as the others, and the fit has a total.
        The standard errors then hold for it, see `xaionnx.explainers._games.size_means`.
    """

    coalitions: Callable[[int, int], Array]
    weights: Array
    shares: Array
    by_size: bool = False

    __repr__ = short_repr

    def pieces(self) -> Iterator[tuple[int, int, Array]]:
        """First and last pair and the halves u, of which so many are held at once."""
        size = max(1, _ENTRIES // self.players)
        for start in range(0, len(self.weights), size):
            stop = min(len(self.weights), start + size)
            yield start, stop, self.coalitions(start, stop) - 0.5

    @property
    def players(self) -> int:
        """The number P of players."""
        return int(self.coalitions(0, 1).shape[1])


def regress(
    pairs: DrawnPairs,
    halves: Array,
    *,
    total: Array | None = None,
    alpha: float = 0.0,
    max_players: int | None = None,
) -> tuple[Array, Array | None]:
    """The coefficients of the surrogate and their standard errors over draws of the pairs.

    Parameters
    ----------
    pairs : DrawnPairs
    halves : array (M, T)
        Half the difference between the values of a coalition and of its complement.
    total : array (T,), optional
        The sum that the players' values must have.
    alpha : float
        Weight of the squared distance from equal shares, relative to the weights of the pairs.
    max_players : int, optional
        Keep only this many players, those that enter the path of the Lasso first; the others get 0.

    Returns
    -------
    values : array (T, P)
    standard_error : array (T, P) or None
        The error is the square root of the sandwich estimator (HC2) with the finite-population ``shares``: squared
        residuals divided by 1 minus their leverage, propagated through the linear map of the fit, and widened by
        Student's t for few pairs that weigh much. None if the pairs chose the players: such a choice is not in a
        standard error.

    Raises
    ------
    BudgetError
        The pairs do not determine the values of all players.
    """
    players, targets = pairs.players, halves.shape[1]
    chooses = max_players is not None and max_players < players
    with one_blas_thread(), fitting(players, len(halves), targets if chooses else 1):
        return _regress(pairs, halves, total, alpha, max_players if chooses else None)


def _regress(
    pairs: DrawnPairs, halves: Array, total: Array | None, alpha: float, max_players: int | None
) -> tuple[Array, Array | None]:
    players, targets = pairs.players, halves.shape[1]
    gram = np.zeros((players, players))
    columns = column_blocks(halves)
    moments = [np.zeros((players, COLUMNS)) for _ in columns]
    for start, stop, u in pairs.pieces():
        weighed = u * pairs.weights[start:stop, None]
        gram += weighed.T @ u
        for moment, block in zip(moments, columns, strict=True):
            moment += weighed.T @ block[start:stop]
    totals = [None] * len(columns) if total is None else [row[0] for row in column_blocks(total[None])]
    if max_players is None:
        system = _System(gram, np.arange(players), total is not None, alpha)
        blocks = system.solve(moments, totals)
        squares = _variances(pairs, columns, system.spread, blocks)
        return joined_columns(blocks, targets).T, np.sqrt(joined_columns(squares, targets)).T
    # Each target selects its own players.
    found = np.zeros((players, targets))
    for t in range(targets):
        which, column = divmod(t, COLUMNS)
        first = on_lasso_path(gram, moments[which][:, column], max_players, len(halves))
        system = _System(gram, first, total is not None, alpha)
        found[:, t] = system.solve([moments[which]], [totals[which]])[0][:, column]
    # Of all pairs there is no other choice.
    return found.T, None if pairs.shares.any() else np.zeros_like(found.T)


def _variances(pairs: DrawnPairs, columns: list[Array], spread: Array, values: list[Array]) -> list[Array]:
    """The variances (P, 32) of each block of values."""
    players, drawn = pairs.players, pairs.shares > 0
    residuals, sizes = [block.copy() for block in columns], np.empty(len(drawn), dtype=np.intp)
    for start, stop, u in pairs.pieces():
        sizes[start:stop] = (u > 0).sum(axis=1)
        for residual, found in zip(residuals, values, strict=True):
            residual[start:stop] -= u @ found
    means = []
    if pairs.by_size:
        centred = [about_size_means(residual, sizes, drawn, players) for residual in residuals]
        residuals, means = [one for one, _ in centred], [one for _, one in centred]
    variances = [np.zeros_like(block) for block in values]
    shifts, weighing = np.zeros((players + 1, players)), np.zeros((3, players))
    for start, stop, u in pairs.pieces():
        reach, weights = u @ spread, pairs.weights[start:stop, None]
        freedom = np.maximum(1 - weights * (reach * u).sum(axis=1, keepdims=True), LEAST_FREEDOM)
        scores = weights * reach
        if pairs.by_size:
            # Their expectation is 0: the mean of u over a size is the same for all players.
            shifts += sums_by_size(scores, sizes[start:stop], players)
        squares = scores**2 * pairs.shares[start:stop, None]
        weighing += [squares.sum(axis=0), (squares**2).sum(axis=0), (squares * freedom).sum(axis=0)]
        for variance, residual in zip(variances, residuals, strict=True):
            variance += squares.T @ (np.square(residual[start:stop]) / freedom)
    widened = np.square(widened_by(*weighing))[:, None]
    variances = [widened * variance for variance in variances]
    return [v + imbalance(m, shifts) for v, m in zip(variances, means, strict=True)] if means else variances


def with_complements(firsts: Callable[[int, int], Array]) -> Callable[[int, int], Array]:
    """A callable that returns both coalitions of each pair: the first in row 2 i, its complement in row 2 i + 1."""

    def rows(start: int, stop: int) -> Array:
        pairs = firsts(start // 2, -(-stop // 2))
        coalitions: Array = np.stack([pairs, ~pairs], axis=1).reshape(-1, pairs.shape[1])
        return coalitions[start % 2 : start % 2 + stop - start]

    return rows


@final
class _System:
    """The normal equations of the players in ``support``; all others have the value 0.

    Attributes
    ----------
    spread : array (P, P)
        The map from moments to values.
    """

    def __init__(self, gram: Array, support: Array, has_total: bool, alpha: float) -> None:
        self._gram, self._support, self._alpha = gram, support, alpha
        count = len(support)
        inner, typical = gram[np.ix_(support, support)], 0.0
        self.spread = np.zeros_like(gram)
        # With a fixed sum, one player has no freedom.
        self._is_fixed = has_total and count == 1
        if self._is_fixed:
            return
        if has_total:
            inner -= inner.mean(axis=0)
            inner -= inner.mean(axis=1, keepdims=True)
            # The direction of equal steps, which is none of these, gets a scale between theirs.
            typical = np.trace(inner) / (count - 1)
            inner += typical / count
        scales, self._axes = np.linalg.eigh(inner)
        if alpha == 0 and scales[0] <= _RANK * scales[-1]:
            raise BudgetError(
                f"The coalitions that the budget allows do not determine {count} features. Raise the budget, or use "
                "fewer features."
            )
        self._scales = np.maximum(scales, 0)
        inverse = (self._axes / (self._scales + alpha)) @ self._axes.T
        if has_total:
            inverse -= 1 / (count * (typical + alpha))
        self.spread[np.ix_(support, support)] = inverse

    def solve(self, moments: list[Array], totals: Sequence[Array | None]) -> list[Array]:
        """Return the values (P, T) for blocks of moments (P, T) and, with a fixed sum, their totals (T,)."""
        blocks, rights = [], []
        for moment, total in zip(moments, totals, strict=True):
            values = np.zeros_like(moment)
            if total is not None:
                # Equal shares plus any step that sums to zero.
                values[self._support] = total / len(self._support)
            blocks.append(values)
            rights.append((moment - self._gram @ values)[self._support])
            if total is not None:
                rights[-1] -= rights[-1].mean(axis=0)
        if self._is_fixed:
            return blocks
        for values, total, steps in zip(
            blocks, totals, ridge(self._scales, self._axes, rights, self._alpha), strict=True
        ):
            values[self._support] += steps if total is None else steps - steps.mean(axis=0)
        return blocks
