"""Interactions from sampled coalitions: a polynomial fitted to the game, and the index of what it leaves unexplained.

The polynomial g of the lowest ``order`` degrees minimises the weighted squares over the coalitions, as the faithful
indices do. Other indices are exact for g, and those of the rest v - g are estimated without bias, by size (SHAP-IQ)::

    I(S) = I_g(S) + sum over sizes t of C(P, t) mean over sampled T of size t of gamma(t, |T and S|) (v(T) - g(T))

The residuals of a pair are those from a fit without it, by the leverage of its two rows.
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
from xaionnx.explainers._games.local_surrogate import LEAST_FREEDOM
from xaionnx.explainers._games.paired_regression import with_complements
from xaionnx.explainers._games.sampling import evaluate
from xaionnx.explainers._games.uniform_pairs import uniform_pairs
from xaionnx.perturb.game import Game
from xaionnx.short_repr import short_repr
from xaionnx.student import student
from xaionnx.typing import Array

# Numbers of a design held at once.
_NUMBERS = 2**22
# An eigenvalue below this share of the largest is rounding error: some sets were always present together.
_RANK = 1e-10
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
    """

    firsts: Array
    outputs: Array
    weights: Array
    missing: Array
    scale: Array

    __repr__ = short_repr

    @property
    def players(self) -> int:
        """The number P of players."""
        return int(self.firsts.shape[1])

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
        yield _with_ends(game, firsts, outputs[numbers], (weights, weights[:1]), missing, 1 / np.maximum(taken, 1))


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
        yield _with_ends(game, firsts(0, pairs), outputs, weights, missing, each / (2 * pairs))


def _with_ends(
    game: Game, firsts: Array, outputs: Array, weights: tuple[Array, Array], missing: Array, scale: Array
) -> Sampled:
    """Sampled pairs with the empty and the full coalition as the first pair; ``weights`` are those of both."""
    scale[[0, -1]] = 1
    return Sampled(
        np.concatenate([np.zeros_like(firsts[:1]), firsts]),
        np.concatenate([[game.empty, game.full], outputs.reshape(-1, game.targets)]),
        np.concatenate([weights[1], weights[0]]),
        np.concatenate([[0.0], missing]),
        scale,
    )


def _paired(outputs: Array) -> Array:
    return outputs.reshape(-1, 2, outputs.shape[1])


@final
@dataclass(frozen=True, eq=False)
class Interactions:
    """An index of all sets of 1 to ``order`` players: arrays (T, C(P, s)) by size, and their standard errors."""

    values: list[Array]
    standard_error: list[Array]

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
        by_size = [np.split(numbers.T, ends, axis=1) for numbers in (fit.coefficients, fit.errors())]
        return Interactions(*by_size)
    coefficients, found, spread = fit.coefficients, [], []
    # Half of the pairs that the fit leaves free, as they weigh differently by size; HC3 is cautious enough by itself.
    widened = student((len(sampled.outputs) - fit.count) // 4)
    for sets in fit.sets:
        values = _index_of_polynomial(fit.sets, coefficients, sets, index, order)
        table = coalition_weights(index, sampled.players, order, sets.shape[1]) * sampled.scale[:, None]
        variance = np.zeros_like(values)
        for pairs, rows, coalitions in sampled.pieces(len(sets)):
            factors = table[coalitions.sum(axis=1)[:, None], members_present(coalitions, sets)]
            for t in range(values.shape[1]):
                each = (factors * fit.left_out[rows, t, None]).reshape(-1, 2, len(sets)).sum(axis=1)
                values[:, t] += each.sum(axis=0)
                variance[:, t] += sampled.missing[pairs] @ np.square(each)
        found.append(values.T)
        spread.append(widened * np.sqrt(variance).T)
    return Interactions(found, spread)


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
            pairs = design.reshape(-1, 2, design.shape[1])
            residual = (right - product(design, self._solution)).reshape(len(pairs), 2, -1)
            share = self._weights[rows][::2, None, None] * ((design @ self._inverse).reshape(pairs.shape) @ pairs.mT)
            share[self._sampled.missing[rows.start // 2 : rows.stop // 2] == 0] = 0
            # (1 - H)^-1 of two rows; the determinant is 0 if the pair alone determines a coefficient.
            (a, b), (c, d) = np.moveaxis(np.eye(2) - share, 0, -1)
            whole = np.maximum(a * d - b * c, LEAST_FREEDOM)
            freed = np.moveaxis(np.array([[d, -b], [-c, a]]), -1, 0) / whole[:, None, None]
            # Element by element, so that the bits are the same for any number of targets.
            both = freed[:, :, :1] * residual[:, :1] + freed[:, :, 1:] * residual[:, 1:]
            left[rows] = both.reshape(-1, left.shape[1])
        return left

    def errors(self) -> Array:
        """The standard error of each coefficient, (K, T): the sandwich estimator (HC3), with pairs as clusters."""
        variance = np.zeros((self.count, self._total.size))
        for rows, design, _ in self._design():
            reach = design @ self._inverse
            reach = (
                np.concatenate([reach, -reach.sum(axis=1, keepdims=True)], axis=1)
                if self._constrained
                else reach[:, :-1]
            )
            missing = self._sampled.missing[rows.start // 2 : rows.stop // 2]
            for t in range(variance.shape[1]):
                each = reach * (self._weights[rows] * self.left_out[rows, t])[:, None]
                variance[:, t] += missing @ np.square(each.reshape(-1, 2, self.count).sum(axis=1))
        return np.sqrt(variance)
