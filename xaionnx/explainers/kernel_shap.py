"""KernelSHAP: Shapley values as a weighted linear regression on coalitions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.coalitions import kernel_shap_plan

from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.kernel_shap_pairs import KernelShapPairs
from xaionnx.explainers._games.paired_regression import both, check_size, regress
from xaionnx.explainers._games.sampling import WithinBudget, completeness_gap, evaluate
from xaionnx.parameters import integer, real
from xaionnx.perturb.game import Game


@final
@dataclass(frozen=True, kw_only=True)
class KernelShap(WithinBudget, ByFeatures, GameExplainer):
    """The linear game that comes nearest to the game, over all coalitions S but the empty and the full one::

        minimise over phi   sum of w(|S|) (v(S) - v(nobody) - sum over i in S of phi_i)^2 + ridge |phi - mean|^2
        subject to          sum of phi = f(x) - f(all removed),      w(k) = (P - 1) / (C(P, k) k (P - k))

    whose phi is the Shapley value. Coalitions come with their complements, each size in proportion to its weight,
    none of them twice; where the budget reaches 2^P, all of them, and the values are exact. All features are kept.

    ``standard_error`` is that of a weighted regression on a stratified draw without replacement (the HC3 sandwich
    with finite-population factors); 0 where all coalitions were asked. That the design shares the places of each size
    evenly among the players is not counted in its favour, so it may be up to twice too large on games whose features
    matter in large coalitions alone. Diagnostics: ``completeness_gap``, the sum of the values less
    f(x) - f(all removed), which is rounding alone; ``stopped_by`` ``tolerance``, ``budget`` or ``enumeration``.

    Parameters
    ----------
    l1 : int, optional
        Keep only so many features, those that come first on the path of the Lasso; all others get exactly 0, and
        the standard errors are those of the fit with these features.
    ridge : float
        Shrinks the values towards equal shares, beside the weights, which sum to
        sum over k of (P - 1) / (k (P - k)).

    Notes
    -----
    When to use: Shapley values of columns, segments or groups for any model, trees included, with a standard error; it
    needs fewer evaluations than other estimates.

    When not to use: More than 1,024 players: group them. Features that depend on each other, because removal makes
    inputs that never occur.

    References
    ----------
    Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS 2017, arXiv:1705.07874;
    Covert and Lee, Improving KernelSHAP, AISTATS 2021, arXiv:2012.01536; MacKinnon and White, Some
    heteroskedasticity-consistent covariance matrix estimators, Journal of Econometrics 29(3), 1985,
    doi:10.1016/0304-4076(85)90158-7.

    Raises
    ------
    BudgetError
        The budget allows fewer than 6 P coalitions, and fewer than all.
    ParameterError
        There are more than 1024 players.

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

    l1: int | None = integer(
        None, "keep this many features, those first on the path of the Lasso", low=1, optional=True
    )
    ridge: float = real(0.0, "weight of the squared distance from equal shares", low=0)

    def planned(self, players: int) -> int:
        return int(min(self.budget - 1, 2**players - 1))

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        check_size(type(self).__name__, players)
        every = 2**players - 2
        fewest = min(6 * players, every)
        room = min(self.room(game, fewest), every)
        if players == 1:
            alone = (game.full - game.empty)[:, None]
            return GameResult(alone, np.zeros_like(alone), {"completeness_gap": 0.0, "stopped_by": "enumeration"})
        pairs = KernelShapPairs(kernel_shap_plan(players, room), self.seed)
        halves = np.empty((pairs.count, game.targets))
        there = np.empty(0, dtype=np.intp)
        for count in self.stages(min(room, max(fewest, 64)), room, multiple=2):
            before, (there, weights, drawn) = there, pairs.design(count)
            new = np.setdiff1d(there, before)
            answers = evaluate(game, both(partial(pairs.firsts, new)), 0, 2 * len(new))
            halves[new] = (answers[::2] - answers[1::2]) / 2
            values, error = regress(
                partial(pairs.firsts, there),
                halves[there],
                weights,
                drawn,
                total=game.full - game.empty,
                ridge=self.ridge,
                most=self.l1,
            )
            if self.sure(game, error):
                break
        diagnostics = {
            "completeness_gap": completeness_gap(game, values),
            "stopped_by": "enumeration" if 2 * len(there) == every else self.ending(game, error),
        }
        return GameResult(values, error, diagnostics)
