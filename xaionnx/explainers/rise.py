"""RISE: how the target follows random smooth masks, pixel by pixel."""

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
from xaionnx.parameters import choice, integer, real, size
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal, Select
from xaionnx.perturb.windows import SmoothMask, check_smooth
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


# From fewer masks, the standard errors are too uncertain themselves to end the sampling.
_TRUSTED = 400


@final
@dataclass(frozen=True, kw_only=True)
class Rise(WithinBudget, GameExplainer):
    """How much more the target is where a pixel is seen, from random smooth masks M_1 .. M_m::

        plain          S = 1 / (m keep) sum over i of f(x M_i) M_i                   equation 6 of the paper
        centred        S = 1 / m        sum over i of (f(x M_i) - mean f) M_i / V
        least_squares  S = (Cov(M, z) b + 1 / m  sum over i of (f(x M_i) - a - b z_i) M_i) / V

    A mask is a coarse ``grid`` of cells, each kept with the probability ``keep``, enlarged by linear interpolation
    behind a random shift. V is the variance of M at a pixel, so that the last two are the slope of f over M at that
    pixel, in units of the target for a pixel that turns from removed to present.

    All three expect the same picture: plain is ``mean f + S V / keep`` with the S of the others. They differ in noise.
    Plain carries that of the mean, centred still that of all other pixels. ``least_squares`` (default) first explains
    f by the means z of a mask over blocks of half a cell, with a slight ridge; of what they explain it knows the
    covariance with the masks exactly, and samples the rest alone (a regression estimator: no ridge and no
    choice of blocks biases it). Where the blocks explain a share r2 of the variance, its noise is that of
    centred from 1 / (1 - r2) times the masks.

    ``standard_error`` of each pixel is that of the mean over masks; residuals of the regression are divided by 1 less
    their leverage. Diagnostics: ``masks``; ``r2`` of each target, the share of the variance that the blocks explain
    at masks that the fit did not see (0 for the other estimators); ``stopped_by`` ``tolerance`` or ``budget``. The
    sums are taken over cells, not pixels, which keeps memory at a few pictures' worth whatever the budget.

    Without a target the probability of the top class is explained, as in the paper, where the InputSpec says what the
    output holds; else its score. In a sequence or a table row the mask runs along the last axis. Where the grid is as
    fine as the input nothing is interpolated: every pixel or column is kept by itself. The published masks cover with
    black after normalisation, which is ``baseline`` 0, the default.

    Notes
    -----
    When to use: Pictures of any model, when only outputs are available: a smooth map with a standard error a pixel.

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
        The input holds integers, which a smooth mask cannot mix.

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

    budget: int = integer(1001, "the most model evaluations a sample may cost: the input, and the masks", low=3)
    tolerance: float | None = real(
        None,
        "stop when every standard error is at most this share of the map's largest value",
        low=0,
        low_open=True,
        optional=True,
    )
    estimator: str = choice("least_squares", ("least_squares", "centred", "plain"), "how the answers become a map")
    grid: int | tuple[int, ...] = size(7, "cells of a mask, down and across")
    keep: float = real(0.5, "probability that a cell is kept", low=0.01, high=0.99)

    @property
    def value_kind(self) -> ValueKind:
        # The plain sum is the slope, shifted by the mean answer.
        return "importance" if self.estimator == "plain" else "contribution"

    def default_target(self, model: Model) -> Target | None:
        # As in the paper. A score without bounds goes on rising where the class is certain already.
        known = model.spec is not None and model.spec.activation != "none"
        return Target.probability() if known else None

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            check_smooth(dry_run.sample)
        return super().check_model(dry_run)

    def removal(self, sample: Sample) -> Removal:
        players, baseline = self.players(sample), self.draws(sample, (sample.main,))
        veil = SmoothMask(sample, players, baseline, self.grid, self.keep, self.seed)
        return Select(sample, players, baseline) if veil.cell == (1, 1) else veil

    def estimate(self, game: Game) -> GameResult:
        room = game.affordable or 0
        if room < 2:
            raise BudgetError(
                f"Rise needs at least {1 + 2 * game.removal.draws} model evaluations for two masks with each baseline, "
                f"and its budget is {self.budget}. Raise the budget."
            )
        space, code = self._space(game.removal)
        answers = np.empty((0, game.targets))
        for count in self.stages(min(_TRUSTED, room), room):
            answers = np.concatenate([answers, evaluate(game, code, len(answers), count)])
            values, error, r2 = self._estimate(space, answers)
            sure = self.tolerance is not None and bool(
                (error.max(axis=1) <= self.tolerance * np.abs(values).max(axis=1)).all()
            )
            if sure:
                break
        ended = "tolerance" if sure else "budget"
        return GameResult(values, error, {"masks": len(answers), "r2": r2, "stopped_by": ended})

    def _space(self, removal: Removal) -> tuple[MaskSpace, Callable[[int, int], Array]]:
        """The masks, and the codes that tell the removal of them."""
        if isinstance(removal, SmoothMask):
            grid, cell, extent = removal.grid, removal.cell, removal.plane.extent
        else:
            flat = removal.sample.picture_axes is None
            grid = extent = (1, removal.players.count) if flat else removal.sample.spatial("Rise")
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

    def _estimate(self, space: MaskSpace, answers: Array) -> tuple[Array, Array, list[float]]:
        """Values and standard errors (T, P), and r2 of each target."""
        count = len(answers)
        deviations = answers - answers.mean(axis=0)
        explained: Array | float = 0.0
        if self.estimator == "plain":
            # Each term is an answer times a mask; in the others a mask less its mean.
            weights = alone = answers
            middle, scale = 0.0, np.array(self.keep)
        else:
            weights = alone = deviations
            middle, scale = self.keep, space.variance()
            if self.estimator == "least_squares":
                explained, weights, alone = space.regressed(answers)
        sums, lone_sums, square_sums = space.moments(weights, alone**2)
        mean = sums / count
        squares = square_sums - 2 * middle * lone_sums
        squares += middle**2 * (alone**2).sum(axis=0)[:, None, None]
        variance = np.maximum(squares / count - mean**2, 0) / (count - 1)
        total, left = (deviations**2).sum(axis=0), (alone**2).sum(axis=0)
        told = (total > 0) & (self.estimator == "least_squares")
        r2 = np.where(told, 1 - left / np.where(total > 0, total, 1), 0.0)
        values, error = (explained + mean) / scale, np.sqrt(variance) / scale
        return values.reshape(len(values), -1), error.reshape(len(error), -1), r2.tolist()
