"""A linear surrogate of a game, fitted to pairs of a coalition and its complement.

With u = z - 1/2 for a coalition z, the two rows of a pair are +u and -u. A weighted least-squares fit with an intercept
(or with the efficiency constraint, which fixes it) therefore depends only on half the difference r = (v(z) - v(1 - z))
/ 2 of their values, and reduces to a regression through the origin::

    minimise over phi   sum over pairs of w (r - u . phi)^2   [subject to sum of phi = total]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.blas import one_blas_thread
from xaionnx.explainers._games.local_surrogate import LEAST_FREEDOM
from xaionnx.typing import Array

_ROWS = 4096
# The regression needs P^2 numbers of memory and P^3 operations.
_MOST_PLAYERS = 1024
# An eigenvalue below this share of the largest is rounding error: some players were always present together.
_RANK = 1e-9


@one_blas_thread()
def regress(
    coalitions: Callable[[int, int], Array],
    halves: Array,
    weights: Array,
    shares: Array,
    *,
    total: Array | None = None,
    ridge: float = 0.0,
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
    ridge : float
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
    players = coalitions(0, 1).shape[1]
    gram, moment = np.zeros((players, players)), np.zeros((players, halves.shape[1]))
    for start, stop, u in _pieces(coalitions, len(halves)):
        weighed = u * weights[start:stop, None]
        gram += weighed.T @ u
        moment += weighed.T @ halves[start:stop]
    values, variances = np.empty((players, halves.shape[1])), np.empty((players, halves.shape[1]))
    # One fit serves all targets, unless each target selects its own players.
    fits = [(slice(None), np.arange(players))]
    if max_players is not None and max_players < players:
        single = [slice(t, t + 1) for t in range(halves.shape[1])]
        fits = [(group, _first_on_lasso_path(gram, moment[:, group], max_players, len(halves))) for group in single]
    for group, support in fits:
        fixed_sum = None if total is None else total[group]
        values[:, group], spread = _solve(gram, moment[:, group], support, fixed_sum, ridge)
        variance = np.zeros_like(moment[:, group])
        for start, stop, u in _pieces(coalitions, len(halves)):
            reach = u @ spread
            freedom = 1 - weights[start:stop] * (reach * u).sum(axis=1)
            factor = weights[start:stop] / np.maximum(freedom, LEAST_FREEDOM)
            residual = (halves[start:stop, group] - u @ values[:, group]) * factor[:, None]
            variance += np.square(reach).T @ (shares[start:stop, None] * np.square(residual))
        variances[:, group] = variance
    chosen = len(fits[0][1]) < players and bool(shares.any())
    return values.T, None if chosen else np.sqrt(variances).T


def check_size(method: str, players: int) -> None:
    """Raise ParameterError if there are too many players to fit a regression in reasonable time."""
    if players > _MOST_PLAYERS:
        raise ParameterError(
            f"{method} takes at most {_MOST_PLAYERS} features. Got {players} instead. Use shapley_sampling, or group "
            "features."
        )


def with_complements(firsts: Callable[[int, int], Array]) -> Callable[[int, int], Array]:
    """A callable that returns both coalitions of each pair: the first in row 2 i, its complement in row 2 i + 1."""

    def rows(start: int, stop: int) -> Array:
        pairs = firsts(start // 2, -(-stop // 2))
        coalitions: Array = np.stack([pairs, ~pairs], axis=1).reshape(-1, pairs.shape[1])
        return coalitions[start % 2 : start % 2 + stop - start]

    return rows


def _pieces(coalitions: Callable[[int, int], Array], count: int) -> Iterator[tuple[int, int, Array]]:
    for start in range(0, count, _ROWS):
        stop = min(count, start + _ROWS)
        yield start, stop, coalitions(start, stop) - 0.5


def _solve(gram: Array, moment: Array, support: Array, total: Array | None, ridge: float) -> tuple[Array, Array]:
    """Values (P, T), and the map (P, P) from moments to values."""
    from scipy.linalg import helmert
    from sklearn.linear_model import Ridge

    basis = np.zeros((len(gram), len(support) - (total is not None)))
    offset = np.zeros_like(moment)
    if total is None:
        basis[support] = np.eye(len(support))
    else:
        # Equal shares plus any step that sums to zero.
        basis[support] = helmert(len(support)).T if len(support) > 1 else basis[support]
        offset[support] = total / len(support)
    if basis.shape[1] == 0:
        return offset, np.zeros_like(gram)
    scales, axes = np.linalg.eigh(basis.T @ gram @ basis)
    if ridge == 0 and scales[0] <= _RANK * scales[-1]:
        raise BudgetError(
            f"The coalitions that the budget allows do not determine {len(support)} features. Raise the budget, or use "
            "fewer features."
        )
    # A system with as many rows as unknowns and the normal equations of all pairs.
    roots = np.sqrt(np.maximum(scales, 0))
    target = (axes.T @ basis.T @ (moment - gram @ offset)) / np.maximum(roots, np.finfo(float).tiny)[:, None]
    fit = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(roots[:, None] * axes.T, target)
    steps = np.reshape(fit.coef_, (moment.shape[1], -1)).T
    spread = basis @ axes @ np.diag(1 / (np.maximum(scales, 0) + ridge)) @ axes.T @ basis.T
    return offset + basis @ steps, spread


def _first_on_lasso_path(gram: Array, moment: Array, max_players: int, pairs: int) -> Array:
    """The players at the last point of the Lasso's path (least angles) that has at most ``max_players`` of them."""
    from sklearn.linear_model import lars_path_gram

    _, _, path = lars_path_gram(Xy=moment[:, 0], Gram=gram, n_samples=pairs, method="lasso")
    counts = np.count_nonzero(path, axis=0)
    selected = path[:, np.flatnonzero(counts <= max_players)[-1]]
    # If the game is zero everywhere the path has no step, and any player will do.
    return np.flatnonzero(selected) if selected.any() else np.arange(1)
