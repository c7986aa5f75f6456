"""Total Sobol indices: the share of the target's variance in which a feature is involved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import Settled, WithinBudget, evaluate
from xaionnx.explanation import ValueKind
from xaionnx.parameters import integer, stopping_tolerance
from xaionnx.perturb import features as partitions
from xaionnx.perturb.element_types import check_mixable
from xaionnx.perturb.feature_removal import Mix
from xaionnx.perturb.features import DefaultFeatures, Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_removal import text_removal
from xaionnx.student import student
from xaionnx.typing import Array, FeaturesLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


# The number of dimensions of scipy's Sobol sequence; a point needs two per player.
_MOST_DIMENSIONS = 21201
# A share of presence from which a word is present.
_HALF = 0.5
# The fewest points of a sequence, and the fewest points and sequences that give a standard error. Squares of
# differences are skewed: with fewer points their mean is further off than 1.96 errors in far more than 5 % of cases.
_LEAST, _TRUSTED, _SEQUENCES = 4, 512, 4


@final
@dataclass(frozen=True, kw_only=True)
class Sobol(WithinBudget, GameExplainer):
    """The share of the target's variance that remains if all players except i are fixed::

        ST_i = E[Var(f(M) | M without i)] / Var(f(M)),    f(M) = f(M x + (1 - M) baseline),  M uniform on [0, 1]^P
             = sum over points of (f(A) - f(A with player i of B))^2 / (2 n V)                   Jansen's estimator

    A and B are the two halves of a scrambled Sobol sequence of n = 2^k points in 2 P dimensions, or of R independent
    ones of n / R points. The cost is n (P + 2) evaluations, with the largest k that the budget allows. Values lie in
    [0, 1] up to noise and have no sign: they measure how much a player matters, including its interactions. The values
    of a model without interactions sum to 1, others to more. They are 0 if the target does not vary.

    Each player takes a dimension of the sequence at random, since some pairs of dimensions are less uniform.

    The error of one sequence cannot be estimated from its own points, which are not independent: there is none by
    default. ``standard_error`` is that of the mean over ``replicates`` R, from the spread of their contributions to the
    ratio, widened by Student's t for R - 1 degrees of freedom; it takes 4 of them and 512 points. R sequences of n / R
    points are less even than one of n, so values are less accurate: by a half to twice the squared error where features
    interact, and by five to thirty times for models close to linear, at R = 8. Diagnostics: ``first_order``, for each
    target and player the share Var(E[f | M_i]) / V that it explains alone, after Saltelli, at no extra cost;
    ``variance``, V of each target; ``points``, n; ``stopped_by``: ``tolerance`` or ``budget``; ``no_standard_error``,
    why there is none.

    Parameters
    ----------
    replicates : int
        R, at least 4 for standard errors; 8 to 16 are usual.

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
    doi:10.1016/j.cpc.2009.09.018; L'Ecuyer, Randomized quasi-Monte Carlo: an introduction for practitioners, in Monte
    Carlo and Quasi-Monte Carlo Methods, 2018, doi:10.1007/978-3-319-91436-7_2, for the replicates.

    Raises
    ------
    BudgetError
        The budget does not allow four points of each sequence.
    ParameterError
        More than 10,600 features; or a tolerance with fewer than 4 replicates.
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
    replicates: int = integer(
        1, f"independent sequences, whose spread gives the standard errors; fewer than {_SEQUENCES} give none", low=1
    )

    def check_parameters(self) -> None:
        if self.tolerance is not None and self.replicates < _SEQUENCES:
            raise ParameterError(
                f"The 'tolerance' parameter of Sobol must be None for fewer than {_SEQUENCES} replicates, which have "
                f"no standard error. Got {self.tolerance} instead. Set replicates=8."
            )

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
        each = affordable // (players + 2) // self.replicates
        if each < _LEAST:
            least = 1 + _LEAST * self.replicates * (players + 2) * game.removal.draws
            several = f" and {self.replicates} replicates" if self.replicates > 1 else ""
            raise BudgetError(
                f"Sobol needs at least {least} model evaluations for {players} features{several}, and its budget is "
                f"{game.budget}. Raise the budget, or take fewer features{' or replicates' if several else ''}."
            )
        outputs = np.empty((self.replicates, 0, players + 2, game.targets))
        settled = Settled(game, None if self.tolerance is None else np.full(game.targets, self.tolerance))
        for codes in self._points(players, 1 << (each.bit_length() - 1)):
            # Half of a word is not a word: present or absent, each with probability a half.
            flat = codes.reshape(-1, 2 * players)
            rows = partial(_designs, flat if isinstance(game.removal, Mix) else flat >= _HALF)
            new = evaluate(game, rows, 0, len(flat) * (players + 2))
            outputs = np.concatenate([outputs, new.reshape(*codes.shape[:2], players + 2, -1)], axis=1)
            if settled.add(self._result(game, outputs)):
                break
        return settled.result

    def _result(self, game: Game, outputs: Array) -> GameResult:
        # One sample at a time, so that the bits do not depend on the other samples.
        each = [_indices(part) for part in np.split(outputs, game.samples, axis=3)]
        total, first, error, variance = (np.concatenate(parts) for parts in zip(*each, strict=True))
        points = outputs.shape[0] * outputs.shape[1]
        diagnostics = {
            "first_order": game.by_sample(first),
            "variance": game.by_sample(variance),
            "points": points,
            "stopped_by": "budget",
        }
        if self.replicates < _SEQUENCES:
            diagnostics["no_standard_error"] = f"it is that of the mean over replicates, at least {_SEQUENCES} of them"
        elif points < _TRUSTED:
            diagnostics["no_standard_error"] = f"{points} points are too few, it needs {_TRUSTED}"
        return GameResult(total, None if "no_standard_error" in diagnostics else error, diagnostics)

    def _points(self, players: int, count: int) -> Iterator[Array]:
        """Points (R, m, 2 P), n / R of each sequence: all at once, or, with a tolerance, in steps that double them."""
        from scipy.stats import qmc

        rng = np.random.default_rng(self.seed)
        sequences = []
        for _ in range(self.replicates):
            sequence = qmc.Sobol(2 * players, scramble=True, rng=rng)
            sequences.append((sequence, rng.permutation(2 * players)))

        def further(some: int) -> Array:
            return np.stack([sequence.random(some)[:, order] for sequence, order in sequences])

        least = max(_LEAST, 1 << (-(-_TRUSTED // self.replicates) - 1).bit_length())
        done = count if self.tolerance is None else min(count, least)
        yield further(done)
        while done < count:
            yield further(done)
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
    """Total and first-order indices and standard errors (T, P), and the variance (T,), from outputs (R, m, P + 2, T).

    The errors are those of the mean over R sequences, and 0 if there is one.
    """
    outputs = np.ascontiguousarray(outputs)
    replicates = len(outputs)
    centred = outputs - outputs[:, :, :2].mean(axis=(0, 1, 2))
    a, b, swapped = centred[:, :, :1], centred[:, :, 1:2], centred[:, :, 2:]
    both = (np.square(a) + np.square(b)) / 2
    variance = both.mean(axis=(0, 1))
    over = np.where(variance > 0, variance, np.inf)
    parts = np.square(a - swapped) / 2
    total = parts.mean(axis=(0, 1)) / over
    first = (b * (swapped - a)).mean(axis=(0, 1)) / over
    each = (parts - total * both).mean(axis=1)
    error = np.zeros_like(total)
    if replicates > 1:
        error = student(replicates - 1) * each.std(axis=0, ddof=1) / over / np.sqrt(replicates)
    return total.T, first.T, error.T, variance[0]


def _check_mixable(sample: Sample, names: tuple[str, ...]) -> None:
    for name in names:
        instead = "Use a method whose features are present or absent, such as shapley_sampling."
        check_mixable(sample, name, "Sobol, which blends inputs with a baseline,", instead)
