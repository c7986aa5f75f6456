"""Interactions from sampled coalitions: a polynomial fitted to the game, and the index of what it leaves unexplained.

The polynomial g of the lowest ``order`` degrees minimises the weighted squares over the coalitions, as the faithful
indices do. Other indices are exact for g, and those of the rest v - g are estimated without bias, by size (SHAP-IQ)::

    I(S) = I_g(S) + sum over sizes t of C(P, t) mean over sampled T of size t of gamma(t, |T and S|) (v(T) - g(T))

The residuals of a pair are those from a fit without it, by the leverage of its two rows. Few coalitions carry most of
what a small set gets: the variance of a set's sum is shrunk to the mean over sets of its size, and widened by Student's
t for the number of pairs that carry it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from typing import Final, final

import numpy as np
from xaionnx_kernels.coalitions import kernel_shap_plan
from xaionnx_kernels.interactions import members_present, products, subsets

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.blas import one_blas_thread, product
from xaionnx.explainers._games.interaction_indices import INDICES, coalition_weights
from xaionnx.explainers._games.kernel_shap_pairs import KernelShapPairs
from xaionnx.explainers._games.local_surrogate import LEAST_FREEDOM, widened_by
from xaionnx.explainers._games.paired_regression import with_complements
from xaionnx.explainers._games.sampling import evaluate
from xaionnx.explainers._games.size_means import about_size_means, imbalance, sums_by_size
from xaionnx.explainers._games.uniform_pairs import uniform_pairs
from xaionnx.perturb.game import Game
from xaionnx.short_repr import short_repr
from xaionnx.student import moderated
from xaionnx.typing import Array

# Numbers of a design held at once.
_NUMBERS = 2**22
# An eigenvalue below this share of the largest is rounding error: some sets were always present together.
_RANK = 1e-10
# If fewer pairs carry the sum of a set, their squares do not show how much it varies.
_FEWEST: Final = 4
FAITHFUL: Final = ("fsii", "fbii")
"""The indices that are the coefficients of the polynomial itself."""


@final
@dataclass(frozen=True, eq=False)
class Sampled:
    """Sampled coalitions in pairs with their complements, and the values of the game.

    Attributes
    ----------
    firsts : array of bool (M, P)
        The first coalition of each pair; that of pair 0 is empty.
    outputs : array (2 M, T)
        The values of each coalition and its complement, in turn.
    weights : array (M,)
        The weights of the pairs in the fit.
    missing : array (M,)
        The finite-population share of each pair's variance.
    scale : array (P + 1,)
        By size: the number of coalitions that a sampled one stands for, over C(P, size).
    by_size : bool
        Whether so many coalitions of each size were drawn, every player as often as the others.
    """

    firsts: Array
    outputs: Array
    weights: Array
    missing: Array
    scale: Array
    by_size: bool

    __repr__ = short_repr

    @property
    def players(self) -> int:
        """The number P of players."""
        return int(self.firsts.shape[1])

    @property
    def sizes(self) -> Array:
        """The size of each coalition, (2 M,)."""
        sizes = self.firsts.sum(axis=1)
        return np.stack([sizes, self.players - sizes], axis=1).ravel()

    def about_size_means(self, residuals: Array) -> tuple[Array, Array]:
        """Residuals (2 M, T) minus their mean at each size, and the means (P + 1, T); of uniform draws they are 0."""
        drawn = np.repeat(self.missing > 0, 2) & self.by_size
        return about_size_means(residuals, self.sizes, drawn, self.players)

    def pieces(self, columns: int) -> Iterator[tuple[slice, slice, Array]]:
        """Pairs, rows and coalitions, of which a design of ``columns`` is small enough to hold."""
        size = max(1, _NUMBERS // (2 * columns))
        for start in range(0, len(self.firsts), size):
            stop = min(len(self.firsts), start + size)
            firsts = self.firsts[start:stop]
            rows = np.stack([firsts, ~firsts], axis=1).reshape(-1, self.players)
            yield slice(start, stop), slice(2 * start, 2 * stop), rows


def drawn_by_size(game: Game, seed: int, most: int, order: int, stages: Iterable[int]) -> Iterator[Sampled]:
    """Coalitions as KernelSHAP draws them, at most ``most``, at each stage; sizes below ``order`` come whole."""
    pairs = KernelShapPairs(kernel_shap_plan(game.players, most, order - 1), seed, order - 1)
    outputs = np.empty((pairs.count, 2, game.targets))
    numbers = np.empty(0, dtype=np.intp)
    for count in stages:
        before, (numbers, weights, missing) = numbers, pairs.design(count)
        new = np.setdiff1d(numbers, before)
        outputs[new] = _paired(evaluate(game, with_complements(partial(pairs.firsts, new)), 0, 2 * len(new)))
        firsts = pairs.firsts(numbers, 0, len(numbers))
        sizes = firsts.sum(axis=1)
        taken = np.bincount(np.concatenate([sizes, game.players - sizes]), minlength=game.players + 1)
        scale = 1 / np.maximum(taken, 1)
        yield _with_ends(game, firsts, outputs[numbers], (weights, weights[:1]), missing, (scale, True))


def drawn_uniformly(game: Game, seed: int, stages: Iterable[int]) -> Iterator[Sampled]:
    """Uniformly drawn coalitions at each of the stages."""
    players, possible = game.players, 2**game.players - 2
    every = uniform_pairs(seed, players)

    def firsts(start: int, stop: int) -> Array:
        return every(start + 1, stop + 1)  # pair 0 holds the empty coalition

    outputs = np.empty((0, 2, game.targets))
    each = np.array([possible / math.comb(players, size) for size in range(players + 1)])
    for count in stages:
        new = evaluate(game, with_complements(firsts), 2 * len(outputs), count)
        outputs = np.concatenate([outputs, _paired(new)])
        pairs, missing = len(outputs), np.full(len(outputs), 1 - count / possible)
        weights = np.ones(pairs), np.array([2 * pairs / possible])
        yield _with_ends(game, firsts(0, pairs), outputs, weights, missing, (each / (2 * pairs), False))


def _with_ends(
    game: Game,
    firsts: Array,
    outputs: Array,
    weights: tuple[Array, Array],
    missing: Array,
    design: tuple[Array, bool],
) -> Sampled:
    """Sampled pairs with the empty and the full coalition as the first pair; ``weights`` are those of both."""
    scale, by_size = design
    scale[[0, -1]] = 1
    return Sampled(
        np.concatenate([np.zeros_like(firsts[:1]), firsts]),
        np.concatenate([[game.empty, game.full], outputs.reshape(-1, game.targets)]),
        np.concatenate([weights[1], weights[0]]),
        np.concatenate([[0.0], missing]),
        scale,
        by_size,
    )


def _paired(outputs: Array) -> Array:
    return outputs.reshape(-1, 2, outputs.shape[1])


@final
@dataclass(frozen=True, eq=False)
class Interactions:
    """An index of all sets of 1 to ``order`` players: arrays (T, C(P, s)) by size, and their standard errors.

    The errors of the sets of a size are None if fewer than 4 of the pairs that were drawn carry the value of a set.
    """

    values: list[Array]
    standard_error: list[Array | None]

    __repr__ = short_repr


@one_blas_thread()
def sampled_interactions(sampled: Sampled, index: str, order: int) -> Interactions:
    """An index of all sets of 1 to ``order`` players.

    Raises
    ------
    BudgetError
        The coalitions do not determine the polynomial.
    """
    fit = _Fit(sampled, order, constrained=index not in ("bii", "fbii"))
    if index in FAITHFUL:
        ends = np.cumsum([len(sets) for sets in fit.sets])[:-1]
        return Interactions(np.split(fit.coefficients.T, ends, axis=1), [*np.split(fit.errors().T, ends, axis=1)])
    coefficients, found, errors = fit.coefficients, [], []
    centred, means = sampled.about_size_means(fit.left_out)
    for sets in fit.sets:
        table = coalition_weights(index, sampled.players, order, sets.shape[1]) * sampled.scale[:, None]
        values = _index_of_polynomial(fit.sets, coefficients, sets, index, order)
        variance = np.zeros_like(values)
        carried, sums = np.zeros((2, len(sets))), np.zeros((sampled.players + 1, len(sets)))
        for pairs, rows, coalitions in sampled.pieces(len(sets)):
            sizes = sampled.sizes[rows]
            factors = table[sizes[:, None], members_present(coalitions, sets)]
            sums += sums_by_size(factors, sizes, sampled.players)
            squares = sampled.missing[pairs, None] * np.square(factors).reshape(-1, 2, len(sets)).sum(axis=1)
            carried += [squares.sum(axis=0), np.square(squares).sum(axis=0)]
            for t in range(values.shape[1]):
                values[:, t] += _by_pair(factors, fit.left_out[rows, t]).sum(axis=0)
                variance[:, t] += sampled.missing[pairs] @ np.square(_by_pair(factors, centred[rows, t]))
        found.append(values.T)
        unbalanced = imbalance(means, sums - _expected_sums(table, sampled))
        errors.append(_errors(variance, carried.mean(axis=1), unbalanced))
    return Interactions(found, errors)


def _by_pair(factors: Array, residuals: Array) -> Array:
    """The part (M, K) of each pair in the sums of factors (2 M, K) times residuals (2 M,)."""
    each: Array = (factors * residuals[:, None]).reshape(-1, 2, factors.shape[1]).sum(axis=1)
    return each


def _expected_sums(table: Array, sampled: Sampled) -> Array:
    """The sums of the factors of sets over the coalitions of each size, as the mean over all draws: (P + 1, 1)."""
    players, s = sampled.players, table.shape[1] - 1
    counts = np.bincount(sampled.sizes, minlength=players + 1)
    shares = [
        [math.comb(s, j) * math.comb(players - s, t - j) if t >= j else 0 for j in range(s + 1)]
        for t in range(players + 1)
    ]
    means = [sum(own[j] * table[t, j] for j in range(s + 1)) / math.comb(players, t) for t, own in enumerate(shares)]
    sums: Array = (counts * means)[:, None]
    return sums


def _errors(variance: Array, carried: Array, unbalanced: Array) -> Array | None:
    """The standard errors (T, K) of the sets of one size from variances (K, T); None if too few pairs carry them.

    ``carried`` are the means over sets of the sums over pairs of a^2 and a^4, for the factors a of the pairs.
    """
    squares, fourths = carried.tolist()
    if fourths == 0:
        return np.zeros_like(variance.T)
    pairs = squares**2 / fourths
    if pairs < _FEWEST:
        return None
    # Over sets that follow each other, so that the bits are the same for any number of targets.
    own = np.ascontiguousarray(variance.T)
    return np.asarray(np.sqrt(moderated(own, own.mean(axis=1, keepdims=True), pairs) + unbalanced.T))


def _index_of_polynomial(every: list[Array], coefficients: Array, sets: Array, index: str, order: int) -> Array:
    """The index of the sets of one size for the polynomial whose dividends are the coefficients: (K, T)."""
    s, start = sets.shape[1], 0
    found = np.zeros((len(sets), coefficients.shape[1]))
    number = {tuple(each): k for k, each in enumerate(sets.tolist())}
    for larger in every:
        u = larger.shape[1]
        part = coefficients[start : start + len(larger)]
        start += len(larger)
        weight = float(INDICES[index](s, u, order)) if u >= s else 0.0
        if weight:
            for chosen in combinations(range(u), s):
                rows = [number[tuple(each)] for each in larger[:, chosen].tolist()]
                np.add.at(found, rows, weight * part)
    return found


@final
class _Fit:
    """The weighted least-squares polynomial; a ``constrained`` one is exact at the empty and at the full coalition."""

    def __init__(self, sampled: Sampled, order: int, *, constrained: bool) -> None:
        self.sets = subsets(sampled.players, order)
        self._sampled = sampled
        self._constrained = constrained
        self._weights = np.repeat(sampled.weights, 2)
        self._start = sampled.outputs[0] if constrained else np.zeros(sampled.outputs.shape[1])
        self._total = sampled.outputs[1] - sampled.outputs[0]
        # A constraint fixes the coefficient of the last set; else there is an intercept.
        self.count = sum(map(len, self.sets))
        columns = self.count + (-1 if constrained else 1)
        gram, moment = np.zeros((columns, columns)), np.zeros((columns, sampled.outputs.shape[1]))
        for rows, design, right in self._design():
            weighed = design * self._weights[rows, None]
            gram += weighed.T @ design
            moment += product(weighed.T, right)
        scales, axes = np.linalg.eigh(gram)
        if scales[0] <= _RANK * scales[-1]:
            raise BudgetError(
                f"The coalitions that the budget allows do not determine the {self.count:,} interactions of "
                f"{sampled.players} features. Raise the budget, or use fewer features."
            )
        self._inverse = (axes / scales) @ axes.T
        self._solution = product(self._inverse, moment)

    @property
    def coefficients(self) -> Array:
        """The coefficient of each set, (K, T)."""
        if not self._constrained:
            return np.asarray(self._solution[:-1])
        # Over sets that follow each other, so that the bits are the same for any number of targets.
        fitted = np.ascontiguousarray(self._solution.T).sum(axis=1)
        return np.concatenate([self._solution, (self._total - fitted)[None]])

    def _design(self) -> Iterator[tuple[slice, Array, Array]]:
        """Rows of the design, and what it has to add up to."""
        for _, rows, coalitions in self._sampled.pieces(self.count):
            design = np.concatenate([products(coalitions, sets) for sets in self.sets], axis=1)
            right = self._sampled.outputs[rows] - self._start
            if self._constrained:
                last = design[:, -1:]
                yield rows, design[:, :-1] - last, right - last * self._total
            else:
                yield rows, np.concatenate([design, np.ones((len(design), 1))], axis=1), right

    @cached_property
    def left_out(self) -> Array:
        """The residuals (2 M, T) of each pair from the fit to the other pairs; of known ones those of the whole fit."""
        left = np.empty_like(self._sampled.outputs)
        for rows, design, right in self._design():
            residual = right - product(design, self._solution)
            left[rows] = _times(_inverse(self._freedom(rows, design)), residual)
        return left

    def _freedom(self, rows: slice, design: Array) -> Array:
        """I - H of the two rows of each pair, (m, 2, 2), for the leverages H; of known pairs I."""
        pairs = design.reshape(-1, 2, design.shape[1])
        share = self._weights[rows][::2, None, None] * ((design @ self._inverse).reshape(pairs.shape) @ pairs.mT)
        share[self._sampled.missing[rows.start // 2 : rows.stop // 2] == 0] = 0
        freedom: Array = np.eye(2) - share
        return freedom

    def errors(self) -> Array:
        """The standard error of each coefficient, (K, T): the sandwich estimator (CR2), with pairs as clusters."""
        sampled = self._sampled
        residuals = np.empty_like(sampled.outputs)
        for rows, design, right in self._design():
            residuals[rows] = right - product(design, self._solution)
        residuals, means = sampled.about_size_means(residuals)
        variance, weighing = np.zeros((self.count, self._total.size)), np.zeros((3, self.count))
        shifts = -self._expected_sums()
        for rows, design, _ in self._design():
            scores = self._full(design @ self._inverse) * self._weights[rows, None]
            shifts += sums_by_size(scores, sampled.sizes[rows], sampled.players)
            freedom = self._freedom(rows, design)
            missing = sampled.missing[rows.start // 2 : rows.stop // 2]
            squares = np.square(scores).reshape(-1, 2, self.count)
            free = (squares * np.stack([freedom[:, 0, 0], freedom[:, 1, 1]], axis=1)[:, :, None]).sum(axis=1)
            both = missing[:, None] * squares.sum(axis=1)
            weighing += [both.sum(axis=0), np.square(both).sum(axis=0), missing @ free]
            freed = _times(_inverse_root(freedom), residuals[rows])
            for t in range(variance.shape[1]):
                variance[:, t] += missing @ np.square(_by_pair(scores, freed[:, t]))
        return np.asarray(np.sqrt(np.square(widened_by(*weighing))[:, None] * variance + imbalance(means, shifts)))

    def _full(self, reach: Array) -> Array:
        """What rows add to all coefficients, from what they add to those that are solved for."""
        if not self._constrained:
            return reach[:, :-1]
        return np.concatenate([reach, -reach.sum(axis=1, keepdims=True)], axis=1)

    def _expected_sums(self) -> Array:
        """The sums of the scores over the coalitions of each size, as the mean over all draws: (P + 1, K)."""
        sampled, players = self._sampled, self._sampled.players
        if not sampled.by_size:
            return np.zeros((players + 1, self.count))
        shares = np.array(
            [
                [math.comb(players - s, t - s) / math.comb(players, t) if t >= s else 0.0 for t in range(players + 1)]
                for s in range(1, len(self.sets) + 1)
            ]
        )
        designs = np.repeat(shares, [len(sets) for sets in self.sets], axis=0).T
        weights = np.bincount(sampled.sizes, self._weights, players + 1)
        return np.asarray(self._full((designs[:, :-1] - designs[:, -1:]) @ self._inverse) * weights[:, None])


def _times(matrices: Array, residuals: Array) -> Array:
    """Matrices (m, 2, 2) times the residuals (2 m, T) of each pair."""
    pairs = residuals.reshape(len(matrices), 2, -1)
    # Element by element, so that the bits are the same for any number of targets.
    both: Array = matrices[:, :, :1] * pairs[:, :1] + matrices[:, :, 1:] * pairs[:, 1:]
    return both.reshape(residuals.shape)


def _inverse(matrices: Array) -> Array:
    """The inverses of symmetric matrices (m, 2, 2); the determinant is 0 if the pair alone determines a coefficient."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    whole = np.maximum(a * d - b * c, LEAST_FREEDOM)
    freed: Array = np.moveaxis(np.array([[d, -b], [-c, a]]), -1, 0) / whole[:, None, None]
    return freed


def _inverse_root(matrices: Array) -> Array:
    """The inverse square roots of symmetric matrices (m, 2, 2), by the theorem of Cayley and Hamilton."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    root = np.sqrt(np.maximum(a * d - b * c, LEAST_FREEDOM))
    whole = root * np.sqrt(np.maximum(a + d, 0) + 2 * root)
    freed: Array = np.moveaxis(np.array([[d + root, -b], [-c, a + root]]), -1, 0) / whole[:, None, None]
    return freed
