"""KernelSHAP: Shapley values as a weighted linear regression on coalitions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.coalitions import kernel_shap_plan

from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.cost import check_regression
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.kernel_shap_pairs import KernelShapPairs
from xaionnx.explainers._games.paired_regression import DrawnPairs, regress, with_complements
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import CHOSEN, WithinBudget, completeness_gap, evaluate
from xaionnx.parameters import integer, real
from xaionnx.perturb.game import Game


@final
@dataclass(frozen=True, kw_only=True)
class KernelShap(WithinBudget, ByFeatures, GameExplainer):
    """Shapley values as the weighted least-squares fit of a linear game to the game::

        minimise over phi   sum of w(|S|) (v(S) - v(nobody) - sum over i in S of phi_i)^2 + ridge |phi - mean|^2
        subject to          sum of phi = f(x) - f(all removed),      w(k) = (P - 1) / (C(P, k) k (P - k))

    over all coalitions S except the empty and the full one; phi is the Shapley value. Coalitions are drawn with their
    complements, as many of each size (leverage scores), and none twice. If the budget reaches 2^P, all are used and the
    values are exact. All features are kept by default.

    Players that are equal in the sample and in all baselines get exactly 0, and the budget is spent on the others
    (diagnostic ``null_players``).

    ``standard_error`` is that of a weighted regression on a stratified sample without replacement (the HC2 sandwich
    estimator with finite-population factors and Student's t), and 0 if all coalitions were evaluated. The mean residual
    of each size counts only as far as the draw did not balance the players within it. Diagnostics:
    ``completeness_gap``, the sum of the values minus f(x) - f(all removed), which is only rounding error;
    ``stopped_by``: ``tolerance``, ``budget`` or ``enumeration``; ``no_standard_error``, why there is none.

    Parameters
    ----------
    l1 : int, optional
        Keep only this many features, the first on the path of the Lasso. All others get exactly 0. There are then no
        standard errors, as they could not say how often another feature would have been chosen.
    ridge : float
        Shrinks the values towards equal shares. The strength is relative to the sum of the weights, sum over k of (P -
        1) / (k (P - k)).

    Notes
    -----
    When to use: Shapley values of columns, segments or groups for any model, trees included, with a standard error; it
    needs fewer evaluations than other estimates.

    When not to use: Thousands of players, for which the fit alone takes seconds (1,000) to minutes (4,000): group them.
    Features that depend on each other, because removal makes
    inputs that never occur.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, arXiv:1705.07874;
    Covert and Lee, Improving KernelSHAP, AISTATS 2021, arXiv:2012.01536; Musco and Witter, Provably accurate Shapley
    value estimation via leverage score sampling, ICLR 2025, arXiv:2410.01917; MacKinnon and White, Some
    heteroskedasticity-consistent covariance matrix estimators, Journal of Econometrics 29(3), 1985,
    doi:10.1016/0304-4076(85)90158-7.

    Raises
    ------
    BudgetError
        The budget allows neither 6 P coalitions nor all of them.
    ParameterError
        There are so many players, above about 5,000, that the fit would take too long or too much memory.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.array([[20, 50, 30]], np.float32)
    >>> xaionnx.explain(planted.load(planted.net_a()), x, KernelShap(), target=0).values.round(2)
    array([[ 76.67, 196.67, 116.67]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity")
    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv:1705.07874"
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True
    evaluations_per_player: ClassVar[int] = 6

    l1: int | None = integer(None, "keep this many features, the first on the path of the Lasso", low=1, optional=True)
    ridge: float = real(0.0, "weight of the squared distance from equal shares", low=0)

    def check_parameters(self) -> None:
        self.check_tolerance("l1", self.l1 is not None)

    def planned_evaluations(self, players: int) -> int:
        return int(min(self.max_evaluations(1, players) - 1, 2**players - 1))

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        possible = 2**players - 2
        fewest = min(self.evaluations_per_player * players, possible)
        check_regression(
            type(self).__name__, players, fewest // 2, 1 if self.l1 is None else game.targets // game.samples
        )
        affordable = min(self.affordable(game, fewest), possible)
        if players == 1:
            values = (game.full - game.empty)[:, None]
            return GameResult(values, np.zeros_like(values), {"completeness_gap": 0.0, "stopped_by": "enumeration"})
        pairs = KernelShapPairs(kernel_shap_plan(players, affordable), self.seed)
        halves = np.empty((pairs.count, game.targets))
        numbers, settled = np.empty(0, dtype=np.intp), self.settled(game)
        for count in self.stages(min(affordable, max(fewest, 64)), affordable, multiple=2):
            before, (numbers, weights, shares) = numbers, pairs.design(count)
            new = np.setdiff1d(numbers, before)
            outputs = evaluate(game, with_complements(partial(pairs.firsts, new)), 0, 2 * len(new))
            halves[new] = (outputs[::2] - outputs[1::2]) / 2
            values, error = regress(
                DrawnPairs(partial(pairs.firsts, numbers), weights, shares, by_size=True),
                halves[numbers],
                total=game.full - game.empty,
                alpha=self.ridge,
                max_players=self.l1,
            )
            diagnostics = {
                "completeness_gap": completeness_gap(game, values),
                "stopped_by": "enumeration" if 2 * len(numbers) == possible else "budget",
                **({"no_standard_error": CHOSEN} if error is None else {}),
            }
            if settled.add(GameResult(values, error, diagnostics)):
                break
        return settled.result
