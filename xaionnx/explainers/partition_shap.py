"""PartitionSHAP: Owen values, Shapley values of features that join in groups of a hierarchy."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.hierarchy import NAMED, check_hierarchy, hierarchy_of, may_differ, read_hierarchy
from xaionnx.explainers._games.owen import OwenValues, affordable_plan, fewest_evaluations
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import HasBudget, completeness_gap
from xaionnx.parameters import free
from xaionnx.perturb.game import BySample, Game
from xaionnx.perturb.removals import Removals, SharedRemoval
from xaionnx.typing import Array, Document, HierarchyLike

# More groups than this are not listed.
_LISTED: Final = 100
_TOO_FEW: Final = "a group was divided in too few of the contexts that it might have had; raise the budget"


@final
@dataclass(frozen=True, kw_only=True)
class PartitionShap(HasBudget, ByFeatures, GameExplainer):
    """Owen values: the mean contribution of a player over all orders in which groups stay together, at each level::

        value_i = mean over orders of v(those before i, and i) - v(those before i)

    where the players of a group follow each other, whether it is a group of players or of groups (the value of a
    levels structure). The values of the parts of a group add up to that of the group, and all to f(x) - f(all removed).
    With groups of single players these are Shapley values. A binary hierarchy of P players costs about P^2 evaluations
    if it is balanced, where Shapley values take 2^P.

    If the budget allows it, all coalitions of the hierarchy are evaluated and the values are exact. Otherwise groups
    are divided from the whole down, each in an equal number of its contexts, coalitions of other groups. The first
    group that has too many takes a sample without replacement; the groups below go on with one of the contexts that
    each of these became, so that no coalition is evaluated twice and the draws stay independent. Up to three parts of a
    group are tried in all coalitions, more in an order and its reverse. What a draw lacks to the group's value is
    shared equally by its parts, so that the sums stay exact.

    Players that are equal in the sample and in all baselines get exactly 0, and the budget is spent on the others
    (diagnostic ``null_players``), which keep their groups.

    ``standard_error`` is that of a mean over these draws, and 0 where all contexts were evaluated. It is
    missing if a large group with few contexts repeats them with fewer than 14 further draws, or if all but three of the
    draws were certain. Diagnostics: ``completeness_gap``, the sum of the values minus f(x) - f(all
    removed), only rounding error; ``hierarchy``, what it is made of: ``correlation``, ``positions``, ``features`` or
    ``flat``; ``groups``, the first 100 from the whole down, by target, each as its players and its value;
    ``stopped_by``: ``enumeration`` or ``budget``; ``no_standard_error``, why there is none.

    Parameters
    ----------
    hierarchy : str, features, or list of these from coarse to fine
        Coarser features, such as ``superpixels:5``, ``["superpixels:5", "superpixels:20"]`` or an integer label map: a
        player belongs to the group that holds most of its elements. ``correlation``: columns by 1 - |r| over the rows
        of the baseline, clustered by average linkage. ``positions``: players by where they are, clustered by Ward's
        method. ``flat``: no groups. By default positions if the input has them, else correlation if the baseline has
        at least 10 rows, else flat. On the command line, levels are separated by a plus.

    Notes
    -----
    When to use: Features that belong together: correlated columns, words of sentences, pieces of regions, hundreds of
    them, and values of the groups that add up.

    When not to use: When the grouping is arbitrary, since the values depend on it; use ``kernel_shap``.

    References
    ----------
    Owen, Values of games with a priori unions, in Mathematical Economics and Game Theory, 1977,
    doi:10.1007/978-3-642-45494-3_7; Winter, A value for cooperative games with levels structure of cooperation, IJGT
    18, 1989, doi:10.1007/BF01268161; Lundberg and Lee, A unified approach to interpreting model predictions, NeurIPS
    2017, arXiv:1705.07874.

    Raises
    ------
    BudgetError
        The budget does not allow two contexts of each group.
    ParameterError
        The correlation of columns is asked for, and the baseline has fewer than 10 rows.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.polynomial(3, {(0,): 1, (1,): 2, (0, 1): 3, (0, 2): -1, (0, 1, 2): 6}))
    >>> x = np.ones((1, 3), np.float32)
    >>> xaionnx.explain(model, x, PartitionShap(hierarchy=np.array([0, 0, 1]))).values
    array([[3.5, 5. , 2.5]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity")
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True
    reference: ClassVar[str] = "Owen 1977, doi:10.1007/978-3-642-45494-3_7; Winter 1989, doi:10.1007/BF01268161"

    hierarchy: HierarchyLike = free(
        None,
        "a name, features, or a list of features from coarse to fine",
        f"groups of groups of features: {', '.join(NAMED)}, or coarser features, levels separated by a plus; by "
        "positions or the correlation of rows if not given",
        reader=read_hierarchy,
        resolver=check_hierarchy,
    )

    def planned_evaluations(self, players: int) -> int:
        return int(min(self.max_evaluations(1, players) - 1, 2**players - 1))

    def kinds(self, removals: Removals) -> Array:
        if not isinstance(removals, SharedRemoval) or may_differ(self.hierarchy, removals[0].sample):
            return np.arange(len(removals))
        different, which = removals.by_players()
        forms: dict[Hashable, int] = {}
        each = [forms.setdefault(hierarchy_of(self.hierarchy, one)[0].form, len(forms)) for one in different]
        return np.array(each)[which]

    def renumbered(self, diagnostics: Document, players: Sequence[Array]) -> Document:
        groups = [
            [[[own[group].tolist(), value] for group, value in listed] for listed in by_target]
            for own, by_target in zip(players, diagnostics["groups"], strict=True)
        ]
        return {**diagnostics, "groups": BySample(groups)}

    def estimate(self, game: Game) -> GameResult:
        whole, kind = hierarchy_of(self.hierarchy, game.removal)
        each = game.targets // game.samples
        affordable = self.affordable(game, fewest_evaluations(whole))
        steps = affordable_plan(whole, affordable)
        found = OwenValues(game, whole, steps, self.seed)
        players = {group.players[0]: group for group in found.values if not group.parts}
        ordered = [players[player] for player in range(game.players)]
        values = np.array([found.values[player] for player in ordered]).T
        error = None if found.are_too_few else np.sqrt([found.variances[player] for player in ordered]).T
        listed = [step.group for step in steps][:_LISTED]
        groups = [
            [[sorted(group.players), float(found.values[group][t])] for group in listed] for t in range(len(values))
        ]
        return GameResult(
            values,
            error,
            {
                "completeness_gap": completeness_gap(game, values),
                "hierarchy": kind,
                "groups": BySample([groups[start : start + each] for start in range(0, len(groups), each)]),
                "stopped_by": "enumeration" if all(step.complete for step in steps) else "budget",
                **({"no_standard_error": _TOO_FEW} if found.are_too_few else {}),
            },
        )
