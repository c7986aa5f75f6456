"""Banzhaf values: what a player adds to a coalition in which each of the others is by even chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.coalitions import bernoulli
from xaionnx_kernels.permutations import permutations

from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.paired_regression import both, check_size, regress
from xaionnx.explainers._games.sampling import WithinBudget, completeness_gap, evaluate
from xaionnx.perturb.game import Game
from xaionnx.typing import Array

# For so many players all pairs are shuffled and none comes twice; of more, hardly any would.
_SHUFFLED = 20


@final
@dataclass(frozen=True, kw_only=True)
class Banzhaf(WithinBudget, ByFeatures, GameExplainer):
    """What a player adds on average over all coalitions of the others, each as likely::

        value_i = 2^-(P - 1) * sum over S without i of v(S + i) - v(S)

    These are the slopes of the least-squares line through all 2^P coalitions (Hammer and Holzman 1992). It is fitted
    to random coalitions and their complements, drawn evenly, up to 20 players without repetition; where the budget
    reaches 2^P, to all of them, and the values are exact. Of the same evaluations this makes far smaller errors than
    the difference of means with and without a player (the maximum-sample-reuse estimator of Wang and Jia 2023), which
    counts what the other players do as noise.

    The values don't sum to f(x) - f(all removed); diagnostics have the difference, ``completeness_gap``.
    ``standard_error`` is the HC3 sandwich of the regression over pairs (MacKinnon and White 1985), 0 where all
    coalitions were asked. Diagnostics besides: ``stopped_by`` ``tolerance``, ``budget`` or ``enumeration``.

    Notes
    -----
    When to use: A ranking of columns or groups by any model: the order of the values is less sensitive to noise in the
    outputs than that of Shapley values.

    When not to use: When the values must sum to the change of the target; use ``kernel_shap``. More than 1,024 players.

    References
    ----------
    Banzhaf, Weighted voting doesn't work, Rutgers Law Review 19, 1965; Hammer and Holzman, Approximations of
    pseudo-Boolean functions, ZOR 36, 1992, doi:10.1007/BF01541028; Wang and Jia, Data Banzhaf, AISTATS 2023,
    arXiv:2205.15466.

    Raises
    ------
    BudgetError
        The budget allows fewer than 4 P coalitions, and fewer than all.
    ParameterError
        There are more than 1024 players.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.array([[20, 50, 30]], np.float32)
    >>> xaionnx.explain(planted.load(planted.net_a()), x, Banzhaf(), target=0).values
    array([[ 77.5, 197.5, 117.5]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Banzhaf 1965; Wang and Jia 2023, arXiv:2205.15466"

    def planned(self, players: int) -> int:
        return int(min(self.budget - 1, 2**players - 1))

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        check_size(type(self).__name__, players)
        every = 2**players - 2
        fewest = min(4 * players, every)
        room = min(self.room(game, fewest), every) // 2 * 2
        firsts = self._firsts(players)
        # The pair of nobody and everybody is known from the start, and is no random draw.
        answers = np.concatenate([[game.empty, game.full], np.empty((room, game.targets))])
        asked = 2
        for count in self.stages(min(room, max(fewest, 64)), room, multiple=2):
            answers[asked : count + 2] = evaluate(game, both(firsts), asked, count + 2)
            asked = count + 2
            pairs, other = asked // 2, every // 2
            weights, drawn = np.ones(pairs), np.full(pairs, 1 - count / every if every else 0.0)
            weights[0], drawn[0] = (pairs - 1) / other if other else 1, 0
            values, error = regress(firsts, (answers[:asked:2] - answers[1:asked:2]) / 2, weights, drawn)
            if self.sure(game, error):
                break
        diagnostics = {
            "completeness_gap": completeness_gap(game, values),
            "stopped_by": "enumeration" if count == every else self.ending(game, error),
        }
        return GameResult(values, error, diagnostics)

    def _firsts(self, players: int) -> Callable[[int, int], Array]:
        """The first coalition of each pair; that of pair 0 is empty."""
        if players > _SHUFFLED:
            # Only a pair of draws that are empty or full would repeat what is known, once in 2^(P - 1) pairs.
            def drawn(start: int, stop: int) -> Array:
                rows = bernoulli(self.seed, start, stop, players)
                return rows & (np.arange(start, stop) > 0)[:, None]

            return drawn
        order = np.zeros(2 ** (players - 1), dtype=np.int64)
        if players > 1:
            order[1:] = permutations(self.seed, 0, 1, len(order) - 1, "plain")[0] + 1

        def shuffled(start: int, stop: int) -> Array:
            return (order[start:stop, None] >> np.arange(players)) % 2 > 0

        return shuffled
