"""A linear surrogate of a game, fitted to pairs of a coalition and its complement.

With u = z - 1/2 for a coalition z, the two rows of a pair are +u and -u. A weighted least-squares fit with an intercept
(or with the efficiency constraint, which fixes it) therefore depends only on half the difference r = (v(z) - v(1 - z))
/ 2 of their values, and reduces to a regression through the origin::

    minimise over phi   sum over pairs of w (r - u . phi)^2   [subject to sum of phi = total]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import final

import numpy as np

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.blas import COLUMNS, column_blocks, joined_columns, one_blas_thread
from xaionnx.explainers._games.cost import fitting
from xaionnx.explainers._games.feature_choice import on_lasso_path
from xaionnx.explainers._games.local_surrogate import LEAST_FREEDOM
from xaionnx.explainers._games.ridge import ridge
from xaionnx.typing import Array

# Entries of coalitions held at once.
_ENTRIES = 2**22
# An eigenvalue below this share of the largest is rounding error: some players were always present together.
_RANK = 1e-9


def regress(
    coalitions: Callable[[int, int], Array],
    halves: Array,
    weights: Array,
    shares: Array,
    *,
    total: Array | None = None,
    alpha: float = 0.0,
    max_players: int | None = None,
) -> tuple[Array, Array | None]:
    """The coefficients of the surrogate and their standard errors over draws of the pairs.

    Parameters
    ----------
    coalitions : callable
        Makes the first coalition of each of the pairs ``start`` to ``stop``, (n, P).
    halves : array (M, T)
        Half the difference between the values of a coalition and of its complement.
    weights : array (M,)
        w of each pair.
    shares : array (M,)
        The finite-population share of each pair's variance: 1 for draws with replacement, 1 - n/N for n draws out of N
        without, 0 if all pairs of its kind are present.
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
        The error is the square root of the sandwich estimator (HC3) with the finite-population ``shares``: residuals
        divided by 1 minus their leverage, propagated through the linear map of the fit. None if the pairs chose the
        players: such a choice is not in a standard error.

    Raises
    ------
    BudgetError
        The pairs do not determine the values of all players.
    """
    players, targets = coalitions(0, 1).shape[1], halves.shape[1]
    chooses = max_players is not None and max_players < players
    with one_blas_thread(), fitting(players, len(halves), targets if chooses else 1):
        return _regress(coalitions, halves, weights, shares, total, alpha, max_players if chooses else None)


def _regress(
    coalitions: Callable[[int, int], Array],
    halves: Array,
    weights: Array,
    shares: Array,
    total: Array | None,
    alpha: float,
    max_players: int | None,
) -> tuple[Array, Array | None]:
    players, targets = coalitions(0, 1).shape[1], halves.shape[1]
    gram = np.zeros((players, players))
    columns = column_blocks(halves)
    moments = [np.zeros((players, COLUMNS)) for _ in columns]
    for start, stop, u in _pieces(coalitions, len(halves)):
        weighed = u * weights[start:stop, None]
        gram += weighed.T @ u
        for moment, block in zip(moments, columns, strict=True):
            moment += weighed.T @ block[start:stop]
    totals = [None] * len(columns) if total is None else [row[0] for row in column_blocks(total[None])]
    if max_players is None:
        system = _System(gram, np.arange(players), total is not None, alpha)
        blocks = system.solve(moments, totals)
        squares = _variances(coalitions, columns, weights, shares, system.spread, blocks)
        return joined_columns(blocks, targets).T, np.sqrt(joined_columns(squares, targets)).T
    # Each target selects its own players.
    found, variances = np.zeros((players, targets)), np.zeros((players, targets))
    chosen = bool(shares.any())
    for t in range(targets):
        which, column = divmod(t, COLUMNS)
        first = on_lasso_path(gram, moments[which][:, column], max_players, len(halves))
        system = _System(gram, first, total is not None, alpha)
        block = system.solve([moments[which]], [totals[which]])[0]
        found[:, t] = block[:, column]
        if not chosen:
            spread = _variances(coalitions, [columns[which]], weights, shares, system.spread, [block])
            variances[:, t] = spread[0][:, column]
    return found.T, None if chosen else np.sqrt(variances).T


def _variances(
    coalitions: Callable[[int, int], Array],
    columns: list[Array],
    weights: Array,
    shares: Array,
    spread: Array,
    values: list[Array],
) -> list[Array]:
    """The variances (P, 32) of each block of values."""
    variances = [np.zeros_like(block) for block in values]
    for start, stop, u in _pieces(coalitions, len(weights)):
        reach = u @ spread
        freedom = 1 - weights[start:stop] * (reach * u).sum(axis=1)
        factor = weights[start:stop] / np.maximum(freedom, LEAST_FREEDOM)
        squares = np.square(reach).T
        for variance, block, found in zip(variances, columns, values, strict=True):
            residual = (block[start:stop] - u @ found) * factor[:, None]
            variance += squares @ (shares[start:stop, None] * np.square(residual))
    return variances


def with_complements(firsts: Callable[[int, int], Array]) -> Callable[[int, int], Array]:
    """A callable that returns both coalitions of each pair: the first in row 2 i, its complement in row 2 i + 1."""

    def rows(start: int, stop: int) -> Array:
        pairs = firsts(start // 2, -(-stop // 2))
        coalitions: Array = np.stack([pairs, ~pairs], axis=1).reshape(-1, pairs.shape[1])
        return coalitions[start % 2 : start % 2 + stop - start]

    return rows


def _pieces(coalitions: Callable[[int, int], Array], count: int) -> Iterator[tuple[int, int, Array]]:
    size = max(1, _ENTRIES // coalitions(0, 1).shape[1])
    for start in range(0, count, size):
        stop = min(count, start + size)
        yield start, stop, coalitions(start, stop) - 0.5


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
