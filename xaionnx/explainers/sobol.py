"""Total Sobol indices: the share of the target's variance in which a feature is involved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.game import GameExplainer, GameResult
from xaionnx.explainers._games.sampling import Settled, WithinBudget, evaluate
from xaionnx.explanation import ValueKind
from xaionnx.parameters import stopping_tolerance
from xaionnx.perturb import features as partitions
from xaionnx.perturb.element_types import check_mixable
from xaionnx.perturb.features import DefaultFeatures, Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Mix, Removal
from xaionnx.perturb.text_removal import text_removal
from xaionnx.typing import Array, FeaturesLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


# The number of dimensions of scipy's Sobol sequence; a point needs two per player.
_MOST_DIMENSIONS = 21201
# The fewest points that give a variance. Squares of differences are skewed: for fewer points than the second number
# their mean is further off than 1.96 standard errors in far more than 5 % of all cases.
# A share of presence from which a word is present.
_HALF = 0.5
_LEAST, _TRUSTED = 4, 128


@final
@dataclass(frozen=True, kw_only=True)
class Sobol(WithinBudget, GameExplainer):
    """The share of the target's variance that remains if all players except i are fixed::

        ST_i = E[Var(f(M) | M without i)] / Var(f(M)),    f(M) = f(M x + (1 - M) baseline),  M uniform on [0, 1]^P
             = sum over points of (f(A) - f(A with player i of B))^2 / (2 n V)                   Jansen's estimator

    A and B are the two halves of a scrambled Sobol sequence of n = 2^k points in 2 P dimensions. The cost is n (P + 2)
    evaluations, with the largest k that the budget allows. Values lie in [0, 1] up to noise and have no sign: they
    measure how much a player matters, including its interactions. The values of a model without interactions sum to 1,
    others to more. They are 0 if the target does not vary.

    Each player takes a dimension of the sequence at random, since some pairs of dimensions are less uniform.
    ``standard_error`` is that of a ratio of means over independent points; the sequence is more uniform, so the error
    is overestimated for smooth models. It is given from 128 points on: with fewer, the squares that it rests on are too
    skewed. Diagnostics: ``first_order``, for each target and player the share Var(E[f | M_i]) / V that it explains
    alone, after Saltelli, at no extra cost; ``variance``, V of each target; ``points``, n; ``stopped_by``:
    ``tolerance`` or ``budget``; ``no_standard_error``, why there is none.

    Notes
    -----
    When to use: To find the parts that matter at all, alone or through interactions, with any model.

    When not to use: When the direction matters, because values have no sign. Tokens and other whole numbers, which
    cannot be mixed with a baseline.

    References
    ----------
    Fel, Cadene, Chalvidal, Cord, Vigouroux and Serre, Look at the variance! Efficient black-box explanations with
    Sobol-based sensitivity analysis, NeurIPS 2021, arXiv:2111.04138; Jansen, Analysis of variance designs for model
    output, Computer Physics Communications 117, 1999, doi:10.1016/S0010-4655(98)00154-4; Saltelli et al., Variance
    based sensitivity analysis of model output, Computer Physics Communications 181, 2010,
    doi:10.1016/j.cpc.2009.09.018.

    Raises
    ------
    BudgetError
        The budget does not allow four points.
    ParameterError
        More than 10,600 features.
    InputMismatchError
        An input has no float type, so it cannot be blended with a baseline.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, 0.0]]))
    >>> xaionnx.explain(model, np.ones((1, 3), np.float32), Sobol()).values.round(2)
    array([[0.2, 0.8, 0. ]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "sensitivity"
    axioms: ClassVar[tuple[str, ...]] = ("null player",)
    reference: ClassVar[str] = "Fel et al. 2021, arXiv:2111.04138"
    plays_together: ClassVar[bool] = True

    features: FeaturesLike = partitions.parameter(
        "who the players are", "a grid of 7 by 7 of pictures and elements of other inputs,"
    )
    tolerance: float | None = stopping_tolerance("stop when every standard error is at most this")

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None and self.features is None:
            _check_mixable(dry_run.sample, (dry_run.sample.main,))
        return super().check_model(dry_run)

    def players(self, sample: Sample) -> Players:
        if self.features is not None:
            return Features.of(self.features).players(sample)
        # Inputs of other types cannot be mixed with a baseline.
        mixed = {name: x for name, x in sample.data.items() if x.dtype.kind == "f" or name == sample.main}
        return DefaultFeatures("grid", "grid:4").players(replace(sample, x=mixed))

    def shares_players(self, sample: Sample) -> bool:
        return self.features is None or Features.of(self.features).are_shared(sample)

    def removal(self, sample: Sample) -> Removal:
        players = self.players(sample)
        if sample.text is not None:
            return text_removal(sample, players, self.replacing(sample), self.seed)
        _check_mixable(sample, tuple(players.maps))
        baseline = self.baseline_values(sample, tuple(players.maps))
        return Mix(sample, players, baseline)

    def estimate(self, game: Game) -> GameResult:
        players, affordable = game.players, game.affordable or 0
        if 2 * players > _MOST_DIMENSIONS:
            raise ParameterError(
                f"Sobol takes at most {_MOST_DIMENSIONS // 2} features. Got {players} instead. Take a coarser grid."
            )
        max_points = affordable // (players + 2)
        if max_points < _LEAST:
            least = 1 + _LEAST * (players + 2) * game.removal.draws
            raise BudgetError(
                f"Sobol needs at least {least} model evaluations for {players} features, and its budget is "
                f"{game.budget}. Raise the budget, or take fewer features."
            )
        outputs = np.empty((0, players + 2, game.targets))
        settled = Settled(game, None if self.tolerance is None else np.full(game.targets, self.tolerance))
        for codes in self._points(players, 1 << (max_points.bit_length() - 1)):
            # Half of a word is no word: present or absent, each with probability a half.
            rows = partial(_designs, codes if isinstance(game.removal, Mix) else codes >= _HALF)
            new = evaluate(game, rows, 0, len(codes) * (players + 2))
            outputs = np.concatenate([outputs, new.reshape(len(codes), players + 2, -1)])
            # Of one sample at a time, so that the bits are the same in any company.
            each = [_indices(part) for part in np.split(outputs, game.samples, axis=2)]
            total, first, error, variance = (np.concatenate(parts) for parts in zip(*each, strict=True))
            trusted = len(outputs) >= _TRUSTED
            diagnostics = {
                "first_order": game.by_sample(first),
                "variance": game.by_sample(variance),
                "points": len(outputs),
                "stopped_by": "budget",
            }
            if not trusted:
                diagnostics["no_standard_error"] = f"{len(outputs)} points are too few, it needs {_TRUSTED}"
            if settled.add(GameResult(total, error if trusted else None, diagnostics)):
                break
        return settled.result

    def _points(self, players: int, count: int) -> Iterator[Array]:
        """Points (n, 2 P) of one sequence: all at once, or, with a tolerance, in steps that double their number."""
        from scipy.stats import qmc

        rng = np.random.default_rng(self.seed)
        sequence = qmc.Sobol(2 * players, scramble=True, rng=rng)
        order = rng.permutation(2 * players)
        done = count if self.tolerance is None else min(count, _TRUSTED)
        yield sequence.random(done)[:, order]
        while done < count:
            yield sequence.random(done)[:, order]
            done *= 2


def _designs(points: Array, start: int, stop: int) -> Array:
    """The P + 2 rows of each point: A, B, and A with each player in turn taken from B."""
    players = points.shape[1] // 2
    point, row = np.divmod(np.arange(start, stop), players + 2)
    codes = np.where((row == 1)[:, None], points[point, players:], points[point, :players])
    swapped = np.flatnonzero(row > 1)
    player = row[swapped] - 2
    codes[swapped, player] = points[point[swapped], players + player]
    return codes if codes.dtype == bool else codes.astype(np.float32)


def _indices(outputs: Array) -> tuple[Array, Array, Array, Array]:
    """Total and first-order indices and standard errors (T, P), and the variance (T,), from outputs (n, P + 2, T)."""
    outputs = np.ascontiguousarray(outputs)
    centred = outputs - outputs[:, :2].mean(axis=(0, 1))
    a, b, swapped = centred[:, :1], centred[:, 1:2], centred[:, 2:]
    both = (np.square(a) + np.square(b)) / 2
    variance = both.mean(axis=0)
    over = np.where(variance > 0, variance, np.inf)
    parts = np.square(a - swapped) / 2
    total = parts.mean(axis=0) / over
    first = (b * (swapped - a)).mean(axis=0) / over
    error = (parts - total * both).std(axis=0, ddof=1) / over / np.sqrt(len(outputs))
    return total.T, first.T, error.T, variance[0]


def _check_mixable(sample: Sample, names: tuple[str, ...]) -> None:
    for name in names:
        instead = "Use a method whose features are present or absent, such as shapley_sampling."
        check_mixable(sample, name, "Sobol, which blends inputs with a baseline,", instead)
