"""A linear surrogate of a game, from pairs of a coalition and its complement.

With u = z - 1/2 for a coalition z, the two rows of a pair are +u and -u. A weighted least-squares fit with an
intercept (or with the efficiency constraint, which fixes it) therefore sees of their answers only half the difference
r = (v(z) - v(1 - z)) / 2, and what is left is a regression through the origin::

    minimise over phi   sum over pairs of w (r - u . phi)^2   [subject to sum of phi = total]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from xaionnx.errors import BudgetError, ParameterError
from xaionnx.typing import Array

_ROWS = 4096
# The regression keeps P^2 numbers and takes P^3 operations.
_MOST_PLAYERS = 1024
# An eigenvalue below this share of the largest is rounding: some players were always together.
_RANK = 1e-9
# A pair that alone decides a player has nothing to show its error by.
_LEAST_FREEDOM = 1e-6


# On matrices this small the threads of BLAS wait for each other.
@threadpool_limits.wrap(limits=1, user_api="blas")  # type: ignore[untyped-decorator]  # it carries no types
def regress(
    coalitions: Callable[[int, int], Array],
    halves: Array,
    weights: Array,
    drawn: Array,
    *,
    total: Array | None = None,
    ridge: float = 0.0,
    most: int | None = None,
) -> tuple[Array, Array]:
    """Fit the surrogate, and say how far another draw of the pairs would move it.

    Parameters
    ----------
    coalitions : callable
        Makes the first coalition of each of the pairs ``start`` to ``stop``, (n, P).
    halves : array (M, T)
        Half of what the coalition's answer is above its complement's.
    weights : array (M,)
        w of each pair.
    drawn : array (M,)
        The share of its variance that a pair has as a random draw: 1 with replacement, 1 - n/N as one of n out
        of N without, 0 where all of its kind are there.
    total : array (T,), optional
        What the players' values sum to.
    ridge : float
        Weight of the squared distance from equal shares, beside the weights of the pairs.
    most : int, optional
        Keep this many players, those that enter the Lasso's path first; the others get 0.

    Returns
    -------
    values, standard_errors : arrays (T, P)
        The error is the root of the sandwich (HC3) with the finite-population share ``drawn``: the residual of each
        pair over 1 less its leverage, through the linear map of the fit. It holds for the players that were kept.

    Raises
    ------
    BudgetError
        The pairs do not tell all players apart.
    """
    players = coalitions(0, 1).shape[1]
    gram, moment = np.zeros((players, players)), np.zeros((players, halves.shape[1]))
    for start, stop, u in _pieces(coalitions, len(halves)):
        weighed = u * weights[start:stop, None]
        gram += weighed.T @ u
        moment += weighed.T @ halves[start:stop]
    values, variances = np.empty((players, halves.shape[1])), np.empty((players, halves.shape[1]))
    # One fit serves all targets, unless each of them keeps players of its own.
    fits = [(slice(None), np.arange(players))]
    if most is not None and most < players:
        single = [slice(t, t + 1) for t in range(halves.shape[1])]
        fits = [(group, _first(gram, moment[:, group], most, len(halves))) for group in single]
    for group, kept in fits:
        values[:, group], spread = _solve(gram, moment[:, group], kept, None if total is None else total[group], ridge)
        variance = np.zeros_like(moment[:, group])
        for start, stop, u in _pieces(coalitions, len(halves)):
            reach = u @ spread
            freedom = 1 - weights[start:stop] * (reach * u).sum(axis=1)
            factor = weights[start:stop] / np.maximum(freedom, _LEAST_FREEDOM)
            residual = (halves[start:stop, group] - u @ values[:, group]) * factor[:, None]
            variance += np.square(reach).T @ (drawn[start:stop, None] * np.square(residual))
        variances[:, group] = variance
    return values.T, np.sqrt(variances).T


def check_size(method: str, players: int) -> None:
    """Raise ParameterError for more players than a regression can tell apart in reasonable time."""
    if players > _MOST_PLAYERS:
        raise ParameterError(
            f"{method} takes at most {_MOST_PLAYERS} features. Got {players} instead. Use shapley_sampling, or join "
            "features into groups."
        )


def both(firsts: Callable[[int, int], Array]) -> Callable[[int, int], Array]:
    """From what makes the first coalition of each pair, what makes both: row 2 i, and its complement, row 2 i + 1."""

    def rows(start: int, stop: int) -> Array:
        pairs = firsts(start // 2, -(-stop // 2))
        found: Array = np.stack([pairs, ~pairs], axis=1).reshape(-1, pairs.shape[1])
        return found[start % 2 : start % 2 + stop - start]

    return rows


def _pieces(coalitions: Callable[[int, int], Array], count: int) -> Iterator[tuple[int, int, Array]]:
    for start in range(0, count, _ROWS):
        stop = min(count, start + _ROWS)
        yield start, stop, coalitions(start, stop) - 0.5


def _solve(gram: Array, moment: Array, kept: Array, total: Array | None, ridge: float) -> tuple[Array, Array]:
    """Values (P, T), and the map (P, P) from a moment to values."""
    from scipy.linalg import helmert
    from sklearn.linear_model import Ridge

    basis = np.zeros((len(gram), len(kept) - (total is not None)))
    offset = np.zeros_like(moment)
    if total is None:
        basis[kept] = np.eye(len(kept))
    else:
        # Equal shares, and from them any step that sums to zero.
        basis[kept] = helmert(len(kept)).T if len(kept) > 1 else basis[kept]
        offset[kept] = total / len(kept)
    if basis.shape[1] == 0:
        return offset, np.zeros_like(gram)
    scales, axes = np.linalg.eigh(basis.T @ gram @ basis)
    if ridge == 0 and scales[0] <= _RANK * scales[-1]:
        raise BudgetError(
            f"The coalitions that the budget allows do not tell {len(kept)} features apart. Raise the budget, or take "
            "fewer features."
        )
    # As many rows as unknowns, with the same normal equations as all pairs together.
    roots = np.sqrt(np.maximum(scales, 0))
    target = (axes.T @ basis.T @ (moment - gram @ offset)) / np.maximum(roots, np.finfo(float).tiny)[:, None]
    fit = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(roots[:, None] * axes.T, target)
    steps = np.reshape(fit.coef_, (moment.shape[1], -1)).T
    spread = basis @ axes @ np.diag(1 / (np.maximum(scales, 0) + ridge)) @ axes.T @ basis.T
    return offset + basis @ steps, spread


def _first(gram: Array, moment: Array, most: int, pairs: int) -> Array:
    """The players of the last point on the Lasso's path (least angles) that has at most ``most`` of them."""
    from sklearn.linear_model import lars_path_gram

    _, _, path = lars_path_gram(Xy=moment[:, 0], Gram=gram, n_samples=pairs, method="lasso")
    counts = np.count_nonzero(path, axis=0)
    chosen = path[:, np.flatnonzero(counts <= most)[-1]]
    # On an all-zero game the path has no step: any player says as little as another.
    return np.flatnonzero(chosen) if chosen.any() else np.arange(1)
