"""A weighted linear surrogate of a game, fitted in pieces: memory is P x P for any number of coalitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import final

import numpy as np

from xaionnx.explainers._games.blas import COLUMNS, column_blocks, joined_columns, one_blas_thread
from xaionnx.explainers._games.cost import fitting
from xaionnx.explainers._games.feature_choice import forward, on_lasso_path
from xaionnx.explainers._games.ridge import ridge
from xaionnx.student import student
from xaionnx.typing import Array

# Entries of coalitions held at once.
_ENTRIES = 2**21
# If one row, or pair of rows, alone determines a coefficient, its residual says nothing about the error.
LEAST_FREEDOM = 1e-6


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of a surrogate, their standard errors, the intercept and the fit.

    Attributes
    ----------
    values : array (T, P)
    standard_error : array (T, P) or None
        None if the data chose which players have a coefficient: such a choice is not in a standard error.
    intercept, r2 : arrays (T,)
        ``r2`` is 0 if the outputs do not vary.
    """

    values: Array
    standard_error: Array | None
    intercept: Array
    r2: Array

    @classmethod
    def joined(cls, fits: Sequence[Fit]) -> Fit:
        """Return the fits of further targets one after the other."""
        errors = [one.standard_error for one in fits if one.standard_error is not None]
        return cls(
            np.concatenate([one.values for one in fits]),
            np.concatenate(errors) if errors else None,
            np.concatenate([one.intercept for one in fits]),
            np.concatenate([one.r2 for one in fits]),
        )


@final
@dataclass(frozen=True)
class Penalty:
    """What keeps the coefficients of a surrogate small, or few.

    Attributes
    ----------
    surrogate : str
        ``ridge`` or ``lasso``.
    alpha : float
    max_players : int, optional
        Keep only this many players, and refit them.
    choice : str
        How these are chosen, see `xaionnx.explainers._games.feature_choice`; ``weights`` are those with the largest
        coefficients.
    """

    surrogate: str
    alpha: float
    max_players: int | None = None
    choice: str = "forward"

    @property
    def is_joint(self) -> bool:
        """Whether one solution serves all targets."""
        return self.surrogate == "ridge" and self.max_players is None

    def chooses(self, players: int) -> bool:
        """Whether some players may be left without a coefficient."""
        return self.surrogate == "lasso" or (self.max_players is not None and self.max_players < players)


def fit(
    rows: Callable[[int, int], Array], weights: Array, outputs: Array, penalty: Penalty, *, random: bool = True
) -> Fit:
    """Fit ``outputs ~ intercept + rows . values`` with weights w and a penalty::

        ridge   minimise  sum of w (y - b0 - z b)^2 + alpha |b|^2
        lasso   minimise  sum of w (y - b0 - z b)^2 / (2 sum of w) + alpha |b|_1

    Parameters
    ----------
    rows : callable
        Makes the coalitions ``start`` to ``stop``, (m, P).
    weights : array (M,)
    outputs : array (M, T)
    penalty : Penalty
    random : bool
        Whether all rows but the first, which is known, are random. If not, the errors are 0.

    Returns
    -------
    Fit
        The standard errors describe how other rows would change the coefficients: the square root of the sandwich
        estimator about the mean score (a penalty keeps it from 0), with squared residuals divided by 1 minus their
        leverage (HC2). They are widened by Student's t, whose degrees of freedom are those of a sum of squares that
        weighs the rows as the coefficient does, times the share of a row that the fit leaves free, after Bell and
        McCaffrey 2002, Survey Methodology 28(2).
    """
    from sklearn import linear_model

    # On matrices this small the threads of BLAS wait for each other. The limit applies to libraries already loaded.
    players = rows(0, 1).shape[1]
    with one_blas_thread(), fitting(players, len(weights), 1 if penalty.is_joint else outputs.shape[1]):
        return _fit(linear_model, rows, weights, outputs, penalty, random=random)


