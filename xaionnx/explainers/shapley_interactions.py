"""Shapley interactions: what features contribute together, beyond what they contribute alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from xaionnx_kernels.interactions import subsets

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.cost import check_regression, fitting
from xaionnx.explainers._games.enumeration import coalition_values
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.interaction_indices import exact_interactions, matrix_facts
from xaionnx.explainers._games.interaction_sampling import (
    Interactions,
    drawn_by_size,
    drawn_uniformly,
    sampled_interactions,
)
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import WithinBudget, budget_parameter, completeness_gap
from xaionnx.parameters import choice, integer
from xaionnx.perturb.game import BySample, Game
from xaionnx.typing import Array, Document

# More triples than this are not listed.
_LISTED: Final = 100
# About as many sets as a fit takes in a reasonable time.
_MOST_SETS: Final = 5000
_NAMES: Final = ("single features", "pairs", "triples")
# Of these the values of all sets add up to the change of the target.
_EFFICIENT: Final = ("k_sii", "stii", "fsii")


@final
@dataclass(frozen=True, kw_only=True)
class ShapleyInteractions(WithinBudget, ByFeatures, GameExplainer):
    r"""Interactions of sets S of up to 2 or 3 players, from the derivatives of the game::

        derivative_S(T) = sum over L in S of (-1)^(|S| - |L|) v(T + L),         T without any of S

        sii     mean over sizes t of T, then over the T of that size, of derivative_S(T)
        k_sii   SII, less what larger sets hold, so that all values add up to f(x) - f(all removed)
        stii    order / P sum over T of derivative_S(T) / C(P - 1, t); of sets below ``order``, derivative_S(nobody)
        fsii    the polynomial of degree ``order`` that fits v best with the weights of KernelSHAP
        bii     mean over all T of derivative_S(T)
        fbii    the polynomial of degree ``order`` that fits v best with equal weights

    The values are those of single players, the main effects: the Shapley values for ``sii``, the Banzhaf values for
    ``bii``. ``maps["interactions"]`` (N, P, P) is symmetric: half of the value of each pair is on either side of the
    diagonal, the main effects are on it. For ``k_sii``, ``stii`` and ``fsii`` of order 2 the whole matrix sums to the
    change of the target, and each row to the Shapley value of its player, as those of ``tree_shap`` do.
    ``maps["interactions_standard_error"]`` has the standard errors of these entries. Of order 3, the diagnostic
    ``triples`` lists the 100 largest by target, as [i, j, k, value, standard error or None].

    Players that are equal in the sample and in all baselines get exactly 0, and the budget is spent on the others
    (diagnostic ``null_players``). The default budget is never less than what the number of sets needs.

    If the budget reaches 2^P, all coalitions are evaluated and all values are exact. Otherwise coalitions are drawn
    with their complements, by size and without replacement (for ``bii`` and ``fbii`` uniformly). ``fsii`` and ``fbii``
    are the weighted regression on them. The others are those of the regression's polynomial, exactly, plus an unbiased
    estimate (SHAP-IQ) of those of the rest, from the residuals of fits without the pair itself. Games of interactions
    up to ``order`` are found exactly. Standard errors are those of a stratified sample for the rest, shrunk to the mean
    over sets of a size and widened by Student's t, and the sandwich (CR2) for the regressions, with pairs as clusters.
    Pairs and triples have none where fewer than 4 of the coalitions drawn carry a set: those that hold all of it or
    nothing of it weigh most, and most of them were not drawn. 12 players need about 5 evaluations a set, 20 need 8;
    ``fsii``, ``bii`` and ``fbii`` always have errors. Diagnostics: ``completeness_gap``, the sum of the values that
    should add up (all sets; of ``sii``, ``bii`` and ``fbii`` the single players) minus f(x) - f(all removed);
    ``stopped_by``: ``tolerance``, ``budget`` or ``enumeration``; ``no_standard_error``, why there is none.

    Parameters
    ----------
    index : str
        Which interactions.
    order : int
        The size of the largest sets.

    Notes
    -----
    When to use: Columns, words or a few segments, to see which of them act together: a pair's value is what is lost if
    its two values are only added.

    When not to use: Many players, because 50 of them have 1,225 pairs, each of which needs evaluations: group them, or
    use ``kernel_shap`` if contributions are enough.

    References
    ----------
    Grabisch and Roubens, An axiomatic approach to the concept of interaction among players in cooperative games, IJGT
    28, 1999, doi:10.1007/s001820050125; Sundararajan, Dhamdhere and Agarwal, The Shapley Taylor interaction index, ICML
    2020, arXiv:1902.05622; Bordt and von Luxburg, From Shapley values to generalized additive models and back, AISTATS
    2023, arXiv:2209.04012; Tsai, Yeh and Ravikumar, Faith-Shap, JMLR 24, 2023, arXiv:2203.00870; Fumagalli et al.,
    SHAP-IQ, NeurIPS 2023, arXiv:2303.01179; Fumagalli et al., KernelSHAP-IQ, ICML 2024, arXiv:2405.10852.

    Raises
    ------
    BudgetError
        The budget allows neither 3 coalitions for 2 interactions nor all of them.
    ParameterError
        There are so many interactions, above about 5,000, that the fit would take too long or too much memory.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.second_order())     # d0 d2 + d1 + d2 + d2 d3
    >>> result = xaionnx.explain(model, np.ones((1, 5), np.float32), ShapleyInteractions())
    >>> result.values
    array([[0., 1., 1., 0., 0.]], dtype=float32)
    >>> result.maps["interactions"][0, 2].tolist()
    [0.5, 0.0, 1.0, 0.5, 0.0]
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = (
        "Grabisch and Roubens 1999, doi:10.1007/s001820050125; Tsai et al. 2023, arXiv:2203.00870"
    )
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True
    default_budget: ClassVar[int] = 4096

    budget: int | None = budget_parameter(4096)
    index: str = choice("k_sii", ("k_sii", "sii", "stii", "fsii", "bii", "fbii"), "which interactions")
    order: int = integer(2, "size of the largest sets of features", low=2, high=3)

    def fewest_coalitions(self, players: int) -> int:
        count = sum(math.comb(players, size) for size in range(1, min(self.order, players) + 1))
        # More are refused, and what they would cost is not to be planned.
        # Twice what the fit takes at the very least: so few coalitions may leave a set undetermined.
        return min(3 * count, 2**players - 2) if count <= _MOST_SETS else 0

    def planned_evaluations(self, players: int) -> int:
        return int(min(self.max_evaluations(1, players) - 1, 2**players - 1))

    def estimate(self, game: Game) -> GameResult:
        players, possible = game.players, 2**game.players - 2
        order = min(self.order, players)
        count = sum(math.comb(players, size) for size in range(1, order + 1))
        # A pair of complements is one equation for the sets of even sizes and one for those of odd sizes.
        fewest = min(2 * max(sum(math.comb(players, n) for n in range(k, order + 1, 2)) for k in (1, 2)), possible)
        check_regression(type(self).__name__, count, -(-fewest // 2))
        affordable = min(self.affordable(game, fewest), possible) // 2 * 2
        if affordable == possible:
            values = exact_interactions(coalition_values(game), self.index, order)
            return self._result(game, Interactions(values, [np.zeros_like(v) for v in values]), "enumeration")
        stages = self.stages(min(affordable, 2 * count), affordable, multiple=2)
        drawn = (
            drawn_uniformly(game, self.seed, stages)
            if self.index in ("bii", "fbii")
            else drawn_by_size(game, self.seed, affordable, order, stages)
        )
        settled = self.settled(game)
        for sampled in drawn:
            try:
                with fitting(count, len(sampled.firsts)):
                    found = sampled_interactions(sampled, self.index, order)
            except BudgetError:
                # The coalitions still to come may determine what these few leave open.
                if 2 * (len(sampled.firsts) - 1) < affordable:
                    continue
                raise
            errors = [error for error in found.standard_error if error is not None]
            # No sample is settled by the errors of some sizes alone.
            worst = np.concatenate(errors, axis=1) if len(errors) == order else np.full((game.targets, 1), np.inf)
            if settled.add(self._result(game, found, "budget"), worst):
                break
        return settled.result

    def renumbered(self, diagnostics: Document, players: Sequence[Array]) -> Document:
        if "triples" not in diagnostics:
            return diagnostics
        triples = [
            [[[*own[np.array(e[:3], dtype=int)].tolist(), *e[3:]] for e in listed] for listed in by_target]
            for own, by_target in zip(players, diagnostics["triples"], strict=True)
        ]
        return {**diagnostics, "triples": BySample(triples)}

    def _result(self, game: Game, found: Interactions, stopped_by: str) -> GameResult:
        added = np.concatenate(found.values if self.index in _EFFICIENT else found.values[:1], axis=1)
        diagnostics: Document = {"completeness_gap": completeness_gap(game, added), "stopped_by": stopped_by}
        if self.order > 2:
            by_target = [self._largest(found, game.players, t) for t in range(game.targets)]
            each = game.targets // game.samples
            diagnostics["triples"] = BySample([by_target[t : t + each] for t in range(0, game.targets, each)])
        maps, errors = {"interactions": _matrices(found.values, game.players)}, found.standard_error
        if all(error is not None for error in errors[:2]):
            maps["interactions_standard_error"] = _matrices([e for e in errors if e is not None], game.players)
        sizes = [_NAMES[n] for n, error in enumerate(errors) if error is None]
        if sizes:
            diagnostics["no_standard_error"] = f"few of the coalitions drawn carry the values of {' and '.join(sizes)}"
        return GameResult(found.values[0], errors[0], diagnostics, maps, facts=matrix_facts(self.index))

    def _largest(self, found: Interactions, players: int, target: int) -> list[list[float | None]]:
        """The triples of the largest values of one target: players, value and standard error."""
        if players < 3:
            return []
        sets, values = subsets(players, 3)[2], found.values[2][target]
        errors = found.standard_error[2]
        order = np.argsort(-np.abs(values), kind="stable")[:_LISTED]
        return [
            [*sets[k].tolist(), float(values[k]), None if errors is None else float(errors[target, k])] for k in order
        ]


def _matrices(by_size: list[Array], players: int) -> Array:
    """Symmetric matrices (T, P, P) of half of each pair, with single players on the diagonal."""
    found = np.zeros((len(by_size[0]), players, players))
    for sets, values in zip(subsets(players, min(2, players)), by_size, strict=False):
        entries = values / sets.shape[1]
        found[:, sets[:, 0], sets[:, -1]] = found[:, sets[:, -1], sets[:, 0]] = entries
    return found
