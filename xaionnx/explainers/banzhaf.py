"""Banzhaf values: the mean contribution of a player over all coalitions of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.cost import check_regression
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.paired_regression import DrawnPairs, regress, with_complements
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import WithinBudget, completeness_gap, evaluate
from xaionnx.explainers._games.uniform_pairs import uniform_pairs
from xaionnx.perturb.game import Game


@final
@dataclass(frozen=True, kw_only=True)
class Banzhaf(WithinBudget, ByFeatures, GameExplainer):
    """The mean contribution of each player over all coalitions of the others, with equal weights::

        value_i = 2^-(P - 1) * sum over S without i of v(S + i) - v(S)

    These are the slopes of the least-squares line through all 2^P coalitions (Hammer and Holzman 1992). The line is
    fitted to uniformly drawn coalitions and their complements, without repetition for up to 20 players. If the budget
    reaches 2^P, all coalitions are used and the values are exact. For the same evaluations the errors are far smaller
    than those of the difference of means with and without a player (the maximum-sample-reuse estimator of Wang and Jia
    2023), for which the effects of the other players are noise.

    Players that are equal in the sample and in all baselines get exactly 0, and the budget is spent on the others
    (diagnostic ``null_players``).

    The values do not sum to f(x) - f(all removed); the diagnostic ``completeness_gap`` is the difference.
    ``standard_error`` is the HC2 sandwich estimator of the regression over pairs (MacKinnon and White 1985), widened by
    Student's t for few of them, and 0 if all coalitions were evaluated. The diagnostic ``stopped_by`` is ``tolerance``,
    ``budget`` or ``enumeration``.

    Notes
    -----
    When to use: A ranking of columns or groups by any model: the order of the values is less sensitive to noise in the
    outputs than that of Shapley values.

    When not to use: When the values must sum to the change of the target; use ``kernel_shap``. Thousands of players,
    for which the fit alone takes seconds (1,000) to minutes (4,000): group them.

    References
    ----------
    Banzhaf, Weighted voting doesn't work, Rutgers Law Review 19, 1965; Hammer and Holzman, Approximations of
    pseudo-Boolean functions, ZOR 36, 1992, doi:10.1007/BF01541028; Wang and Jia, Data Banzhaf, AISTATS 2023,
    arXiv:2205.15466.

    Raises
    ------
    BudgetError
        The budget allows neither 4 P coalitions nor all of them.
    ParameterError
        There are so many players, above about 5,000, that the fit would take too long or too much memory.

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
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True
    evaluations_per_player: ClassVar[int] = 4

    def planned_evaluations(self, players: int) -> int:
        return int(min(self.max_evaluations(1, players) - 1, 2**players - 1))

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        possible = 2**players - 2
        fewest = min(self.evaluations_per_player * players, possible)
        check_regression(type(self).__name__, players, fewest // 2)
        affordable = min(self.affordable(game, fewest), possible) // 2 * 2
        firsts = uniform_pairs(self.seed, players)
        # The pair of the empty and the full coalition is known from the start and is not random.
        outputs = np.concatenate([[game.empty, game.full], np.empty((affordable, game.targets))])
        done, settled = 2, self.settled(game)
        for count in self.stages(min(affordable, max(fewest, 64)), affordable, multiple=2):
            outputs[done : count + 2] = evaluate(game, with_complements(firsts), done, count + 2)
            done = count + 2
            pairs, other = done // 2, possible // 2
            weights, shares = np.ones(pairs), np.full(pairs, 1 - count / possible if possible else 0.0)
            weights[0], shares[0] = (pairs - 1) / other if other else 1, 0
            halves = (outputs[:done:2] - outputs[1:done:2]) / 2
            values, error = regress(DrawnPairs(firsts, weights, shares), halves)
            diagnostics = {
                "completeness_gap": completeness_gap(game, values),
                "stopped_by": "enumeration" if count == possible else "budget",
            }
            if settled.add(GameResult(values, error, diagnostics)):
                break
        return settled.result