def _fit(
    linear_model: ModuleType,  # of scikit-learn
    rows: Callable[[int, int], Array],
    weights: Array,
    outputs: Array,
    penalty: Penalty,
    *,
    random: bool,
) -> Fit:
    total, targets = weights.sum(), outputs.shape[1]
    players, columns = rows(0, 1).shape[1], column_blocks(outputs)
    middles = [weights @ block / total for block in columns]
    mean, gram = np.zeros(players), np.zeros((players, players))
    moments = [np.zeros((players, COLUMNS)) for _ in columns]
    for piece, z in _pieces(rows, len(weights), players):
        mean += weights[piece] @ z / total
    for piece, z in _pieces(rows, len(weights), players):
        weighed = (z - mean) * weights[piece, None]
        gram += weighed.T @ (z - mean)
        for moment, block, middle in zip(moments, columns, middles, strict=True):
            moment += weighed.T @ (block[piece] - middle)
    # One solution serves all targets, unless each selects its own players.
    groups = [range(targets)] if penalty.is_joint else [range(t, t + 1) for t in range(targets)]
    values, errors = np.zeros((players, targets)), np.zeros((players, targets))
    unexplained = np.zeros(targets)
    for group in groups:
        used = sorted({t // COLUMNS for t in group})
        some = [moments[number] for number in used]
        if not penalty.is_joint:
            some = [moment[:, [group[0] % COLUMNS]] for moment in some]
        solved, reach = _solve(linear_model, gram, some, total, penalty)
        sums = [_ScoreSums(*block.shape) for block in solved]
        left, weighing = [np.zeros(block.shape[1]) for block in solved], np.zeros((3, players))
        for piece, z in _pieces(rows, len(weights), players):
            z -= mean
            w = weights[piece, None]
            shifts = z @ reach
            freedom = np.maximum(1 - w * (1 / total + (shifts * z).sum(axis=1, keepdims=True)), LEAST_FREEDOM)
            scores = w * shifts
            scores[: 1 if piece.start == 0 else 0] = 0
            squares = scores**2
            weighing += [squares.sum(axis=0), (squares**2).sum(axis=0), (squares * freedom).sum(axis=0)]
            for k, number in enumerate(used):
                deviation = columns[number][piece] - middles[number]
                if not penalty.is_joint:
                    deviation = deviation[:, [group[0] % COLUMNS]]
                residual = deviation - z @ solved[k]
                left[k] += (w * residual**2).sum(axis=0)
                sums[k].add(scores, squares, residual / np.sqrt(freedom))
        which = slice(group.start, group.stop)
        values[:, which] = joined_columns(solved, len(group))
        variances = [one.variance(len(weights) - 1) for one in sums]
        widened = widened_by(*weighing)[:, None]
        errors[:, which] = widened * np.sqrt(joined_columns(variances, len(group))) * random
        unexplained[which] = joined_columns(left, len(group))
    middle = joined_columns(middles, targets)
    spread = joined_columns([weights @ (b - m) ** 2 for b, m in zip(columns, middles, strict=True)], targets)
    r2 = np.where(spread > 0, 1 - unexplained / np.where(spread > 0, spread, 1), 0.0)
    shift = joined_columns([mean @ block for block in column_blocks(values)], targets)
    chosen = random and penalty.chooses(players)
    return Fit(values.T, None if chosen else errors.T, middle - shift, r2)


@final
class _ScoreSums:
    """Sums of the scores of rows, by which each moves the coefficients (P, T), and of their squares."""

    def __init__(self, players: int, targets: int) -> None:
        self._sum, self._squares = np.zeros((players, targets)), np.zeros((players, targets))

    def add(self, scores: Array, squares: Array, residual: Array) -> None:
        """Add rows: their scores for a residual of 1 (m, P), the squares of these, and their residuals (m, T)."""
        self._sum += scores.T @ residual
        self._squares += squares.T @ residual**2

    def variance(self, count: int) -> Array:
        """The variance of the sum of ``count`` scores."""
        found = (self._squares - np.square(self._sum) / count) * (count / max(1, count - 1))
        return np.asarray(np.maximum(found, 0))


def widened_by(squares: Array, fourths: Array, free: Array) -> Array:
    """The factors (P,) of Student's t from sums over rows: a^2, a^4 and a^2 (1 - h) for scores a and leverages h.

    The degrees of freedom are those of a sum of squares that weighs the rows as a coefficient does, times the share of
    a row that the fit leaves free, after Bell and McCaffrey 2002, Survey Methodology 28(2).
    """
    degrees = np.where(fourths > 0, squares * free / np.where(fourths > 0, fourths, 1), 1.0)
    return np.array([student(int(each)) for each in degrees])


def _pieces(rows: Callable[[int, int], Array], count: int, players: int) -> Iterator[tuple[slice, Array]]:
    size = max(1, _ENTRIES // players)
    for start in range(0, count, size):
        stop = min(count, start + size)
        yield slice(start, stop), rows(start, stop).astype(np.float64)


def _solve(
    linear_model: ModuleType, gram: Array, moments: list[Array], total: float, penalty: Penalty
) -> tuple[list[Array], Array]:
    """Coefficients (P, T) of each block, and the map (P, P) from a moment to them while none changes sign."""
    alpha, max_players = penalty.alpha, penalty.max_players
    players = len(gram)
    support = np.arange(players)
    if max_players is not None and max_players < players and penalty.choice != "weights":
        moment = moments[0][:, 0]
        by_path = penalty.choice == "lasso_path"
        support = on_lasso_path(gram, moment, max_players, 1) if by_path else forward(gram, moment, max_players)
    while True:
        scales, axes = np.linalg.eigh(gram[np.ix_(support, support)])
        nonzero = scales > players * np.finfo(float).eps * max(scales[-1], np.finfo(float).tiny)
        if not nonzero.any():
            return [np.zeros_like(moment) for moment in moments], np.zeros_like(gram)
        if not nonzero.all():
            scales, axes = scales[nonzero], axes[:, nonzero]
        if penalty.surrogate == "ridge":
            coefficients = ridge(scales, axes, [moment[support] for moment in moments], alpha)
        else:
            # A system with as many rows as unknowns and the normal equations of all coalitions.
            roots = np.sqrt(scales)
            # scikit-learn divides by the number of rows, not by the sum of the weights.
            share = alpha * total / len(roots)
            lasso = linear_model.Lasso(alpha=share, fit_intercept=False, tol=1e-10, max_iter=100_000)
            fitted = lasso.fit(roots[:, None] * axes.T, axes.T @ moments[0][support] / roots[:, None]).coef_
            coefficients = [np.reshape(fitted, (-1, len(support))).T]
        if max_players is None or max_players >= len(support):
            break
        support = np.sort(np.argsort(-np.abs(coefficients[0][:, 0]), kind="stable")[:max_players])
    values, reach = [np.zeros_like(moment) for moment in moments], np.zeros_like(gram)
    for block, found in zip(values, coefficients, strict=True):
        block[support] = found
    if penalty.surrogate == "ridge":
        # A row has no share in the directions that no row has.
        reach[np.ix_(support, support)] = (axes / (scales + alpha)) @ axes.T
        return values, reach
    active = support[np.any(coefficients[0] != 0, axis=1)]
    reach[np.ix_(active, active)] = np.linalg.pinv(gram[np.ix_(active, active)], hermitian=True)
    return values, reach
