"""A weighted linear surrogate of a game, fitted in pieces: whatever the number of coalitions, memory is P x P."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xaionnx.explainers._games.blas import one_blas_thread
from xaionnx.typing import Array

# Entries of coalitions that exist at a time.
_ENTRIES = 2**21
# A row that alone decides a coefficient has nothing to show its error by.
_LEAST_FREEDOM = 1e-6


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients and what goes with them, each (T, ...).

    Attributes
    ----------
    values, standard_error : arrays (T, P)
    intercept, r2 : arrays (T,)
        ``r2`` is 0 where the answers do not vary.
    """

    values: Array
    standard_error: Array
    intercept: Array
    r2: Array


@final
@dataclass(frozen=True)
class _Penalty:
    surrogate: str
    alpha: float
    most: int | None


def fit(
    rows: Callable[[int, int], Array],
    weights: Array,
    answers: Array,
    *,
    surrogate: str,
    alpha: float,
    most: int | None = None,
    drawn: bool = True,
) -> Fit:
    """Fit ``answers ~ intercept + rows . values`` with weights w and a penalty::

        ridge   minimise  sum of w (y - b0 - z b)^2 + alpha |b|^2
        lasso   minimise  sum of w (y - b0 - z b)^2 / (2 sum of w) + alpha |b|_1

    Parameters
    ----------
    rows : callable
        Makes the coalitions ``start`` to ``stop``, (m, P).
    weights : array (M,)
    answers : array (M, T)
    surrogate : str
    alpha : float
    most : int, optional
        Keep this many players, those with the largest coefficients, and fit those again.
    drawn : bool
        Whether the rows are random. The error of those that are not is 0.

    Returns
    -------
    Fit
        Its errors say how far other rows would move the coefficients: the root of the sandwich (HC3), the residual of
        each row over 1 less its leverage, for the players with a coefficient.
    """
    from sklearn import linear_model

    # On matrices this small the threads of BLAS wait for each other. The limit reaches what is loaded already.
    with one_blas_thread():
        return _fitted(linear_model, rows, weights, answers, _Penalty(surrogate, alpha, most), drawn=drawn)


def _fitted(
    linear_model: Any,  # scikit-learn carries no types
    rows: Callable[[int, int], Array],
    weights: Array,
    answers: Array,
    penalty: _Penalty,
    *,
    drawn: bool,
) -> Fit:
    total = weights.sum()
    middle = weights @ answers / total
    players = rows(0, 1).shape[1]
    mean, gram = np.zeros(players), np.zeros((players, players))
    moment = np.zeros((players, answers.shape[1]))
    for piece, z in _pieces(rows, len(weights), players):
        mean += weights[piece] @ z / total
    for piece, z in _pieces(rows, len(weights), players):
        weighed = (z - mean) * weights[piece, None]
        gram += weighed.T @ (z - mean)
        moment += weighed.T @ (answers[piece] - middle)
    values, errors = np.zeros_like(moment), np.zeros_like(moment)
    left, spread = np.zeros(len(middle)), weights @ (answers - middle) ** 2
    together = penalty.surrogate == "ridge" and penalty.most is None
    for group in [slice(None)] if together else [slice(t, t + 1) for t in range(len(middle))]:
        values[:, group], reach = _solve(linear_model, gram, moment[:, group], total, penalty)
        variance = np.zeros_like(values[:, group])
        for piece, z in _pieces(rows, len(weights), players):
            z -= mean
            w = weights[piece, None]
            residual = answers[piece, group] - middle[group] - z @ values[:, group]
            left[group] += (w * residual**2).sum(axis=0)
            moved = z @ reach
            freedom = 1 - w * (1 / total + (moved * z).sum(axis=1, keepdims=True))
            variance += (moved**2).T @ (w * residual / np.maximum(freedom, _LEAST_FREEDOM)) ** 2
        errors[:, group] = np.sqrt(variance) * drawn
    r2 = np.where(spread > 0, 1 - left / np.where(spread > 0, spread, 1), 0.0)
    return Fit(values.T, errors.T, middle - mean @ values, r2)


def _pieces(rows: Callable[[int, int], Array], count: int, players: int) -> Iterator[tuple[slice, Array]]:
    size = max(1, _ENTRIES // players)
    for start in range(0, count, size):
        stop = min(count, start + size)
        yield slice(start, stop), rows(start, stop).astype(np.float64)


def _solve(linear_model: Any, gram: Array, moment: Array, total: float, penalty: _Penalty) -> tuple[Array, Array]:
    """Coefficients (P, T), and the map (P, P) from a moment to them where none changes sign."""
    alpha, most = penalty.alpha, penalty.most
    players = len(gram)
    kept = np.arange(players)
    while True:
        # As many rows as unknowns, with the same normal equations as all coalitions together.
        scales, axes = np.linalg.eigh(gram[np.ix_(kept, kept)])
        known = scales > players * np.finfo(float).eps * max(scales[-1], np.finfo(float).tiny)
        roots, axes = np.sqrt(scales[known]), axes[:, known]
        table, target = roots[:, None] * axes.T, axes.T @ moment[kept] / roots[:, None]
        if not known.any():
            return np.zeros_like(moment), np.zeros_like(gram)
        if penalty.surrogate == "ridge":
            found = linear_model.Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(table, target).coef_
        else:
            # scikit-learn divides by the number of rows, and by no weights.
            share = alpha * total / len(table)
            lasso = linear_model.Lasso(alpha=share, fit_intercept=False, tol=1e-10, max_iter=100_000)
            found = lasso.fit(table, target).coef_
        found = np.reshape(found, (-1, len(kept))).T
        if most is None or most >= len(kept):
            break
        kept = np.sort(np.argsort(-np.abs(found[:, 0]), kind="stable")[:most])
    values, reach = np.zeros_like(moment), np.zeros_like(gram)
    values[kept] = found
    active = kept[np.any(found != 0, axis=1)] if penalty.surrogate == "lasso" else kept
    shrinkage = alpha * np.eye(len(active)) if penalty.surrogate == "ridge" else 0.0
    reach[np.ix_(active, active)] = np.linalg.pinv(gram[np.ix_(active, active)] + shrinkage, hermitian=True)
    return values, reach
