"""RISE: the effect of each pixel on the target, estimated from random smooth masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.smooth_masks import BySmoothMasks
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_removal import text_removal
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class Rise(BySmoothMasks, GameExplainer):
    """The effect of showing each pixel on the target, estimated from random smooth masks M_1 .. M_m::

        plain          S = 1 / (m keep) sum over i of f(x M_i) M_i                   equation 6 of the paper
        centred        S = 1 / m        sum over i of (f(x M_i) - mean f) M_i / V
        least_squares  S = (Cov(M, z) b + 1 / m  sum over i of (f(x M_i) - a - b z_i) M_i) / V

    A mask is a coarse ``grid`` of cells, each kept with probability ``keep``, upsampled by linear interpolation with a
    random shift. V is the variance of M at a pixel, so the last two are the slope of f over M at that pixel: the change
    of the target when the pixel goes from removed to present.

    All three have the same expected map up to scale: plain is ``mean f + S V / keep`` with the S of the others. They
    differ in noise. Plain includes the noise of the mean, and centred that of all other pixels. ``least_squares``
    (default) first fits f by the means z of a mask over blocks of half a cell, with a small ridge. The covariance of
    the fit with the masks is known exactly, so only the residual is sampled (a regression estimator: neither the ridge
    nor the choice of blocks biases it). If the blocks explain a share r2 of the variance, its noise is that of centred
    with 1 / (1 - r2) times as many masks.

    ``standard_error`` of each pixel is that of the mean over masks; residuals of the regression are divided by 1 minus
    their leverage. Diagnostics: ``masks``, their number; ``r2`` of each target, the share of the variance that the
    blocks explain at masks left out of the fit (0 for the other estimators); ``stopped_by``: ``tolerance`` or
    ``budget``. Sums are computed over cells instead of pixels, so memory is a few pictures for any budget.

    The default target is the probability of the top class, as in the paper, if the InputSpec declares whether the
    output is logits or probabilities; otherwise its score. In a series the mask runs along time, in a table row along
    the columns, and in a volume along its three axes. If the grid is as fine as the input there is no interpolation:
    every pixel, column or token is kept independently.
    The published masks set pixels to 0 after normalisation, which is the default, ``baseline`` 0.

    Notes
    -----
    When to use: Pictures of any model, when only outputs are available: a smooth map with a standard error per pixel.

    When not to use: Tables with few columns; use ``kernel_shap``. Details smaller than a cell of the mask, or budgets
    of a few dozen evaluations.

    References
    ----------
    Petsiuk, Das and Saenko, RISE: randomized input sampling for explanation of black-box models, BMVC 2018,
    arXiv:1806.07421; Sarndal, Swensson and Wretman, Model assisted survey sampling, Springer 1992, chapter 6,
    for the regression estimator.

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
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> xaionnx.explain(model, np.ones((1, 3), np.float32), Rise(budget=401)).values.round(1)
    array([[ 1.,  2., -3.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Petsiuk et al. 2018, arXiv:1806.07421"

    def default_target(self, model: Model) -> Target | None:
        # As in the paper. An unbounded score keeps rising even if the class is already certain.
        known = model.spec is not None and model.spec.activation != "none"
        return Target.probability() if known else None

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        self.check_masks(dry_run)
        return super().check_model(dry_run)

    def removal(self, sample: Sample) -> Removal:
        if sample.text is not None:
            return text_removal(sample, self.players(sample), self.replacing(sample), self.seed)
        return self.masked(sample, self.players(sample), self.baseline_values(sample, (sample.main,)), self.seed)

    def estimate(self, game: Game) -> GameResult:
        return self.sampled(game, self.seed)
