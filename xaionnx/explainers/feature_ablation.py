"""Feature ablation: the change of the target when one feature at a time is removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import evaluate
from xaionnx.perturb.game import Game
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class FeatureAblation(ByFeatures, GameExplainer):
    """The drop of the target when one player is replaced by its baseline::

        value_i = f(x) - f(x with player i removed)

    It costs one evaluation per player and baseline. Removing a feature that another one can replace causes no drop: two
    copies of a column each get 0.

    Notes
    -----
    When to use: Few columns or groups and any model, when one easily read number per group is enough; it costs one
    evaluation per group.

    When not to use: Features that can replace each other, which all get about 0, and features that act only together;
    use ``kernel_shap`` or ``shapley_sampling``.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> xaionnx.explain(model, np.ones((1, 3), np.float32), FeatureAblation()).values
    array([[ 1.,  2., -3.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"
    plays_together: ClassVar[bool] = True

    def planned_evaluations(self, players: int) -> int:
        return players

    def estimate(self, game: Game) -> GameResult:
        def without_one(start: int, stop: int) -> Array:
            coalitions: Array = np.arange(start, stop)[:, None] != np.arange(game.players)
            return coalitions

        return GameResult((game.full - evaluate(game, without_one, 0, game.players)).T)
