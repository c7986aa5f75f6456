"""Exact Shapley values, from all coalitions of at most 16 players."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.enumeration import coalition_values, semivalue, shapley_weights
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import completeness_gap
from xaionnx.perturb.features import Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.partitions.superpixels import Superpixels

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun

_MOST_PLAYERS = 16


@final
@dataclass(frozen=True, kw_only=True)
class ExactShapley(ByFeatures, GameExplainer):
    """Shapley values: the mean contribution of each player over all orders in which the players may join::

        value_i = sum over S without i of |S|! (P - 1 - |S|)! / P! * (v(S + i) - v(S))

    with v(S) = f(x with the players outside S removed). It is the only value that satisfies all four axioms. All 2^P
    coalitions are evaluated: at most 16 players, 65,536 evaluations. Players that are equal in the sample and in
    all baselines have the value 0, and are not counted.

    The diagnostic ``completeness_gap`` is the sum of the values minus f(x) - f(all removed), which is only rounding
    error.

    Notes
    -----
    When to use: At most 16 players: tables with few columns, pictures in a few parts, and as a reference for the
    sampling methods.

    When not to use: More players, or a slow model, because the cost doubles with each player; use ``kernel_shap`` or
    ``shapley_sampling``.

    References
    ----------
    Shapley, A value for n-person games, Contributions to the Theory of Games II, 1953, doi:10.1515/9781400881970-018;
    Strumbelj and Kononenko, An efficient explanation of individual classifications using game theory, JMLR 11, 2010.

    Raises
    ------
    ParameterError
        More than 16 players differ from a baseline.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.array([[20, 50, 30]], np.float32)
    >>> xaionnx.explain(planted.load(planted.net_a()), x, ExactShapley(), target=0).values.round(2)
    array([[ 76.67, 196.67, 116.67]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("efficiency", "linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Shapley 1953, doi:10.1515/9781400881970-018"
    plays_together: ClassVar[bool] = True
    null_players_get_zero: ClassVar[bool] = True

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        remarks, sample, features = super().check_model(dry_run), dry_run.sample, Features.of(self.features)
        # The number of superpixels depends on the picture.
        if dry_run.rows is not None and sample is not None and not isinstance(features.resolved(sample), Superpixels):
            _check_size(features.players(sample).count)
        return remarks

    def planned_evaluations(self, players: int) -> int:
        # More players are refused.
        return 2**players - 1 if players <= _MOST_PLAYERS else 0

    def estimate(self, game: Game) -> GameResult:
        players = game.players
        _check_size(players)
        values = semivalue(coalition_values(game), shapley_weights(players))
        return GameResult(values, np.zeros_like(values), {"completeness_gap": completeness_gap(game, values)})


def _check_size(players: int) -> None:
    if players > _MOST_PLAYERS:
        raise ParameterError(
            f"ExactShapley takes at most {_MOST_PLAYERS} features. Got {players} instead. Use kernel_shap or "
            "shapley_sampling, or group features."
        )
