"""RISE: the effect of each pixel on the target, estimated from random smooth masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from xaionnx_kernels import masks

from xaionnx.data.sample import Sample
from xaionnx.errors import BudgetError
from xaionnx.explainers._games.game import GameExplainer, GameResult
from xaionnx.explainers._games.mask_space import MaskSpace
from xaionnx.explainers._games.sampling import WithinBudget, evaluate
from xaionnx.explanation import ValueKind
from xaionnx.parameters import choice, integer, real, size, stopping_tolerance
from xaionnx.perturb.element_types import check_none_missing
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal, Select
from xaionnx.perturb.windows import Plane, SmoothMask, check_smooth
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


ESTIMATORS = ("least_squares", "centred", "plain")
"""How outputs at masks become a map."""

# With fewer masks the standard errors are too uncertain to stop the sampling.
_TRUSTED = 400


@final
@dataclass(frozen=True, kw_only=True)
class Rise(WithinBudget, GameExplainer):
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
    output is logits or probabilities; otherwise its score. In a sequence or a table row the mask runs along the last
    axis. If the grid is as fine as the input there is no interpolation: every pixel or column is kept independently.
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
        The input is an integer array, which a smooth mask cannot blend.

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

    budget: int = integer(1001, "maximum number of model evaluations per sample: the input and the masks", low=3)
    tolerance: float | None = stopping_tolerance(
        "stop when every standard error is at most this share of the map's largest value"
    )
    estimator: str = choice("least_squares", ESTIMATORS, "how outputs become a map")
    grid: int | tuple[int, ...] = size(7, "cells of a mask along height and width")
    keep: float = real(0.5, "probability that a cell is kept", low=0.01, high=0.99)

    @property
    def value_kind(self) -> ValueKind:
        # The plain sum is the slope plus a constant from the mean output.
        return "importance" if self.estimator == "plain" else "contribution"

    def default_target(self, model: Model) -> Target | None:
        # As in the paper. An unbounded score keeps rising even if the class is already certain.
        known = model.spec is not None and model.spec.activation != "none"
        return Target.probability() if known else None

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            check_smooth(dry_run.sample)
        return super().check_model(dry_run)

    def removal(self, sample: Sample) -> Removal:
        players, baseline = self.players(sample), self.baseline_values(sample, (sample.main,))
        smooth = SmoothMask(sample, players, baseline, self.grid, self.keep, self.seed)
        if smooth.cell == (1, 1):
            return Select(sample, players, baseline)
        check_none_missing({sample.main: sample.array}, baseline)
        return smooth

    def estimate(self, game: Game) -> GameResult:
        affordable = game.affordable or 0
        if affordable < 2:
            raise BudgetError(
                f"Rise needs at least {1 + 2 * game.removal.draws} model evaluations for two masks with each baseline, "
                f"and its budget is {self.budget}. Raise the budget."
            )
        space, code = self._space(game.removal)
        outputs = np.empty((0, game.targets))
        for count in self.stages(min(_TRUSTED, affordable), affordable):
            outputs = np.concatenate([outputs, evaluate(game, code, len(outputs), count)])
            values, error, r2 = self._estimate(space, outputs)
            sure = self.tolerance is not None and bool(
                (error.max(axis=1) <= self.tolerance * np.abs(values).max(axis=1)).all()
            )
            if sure:
                break
        stopped_by = "tolerance" if sure else "budget"
        return GameResult(values, error, {"masks": len(outputs), "r2": r2, "stopped_by": stopped_by})

    def _space(self, removal: Removal) -> tuple[MaskSpace, Callable[[int, int], Array]]:
        """The masks, and a callable for their codes in the removal."""
        if isinstance(removal, SmoothMask):
            grid, cell, extent = removal.grid, removal.cell, removal.plane.extent
        else:
            plane = Plane(removal.sample, "Rise")
            grid = extent = (1, removal.players.count) if plane.is_flat else removal.sample.spatial("Rise")
            cell = (1, 1)

        def cells(start: int, stop: int) -> Array:
            return masks.rise_cells(self.seed, start, stop, grid, self.keep)

        def draw(start: int, stop: int) -> tuple[Array, Array]:
            return cells(start, stop), masks.rise_shifts(self.seed, start, stop, cell)

        def code(start: int, stop: int) -> Array:
            return (
                np.arange(start, stop)
                if isinstance(removal, SmoothMask)
                else cells(start, stop).reshape(stop - start, -1)
            )

        return MaskSpace(draw, grid, cell, extent, self.keep), code

    def _estimate(self, space: MaskSpace, outputs: Array) -> tuple[Array, Array, list[float]]:
        """Values and standard errors (T, P), and r2 of each target."""
        count = len(outputs)
        deviations = outputs - outputs.mean(axis=0)
        explained: Array | float = 0.0
        if self.estimator == "plain":
            # Each term is an output times a mask; for the other estimators, times a mask minus its mean.
            weights = leave_one_out = outputs
            middle, scale = 0.0, np.array(self.keep)
        else:
            weights = leave_one_out = deviations
            middle, scale = self.keep, space.variance()
            if self.estimator == "least_squares":
                explained, weights, leave_one_out = space.regress(outputs)
        mean, leave_one_out_sums, variance = space.moments(weights, leave_one_out**2)
        # In place, since each holds a number a pixel and target: the mean square minus the square of the mean.
        mean /= count
        leave_one_out_sums *= 2 * middle
        variance -= leave_one_out_sums
        variance += middle**2 * (leave_one_out**2).sum(axis=0)[:, None, None]
        variance /= count
        variance -= np.square(mean, out=leave_one_out_sums)
        np.maximum(variance, 0, out=variance)
        variance /= count - 1
        total, unexplained = (deviations**2).sum(axis=0), (leave_one_out**2).sum(axis=0)
        defined = (total > 0) & (self.estimator == "least_squares")
        r2 = np.where(defined, 1 - unexplained / np.where(total > 0, total, 1), 0.0)
        mean += explained
        values, error = (
            np.divide(mean, scale, out=mean),
            np.divide(np.sqrt(variance, out=variance), scale, out=variance),
        )
        return values.reshape(len(values), -1), error.reshape(len(error), -1), r2.tolist()
