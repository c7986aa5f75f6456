"""D-RISE: the effect of each pixel on one detection, estimated from random smooth masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import budget_parameter
from xaionnx.explainers._games.smooth_masks import GRID, OF_MASKS, BySmoothMasks
from xaionnx.parameters import size
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal
from xaionnx.targets.target import Target

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class DRise(BySmoothMasks, GameExplainer):
    r"""The effect of showing each pixel on one detection: RISE of the similarity S of the boxes found to that one::

        s(d_t, d_j) = IoU(L_t, L_j) * cos(P_t, P_j) * O_j        equations 3 to 6 of the paper
        S(d_t, x M) = max over the boxes j of f(x M) of s(d_t, d_j)

    L is a box, P its class probabilities and O its objectness; d_t is the explained detection, and x M the masked
    picture. The masks M are those of RISE with a finer ``grid``, and ``estimator`` makes a map of their similarities
    as there.

    A box explains itself: ``Target.box`` and ``Target.boxes`` stand for the similarity to that box here, and no target
    for the best box. Other targets are explained by their value, as RISE does. The box may move: unlike the score of a
    box in a fixed place of the output, the similarity rises with any box that lies there and has these classes.

    If a detector has no objectness, the largest class score takes its place. The paper leaves it out; but of
    thousands of boxes one always lies at the right position, however low its score.

    Diagnostics are those of RISE, and ``box``, the corners of the explained box in pixels of the model's input.

    Notes
    -----
    When to use: Detectors, of any kind, also where their graph suppresses boxes and no gradient passes.

    When not to use: Small objects at a coarse grid, or few masks: a mask covers a small object nearly whole.

    References
    ----------
    Petsiuk, Jain, Manjunatha, Morariu, Mehra, Ordonez and Saenko, Black-box explanation of object detectors via
    saliency maps, CVPR 2021, arXiv:2006.03204.

    Raises
    ------
    BudgetError
        The budget does not allow two masks.
    InputMismatchError
        The input holds whole numbers or tokens, which a mask of larger cells cannot blend.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.detector())
    >>> x = np.zeros((1, 1, 16, 16), np.float32)
    >>> x[..., 4:8, 8:12] = 1
    >>> e = xaionnx.explain(model, x, DRise(budget=401, grid=8))
    >>> e.target.tolist(), e.diagnostics["box"]
    (['similarity to class 0 in box 6 at (8, 4, 12, 8)'], [[8.0, 4.0, 12.0, 8.0]])
    """

    reference: ClassVar[str] = "Petsiuk et al. 2021, arXiv:2006.03204"

    default_budget: ClassVar[int] = 2001

    budget: int | None = budget_parameter(2001, 3, OF_MASKS)
    grid: int | tuple[int, ...] = size(16, GRID)

    def explained(self, target: Target) -> Target:
        return target.as_similarity()

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        self.check_masks(dry_run)
        return super().check_model(dry_run)

    def removal(self, sample: Sample) -> Removal:
        return self.masked(sample, self.players(sample), self.baseline_values(sample, (sample.main,)), self.seed)

    def estimate(self, game: Game) -> GameResult:
        return self.sampled(game, self.seed)
