"""The base of methods that explain by smooth random masks: RISE and its kin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from xaionnx_kernels import masks

from xaionnx.data.sample import Sample
from xaionnx.errors import BudgetError
from xaionnx.explainers._games.blas import one_blas_thread
from xaionnx.explainers._games.mask_space import MaskSpace
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import HasBudget, HasTolerance, budget_parameter, evaluate
from xaionnx.explanation import ValueKind
from xaionnx.parameters import choice, real, size, stopping_tolerance
from xaionnx.perturb.element_types import check_none_missing
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.windows import Plane, SmoothMask, check_smooth, mask_grid
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


ESTIMATORS = ("least_squares", "centred", "plain")
"""How outputs become a map."""

OF_MASKS = ": the input and the masks"
GRID = "cells of a mask along each axis of the positions"

# With fewer masks the standard errors are too uncertain to stop the sampling.
_TRUSTED = 400


@dataclass(frozen=True, kw_only=True)
class BySmoothMasks(HasTolerance, HasBudget):
    """Samples smooth random masks for a :class:`GameExplainer`; `xaionnx.explainers.rise.Rise` has the estimators."""

    default_budget: ClassVar[int] = 1001

    budget: int | None = budget_parameter(1001, 3, OF_MASKS)
    tolerance: float | None = stopping_tolerance(
        "stop when every standard error is at most this share of the map's largest value"
    )
    estimator: str = choice("least_squares", ESTIMATORS, "how outputs become a map")
    grid: int | tuple[int, ...] = size(7, GRID)
    keep: float = real(0.5, "probability that a cell is kept", low=0.01, high=0.99)

    @final
    @property
    def value_kind(self) -> ValueKind:
        # The plain sum is the slope plus a constant from the mean output.
        return "importance" if self.estimator == "plain" else "contribution"

    @final
    def check_masks(self, dry_run: DryRun) -> None:
        """Raise InputMismatchError if masks cannot blend the input."""
        if dry_run.sample is not None and not self._is_fine(dry_run.sample):
            check_smooth(dry_run.sample)

    def _is_fine(self, sample: Sample) -> bool:
        """Whether each position has a cell of its own, so that it is kept or removed as a whole."""
        _, cell = mask_grid(Plane(sample, type(self).__name__), self.grid)
        return max(cell) == 1

    @final
    def masked(self, sample: Sample, players: Players, baseline: dict[str, Array], seed: int) -> Removal:
        """Return the removal by masks."""
        if self._is_fine(sample):
            return Select(sample, players, baseline)
        check_smooth(sample)
        check_none_missing({sample.main: sample.array}, baseline)
        return SmoothMask(sample, players, baseline, self.grid, self.keep, seed)

    @final
    def sampled(self, game: Game, seed: int) -> GameResult:
        """Return the map of a game whose removal is by masks."""
        affordable = game.affordable or 0
        if affordable < 2:
            least = 1 + 2 * game.removal.draws
            raise BudgetError(
                f"{type(self).__name__} needs at least {least} model evaluations for two masks with each baseline, "
                f"and its budget is {game.budget}. Raise the budget."
            )
        space, code = self._space(game.removal, seed)
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
        return GameResult(
            values, error, {"masks": len(outputs), "r2": game.by_sample(np.array(r2)), "stopped_by": stopped_by}
        )

    def _space(self, removal: Removal, seed: int) -> tuple[MaskSpace, Callable[[int, int], Array]]:
        """The masks, and a callable for their codes in the removal."""
        if isinstance(removal, SmoothMask):
            grid, cell, extent = removal.grid, removal.cell, removal.plane.extent
        else:
            text = removal.sample.text is not None
            # Words of a text are kept or removed as a whole.
            extent = (1, removal.players.count) if text else Plane(removal.sample, type(self).__name__).extent
            grid = extent
            cell = (1,) * len(extent)

        def cells(start: int, stop: int) -> Array:
            return masks.rise_cells(seed, start, stop, grid, self.keep)

        def draw(start: int, stop: int) -> tuple[Array, Array]:
            return cells(start, stop), masks.rise_shifts(seed, start, stop, cell)

        def code(start: int, stop: int) -> Array:
            return (
                np.arange(start, stop)
                if isinstance(removal, SmoothMask)
                else cells(start, stop).reshape(stop - start, -1)
            )

        return MaskSpace(draw, grid, cell, extent, self.keep), code

    @one_blas_thread()
    def _estimate(self, space: MaskSpace, outputs: Array) -> tuple[Array, Array, list[float]]:
        """Values and standard errors (T, P), and r2 of each target."""
        count = len(outputs)
        deviations = outputs - outputs.mean(axis=0)
        # What a regression explains comes first; the moments of the masks are added.
        values = np.zeros((outputs.shape[1], *space.extent))
        if self.estimator == "plain":
            # Each term is an output times a mask; for the other estimators, times a mask minus its mean.
            weights = leave_one_out = outputs
            middle, scale = 0.0, np.full(space.extent, self.keep)
        else:
            weights = leave_one_out = deviations
            middle, scale = self.keep, space.variance()
            if self.estimator == "least_squares":
                values, weights, leave_one_out = space.regress(outputs)
        squares = leave_one_out**2
        unexplained, error = squares.sum(axis=0), np.empty_like(values)
        for part, mean, variance in space.moments(weights, squares, middle):
            # In place, since each holds a number a pixel and target: the mean square minus the square of the mean.
            mean /= count
            values[:, part] += mean
            values[:, part] /= scale[part]
            variance /= count
            variance -= np.square(mean, out=mean)
            np.maximum(variance, 0, out=variance)
            variance /= count - 1
            np.divide(np.sqrt(variance, out=variance), scale[part], out=error[:, part])
        total = (deviations**2).sum(axis=0)
        defined = (total > 0) & (self.estimator == "least_squares")
        r2 = np.where(defined, 1 - unexplained / np.where(total > 0, total, 1), 0.0)
        return values.reshape(len(values), -1), error.reshape(len(error), -1), r2.tolist()
