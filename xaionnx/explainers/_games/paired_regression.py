"""A linear surrogate of a game, fitted to pairs of a coalition and its complement.

With u = z - 1/2 for a coalition z, the two rows of a pair are +u and -u. A weighted least-squares fit with an intercept
(or with the efficiency constraint, which fixes it) therefore depends only on half the difference r = (v(z) - v(1 - z))
/ 2 of their values, and reduces to a regression through the origin::

    minimise over phi   sum over pairs of w (r - u . phi)^2   [subject to sum of phi = total]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.blas import one_blas_thread
from xaionnx.explainers._games.cost import fitting
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
    players = coalitions(0, 1).shape[1]
    gram, moment = np.zeros((players, players)), np.zeros((players, halves.shape[1]))
    for start, stop, u in _pieces(coalitions, len(halves)):
        weighed = u * weights[start:stop, None]
        gram += weighed.T @ u
        moment += weighed.T @ halves[start:stop]
    values, variances = np.empty((players, halves.shape[1])), np.empty((players, halves.shape[1]))
    # One fit serves all targets, unless each target selects its own players.
    fits = [(slice(None), np.arange(players))]
    if max_players is not None:
        single = [slice(t, t + 1) for t in range(halves.shape[1])]
        fits = [(group, _first_on_lasso_path(gram, moment[:, group], max_players, len(halves))) for group in single]
    for group, support in fits:
        fixed_sum = None if total is None else total[group]
        values[:, group], spread = _solve(gram, moment[:, group], support, fixed_sum, alpha)
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


def _solve(gram: Array, moment: Array, support: Array, total: Array | None, alpha: float) -> tuple[Array, Array]:
    """Values (P, T), and the map (P, P) from moments to values."""
    count, values = len(support), np.zeros_like(moment)
    inner, typical = gram[np.ix_(support, support)], 0.0
    if total is not None:
        # Equal shares plus any step that sums to zero.
        values[support] = total / count
        if count == 1:
            return values, np.zeros_like(gram)
    right = (moment - gram @ values)[support]
    if total is not None:
        inner -= inner.mean(axis=0)
        inner -= inner.mean(axis=1, keepdims=True)
        right -= right.mean(axis=0)
        # The direction of equal steps, which is none of these, gets a scale between theirs.
        typical = np.trace(inner) / (count - 1)
        inner += typical / count
    scales, axes = np.linalg.eigh(inner)
    if alpha == 0 and scales[0] <= _RANK * scales[-1]:
        raise BudgetError(
            f"The coalitions that the budget allows do not determine {count} features. Raise the budget, or use "
            "fewer features."
        )
    scales = np.maximum(scales, 0)
    steps, inverse = ridge(scales, axes, right, alpha), (axes / (scales + alpha)) @ axes.T
    if total is not None:
        steps -= steps.mean(axis=0)
        inverse -= 1 / (count * (typical + alpha))
    values[support] += steps
    spread = np.zeros_like(gram)
    spread[np.ix_(support, support)] = inverse
    return values, spread


def _first_on_lasso_path(gram: Array, moment: Array, max_players: int, pairs: int) -> Array:
    """The players at the last point of the Lasso's path (least angles) that has at most ``max_players`` of them."""
    from sklearn.linear_model import lars_path_gram

    _, _, path = lars_path_gram(Xy=moment[:, 0], Gram=gram, n_samples=pairs, method="lasso")
    counts = np.count_nonzero(path, axis=0)
    selected = path[:, np.flatnonzero(counts <= max_players)[-1]]
    # If the game is zero everywhere the path has no step, and any player will do.
    return np.flatnonzero(selected) if selected.any() else np.arange(1)
