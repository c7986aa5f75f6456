"""Shapley sampling: Shapley values from random orders in which the players join."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.permutations import MAX_ORTHOGONAL_PLAYERS, permutation_coalitions, permutations

from xaionnx.errors import ParameterError
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.enumeration import coalition_values, semivalue, shapley_weights
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import EvaluationCache, Evaluator, WithinBudget, completeness_gap, evaluate
from xaionnx.parameters import choice
from xaionnx.perturb.game import Game
from xaionnx.student import moderated, student
from xaionnx.typing import Array

# Contributions held at once.
_NUMBERS = 2**24
# With fewer draws the standard errors are too uncertain to stop the sampling.
_TRUSTED = 10
# Fewer orthogonal blocks give no standard error.
_FEWEST_BLOCKS = 5


@final
@dataclass(frozen=True, kw_only=True)
class ShapleySampling(WithinBudget, ByFeatures, GameExplainer):
    """Shapley values: the mean contribution of each player as it joins, over random orders::

        value_i = mean over orders of v(those before i, and i) - v(those before i)

    One order costs P - 1 evaluations. ``antithetic`` also uses each order reversed, which is exact if features interact
    at most in pairs; ``orthogonal`` in addition spreads the orders within blocks of 2 (P - 1); ``plain`` draws
    independent orders.

    If the budget reaches 2^P, all coalitions are evaluated and the values are exact.

    Players that are equal in the sample and in all baselines get exactly 0, and the budget is spent on the others
    (diagnostic ``null_players``).

    ``standard_error`` is the standard deviation of the pairs' means (``plain``: of the orders) divided by the square
    root of their number. A few draws may agree by chance, so a player's variance is never taken to be less than its
    mean with 5 draws of the players' mean variance. The orders of an orthogonal block depend on each other, so their
    error is that of the mean over blocks, and there is none for fewer than 5 of them. Diagnostics:
    ``completeness_gap``, the sum of the values minus f(x) - f(all removed), which is only rounding error; ``orders``,
    their number, 0 if none was drawn; ``stopped_by``: ``tolerance``, ``budget`` or ``enumeration``;
    ``no_standard_error``, why there is none.

    Notes
    -----
    When to use: Shapley values for any model, when there are too many players for ``kernel_shap`` or a plain mean of
    random orders is easier to defend.

    When not to use: Small budgets, because one order costs one evaluation per player; ``kernel_shap`` is usually more
    accurate for the same budget.

    References
    ----------
    Castro, Gomez and Tejada, Polynomial calculation of the Shapley value based on sampling, Computers & Operations
    Research 36(5), 2009, doi:10.1016/j.cor.2008.04.004; Mitchell, Cooper, Frank and Holmes, Sampling permutations for
    Shapley value estimation, JMLR 23(43), 2022, arXiv:2104.12199.

    Raises
    ------
    BudgetError
        The budget does not allow two pairs of orders (``plain``: two orders).
    ParameterError
        ``orthogonal`` with more than 1024 players.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.second_order())
    >>> result = xaionnx.explain(model, np.ones((1, 5), np.float32), ShapleySampling(budget=20))
    >>> result.values.round(3)
    array([[0.5, 1. , 2. , 0.5, 0. ]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity", "null player")
    reference: ClassVar[str] = "Castro et al. 2009, doi:10.1016/j.cor.2008.04.004"
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True

    scheme: str = choice("antithetic", ("antithetic", "orthogonal", "plain"), "how orders are drawn")

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        if self.scheme == "orthogonal" and players > MAX_ORTHOGONAL_PLAYERS:
            raise ParameterError(
                f"The 'scheme' parameter of ShapleySampling must be 'antithetic' or 'plain' for more than "
                f"{MAX_ORTHOGONAL_PLAYERS} features. Got 'orthogonal' for {players} instead."
            )
        orders = 1 if self.scheme == "plain" else 2  # of one block
        cost, possible = orders * (players - 1), 2**players - 2
        affordable = self.affordable(game, min(2 * cost, possible))
        # If the budget nearly covers all coalitions, many are drawn twice, so evaluations are cached.
        can_enumerate = affordable >= possible
        evaluator: Evaluator = EvaluationCache(game).values if can_enumerate else partial(evaluate, game)
        blocks = min(affordable, possible) // max(cost, 1)
        if can_enumerate and (self.tolerance is None or blocks < _TRUSTED):
            return self._enumerate(game, evaluator)
        means = np.empty((blocks, players, game.targets))
        done, settled = 0, self.settled(game)
        for count in self.stages(min(_TRUSTED, blocks), blocks):
            self._fill(means[done:count], game, evaluator, done, orders)
            done = count
            # Two players have a single pair of orders, which no block spreads.
            in_blocks = self.scheme == "orthogonal" and players > 2
            error = _standard_error_of_blocks(means[:done], players - 1) if in_blocks else _standard_error(means[:done])
            values = means[:done].mean(axis=0).T
            gap = completeness_gap(game, values)
            diagnostics = {"completeness_gap": gap, "orders": done * orders, "stopped_by": "budget"}
            if error is None:
                diagnostics["no_standard_error"] = (
                    f"the orders of a block depend on each other, and {done * orders} orders are fewer than "
                    f"{_FEWEST_BLOCKS} blocks of {2 * (players - 1)}"
                )
            if settled.add(GameResult(values, error, diagnostics)):
                return settled.result
        if can_enumerate:
            settled.add(self._enumerate(game, evaluator))
        return settled.result

    def _enumerate(self, game: Game, evaluator: Evaluator) -> GameResult:
        values = semivalue(coalition_values(game, evaluator), shapley_weights(game.players))
        gap = completeness_gap(game, values)
        return GameResult(
            values, np.zeros_like(values), {"completeness_gap": gap, "orders": 0, "stopped_by": "enumeration"}
        )

    def _fill(self, means: Array, game: Game, evaluator: Evaluator, first: int, orders: int) -> None:
        """The mean contributions in blocks of ``orders`` orders each from block ``first`` on, (n, P, T), in place."""
        piece = max(1, _NUMBERS // (orders * means[0].size))
        for start in range(0, len(means), piece):
            part = means[start : start + piece]
            gains = self._gains(game, evaluator, (first + start) * orders, (first + start + len(part)) * orders)
            part[:] = gains.reshape(-1, orders, *part.shape[1:]).mean(axis=1)

    def _gains(self, game: Game, evaluator: Evaluator, first: int, last: int) -> Array:
        """The contribution of each player in orders ``first`` to ``last``, (last - first, P, T)."""
        players = game.players
        orders = permutations(self.seed, first, last, players, self.scheme)  # type: ignore[arg-type]  # checked
        between = players - 1  # coalitions of an order that are neither empty nor full

        def codes(start: int, stop: int) -> Array:
            one, end = start // between, (stop - 1) // between
            begin, finish = start % between + 1, (end - one) * (players + 1) + (stop - 1) % between + 2
            rows = permutation_coalitions(orders[one : end + 1], begin, finish)
            present: Array = np.arange(begin, finish) % (players + 1)
            return rows[(present > 0) & (present < players)]

        values = np.empty((len(orders), players + 1, game.targets))
        values[:, 0], values[:, -1] = game.empty, game.full
        values[:, 1:-1] = evaluator(codes, 0, len(orders) * between).reshape(len(orders), between, game.targets)
        gains = np.empty((len(orders), players, game.targets))
        np.put_along_axis(gains, orders[:, :, None].astype(np.intp), np.diff(values, axis=1), axis=1)
        return gains


def _standard_error(means: Array) -> Array:
    """The standard error (T, P) of the mean of independent draws (n, P, T)."""
    count = len(means)
    variance = means.var(axis=0, ddof=1)
    # Over players that follow each other, so that the bits are the same for any number of targets.
    typical = np.ascontiguousarray(variance.T).mean(axis=1)
    error: Array = np.sqrt(moderated(variance, typical, count - 1) / count).T
    return error


def _standard_error_of_blocks(means: Array, size: int) -> Array | None:
    """The standard error (T, P) of the mean of draws (n, P, T) in independent blocks of ``size``; None for few blocks.

    The last block may be shorter; the variance is unbiased if that of a block's mean is in proportion to 1 / its size.
    """
    count, first = len(means), np.arange(0, len(means), size)
    shares = np.diff(np.append(first, count)) / count
    squared = float(np.square(shares).sum())
    # The number of equal blocks that weigh as these do.
    blocks = int(1 / squared + 1e-9)
    if blocks < _FEWEST_BLOCKS:
        return None
    sums = np.add.reduceat(means - means.mean(axis=0), first, axis=0)
    variance = np.square(sums / count).sum(axis=0) / (1 - squared)
    error: Array = student(blocks - 1) * np.sqrt(variance).T
    return error
