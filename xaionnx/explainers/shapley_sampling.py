"""Shapley sampling: Shapley values from random orders in which the players join."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.permutations import MAX_ORTHOGONAL_PLAYERS, permutation_coalitions, permutations

from xaionnx.errors import ParameterError
from xaionnx.explainers._games.enumeration import every_value, semivalue, shapley_weights
from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.sampling import Answering, Asked, WithinBudget, completeness_gap, evaluate
from xaionnx.parameters import choice
from xaionnx.perturb.game import Game
from xaionnx.typing import Array

# From fewer, the standard errors are too uncertain themselves to end the sampling.
_TRUSTED = 10
# How many draws the players' mean variance counts for, against one that is small by chance.
_PRIOR = 5


@final
@dataclass(frozen=True, kw_only=True)
class ShapleySampling(WithinBudget, ByFeatures, GameExplainer):
    """What each player adds when it joins, averaged over random orders::

        value_i = mean over orders of v(those before i, and i) - v(those before i)

    One order costs P - 1 evaluations. ``antithetic`` takes each order reversed too, which is exact where features
    interact in pairs at most; ``orthogonal`` besides spreads the orders of a block of 2 (P - 1); ``plain`` draws each
    order by itself.

    Where the budget reaches 2^P there is nothing to draw: all coalitions are asked, and the values are exact.

    ``standard_error`` is the standard deviation of the pairs' means (``plain``: of the orders) over the root of their
    number. A few draws may agree by chance, so no player's variance is taken to be below that of a sample in which
    5 draws of the players' mean variance came on top. The pairs of an orthogonal block repel each other, so there it is
    rather too large. Diagnostics: ``completeness_gap``, the sum of the values less f(x) - f(all removed), which is
    rounding alone; ``orders``, the number of them, 0 where none was drawn; ``stopped_by`` ``tolerance``, ``budget`` or
    ``enumeration``.

    Notes
    -----
    When to use: Shapley values for any model, when there are too many players for ``kernel_shap`` or a plain mean of
    random orders is easier to defend.

    When not to use: Small budgets, because one order costs an evaluation a player; ``kernel_shap`` is usually more
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

    scheme: str = choice("antithetic", ("antithetic", "orthogonal", "plain"), "how orders are drawn")

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        if self.scheme == "orthogonal" and players > MAX_ORTHOGONAL_PLAYERS:
            raise ParameterError(
                f"The 'scheme' parameter of ShapleySampling must be 'antithetic' or 'plain' for more than "
                f"{MAX_ORTHOGONAL_PLAYERS} features. Got 'orthogonal' for {players} instead."
            )
        orders = 1 if self.scheme == "plain" else 2  # of one block
        cost, every = orders * (players - 1), 2**players - 2
        room = self.room(game, min(2 * cost, every))
        # Within reach of all coalitions many come twice, and in the end all of them are asked.
        whole = room >= every
        answer: Answering = Asked(game).values if whole else partial(evaluate, game)
        blocks = min(room, every) // max(cost, 1)
        if whole and (self.tolerance is None or blocks < _TRUSTED):
            return self._enumerated(game, answer)
        means = np.empty((blocks, players, game.targets))
        asked = 0
        for count in self.stages(min(_TRUSTED, blocks), blocks):
            gains = self._gains(game, answer, asked * orders, count * orders)
            means[asked:count] = gains.reshape(-1, orders, players, game.targets).mean(axis=1)
            asked = count
            error = _error(means[:asked])
            if self.sure(game, error):
                break
        else:
            if whole:
                return self._enumerated(game, answer)
        values = means[:asked].mean(axis=0).T
        diagnostics = {
            "completeness_gap": completeness_gap(game, values),
            "orders": asked * orders,
            "stopped_by": self.ending(game, error),
        }
        return GameResult(values, error, diagnostics)

    def _enumerated(self, game: Game, answer: Answering) -> GameResult:
        values = semivalue(every_value(game, answer), shapley_weights(game.players))
        gap = completeness_gap(game, values)
        return GameResult(
            values, np.zeros_like(values), {"completeness_gap": gap, "orders": 0, "stopped_by": "enumeration"}
        )

    def _gains(self, game: Game, answer: Answering, first: int, last: int) -> Array:
        """What each player adds in orders ``first`` to ``last``, (last - first, P, T)."""
        players = game.players
        drawn = permutations(self.seed, first, last, players, self.scheme)  # type: ignore[arg-type]  # checked
        inner = players - 1  # coalitions of an order that are neither empty nor full

        def codes(start: int, stop: int) -> Array:
            one, end = start // inner, (stop - 1) // inner
            begin, finish = start % inner + 1, (end - one) * (players + 1) + (stop - 1) % inner + 2
            rows = permutation_coalitions(drawn[one : end + 1], begin, finish)
            joined: Array = np.arange(begin, finish) % (players + 1)
            return rows[(joined > 0) & (joined < players)]

        values = np.empty((len(drawn), players + 1, game.targets))
        values[:, 0], values[:, -1] = game.empty, game.full
        values[:, 1:-1] = answer(codes, 0, len(drawn) * inner).reshape(len(drawn), inner, game.targets)
        gains = np.empty((len(drawn), players, game.targets))
        np.put_along_axis(gains, drawn[:, :, None].astype(np.intp), np.diff(values, axis=1), axis=1)
        return gains


def _error(means: Array) -> Array:
    """The standard error (T, P) of the mean of independent blocks (n, P, T)."""
    count = len(means)
    own = means.var(axis=0, ddof=1)
    among_all = (own * (count - 1) + own.mean(axis=0) * _PRIOR) / (count - 1 + _PRIOR)
    error: Array = np.sqrt(np.maximum(own, among_all) / count).T
    return error
