"""LIME: a weighted linear model of the target around the input, over which features are present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.coalitions import all_coalitions, bernoulli

from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.conditions import divisions_of
from xaionnx.explainers._games.cost import check_regression
from xaionnx.explainers._games.feature_choice import CHOICES
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.local_surrogate import Fit, Penalty, fit
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.row_sampling import SampledRows
from xaionnx.explainers._games.sampling import CHOSEN, Settled, WithinBudget, evaluate
from xaionnx.explainers._games.tree_surrogate import fit_tree
from xaionnx.parameters import choice, integer, real
from xaionnx.perturb.background import SIZE
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.removals import Removals
from xaionnx.typing import Array

# With more players there are more coalitions than any budget allows.
_MOST_ENUMERATED = 30
# Background rows of bins, which cost no evaluations.
_ROWS = 10_000
# Rows of a neighbourhood in bins, as in the authors' implementation.
_SAMPLES = 5_000


@final
@dataclass(frozen=True, kw_only=True)
class Lime(WithinBudget, ByFeatures, GameExplainer):
    """The coefficients b of a local linear model of the target over present and removed features::

        minimise  sum over z of w(z) (f(z) - b0 - b . z)^2 + alpha |b|^2
        w(z) = exp(-d(z)^2 / (2 width^2)),   d = 1 - cos(z, 1) = 1 - sqrt(present / P)     kernel="cosine"
                                             d = |1 - z| / sqrt(P) = sqrt(absent / P)      kernel="l2"
        w(z) = 1                                                                           kernel="uniform"

    As in the authors' implementation, the first coalition z is the input itself, at no cost. In the others each player
    is present with probability 1/2. If the budget allows all 2^P coalitions, each is used once. The kernel also follows
    the implementation; the paper's has no factor 2, so its width is ``kernel_width`` times the square root of 2.
    ``surrogate="lasso"`` is scikit-learn's Lasso: half the weighted mean of the squares, plus alpha |b|_1. ``select``
    keeps that many players and refits them; by default all are kept. ``selection`` says which: ``forward`` adds the one
    that leaves the smallest weighted squares, until there are enough; ``lasso_path`` is the paper's K-Lasso, those of
    the last point on the Lasso's path that has no more; ``weights`` are those with the largest coefficients. On credit
    data forward selection had the highest r2 of the three for each of 720 fits.

    With ``neighbourhood="bins"``, for rows of tables, z is not presence: numbers are divided at the quartiles of
    ``background`` rows, and z_i = 1 where column i is in the bin of the sample, or holds its word. Each row of the
    neighbourhood takes, in each column, the bin of a random row, and a number from the normal distribution of the rows
    in the bin, truncated to it (the tabular explainer of the authors' implementation, which has ``alpha=1``). The
    default budget is 5,000, as there: on credit data the error of the values is 8 % with it, and 17 % with 1,000. The
    names of features are then the conditions, such as ``24 < duration <= 36``.

    ``surrogate="tree"`` is a decision tree; the value of a feature is the sum of the changes of the mean at the splits
    by it, on the path of the sample.

    With uniform weights and ``alpha=0`` the values estimate Banzhaf values. With the small weights of a narrow kernel,
    a ridge of 1 shrinks all coefficients: compare only their order, or set ``alpha=0``. The value of a single player,
    such as the only word of a text, is the drop of the target without it, whatever the penalty.

    ``standard_error`` describes how other random coalitions would change a coefficient (the HC2 sandwich estimator,
    with Student's t for the few coalitions that weigh much), not its shrinkage by ``alpha``; it is 0 if all coalitions
    were used. If the coalitions choose the features (``select``, the Lasso) there is none, as it could not say how
    often another feature would have been chosen.
    Diagnostics per target: ``r2``, the weighted share of the outputs' variance that the surrogate explains (distrust
    the values if it is low); ``intercept``, b0; ``local_prediction``, the surrogate at the input. Diagnostics per
    sample: ``coalitions``, their number; ``stopped_by``: ``tolerance``, ``budget`` or ``enumeration``;
    ``no_standard_error``, why there is none.

    Parameters
    ----------
    kernel, kernel_width : str, float
        By default ``cosine`` with 0.25; with bins ``l2`` with 0.75, which is the authors' sqrt(exp(-(number of columns
        that differ) / (0.75^2 P))).

    Notes
    -----
    When to use: Any model, when a local linear model is the explanation that is needed; ``r2`` reports how well it
    fits.

    When not to use: When the values must sum to the change of the target or must not depend on a kernel width; use
    ``kernel_shap``. When ``r2`` is low. Thousands of players, for which the fit alone takes seconds (1,000) to minutes
    (4,000): group them.

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?": explaining the predictions of any classifier, KDD 2016,
    doi:10.1145/2939672.2939778, arXiv:1602.04938.

    Raises
    ------
    ParameterError
        The surrogate is the Lasso and alpha is 0; or there are so many players, above about 6,000, that the fit would
        take too long or too much memory.
    BudgetError
        The budget allows neither P + 2 coalitions nor all of them.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> result = xaionnx.explain(model, np.ones((1, 3), np.float32), Lime(alpha=0))
    >>> result.values.round(3)
    array([[ 1.,  2., -3.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity",)
    reference: ClassVar[str] = "Ribeiro et al. 2016, arXiv:1602.04938"
    plays_together: ClassVar[bool] = True
    default_budget: ClassVar[int] = 1000

    budget: int | None = integer(
        None,
        f"maximum number of model evaluations per sample; 1,000, for each background row, if not given, {_SAMPLES:,} "
        "for bins",
        optional=True,
        low=2,
    )
    neighbourhood: str = choice(
        "removal", ("removal", "bins"), "features are present or removed, or columns in the sample's bin of quartiles"
    )
    background_size: int | None = integer(
        None,
        f"maximum number of background rows that are used; {SIZE} if not given, {_ROWS:,} for bins",
        optional=True,
        low=1,
    )
    kernel: str = choice("auto", ("auto", "cosine", "l2", "uniform"), "distance by which coalitions are weighted")
    kernel_width: float | None = real(None, "width of the kernel", low=0, low_open=True, optional=True)
    surrogate: str = choice("ridge", ("ridge", "lasso", "tree"), "penalty of the linear model, or a decision tree")
    tree_depth: int = integer(4, "depth of the decision tree", low=1, high=20)
    alpha: float = real(1.0, "strength of the penalty", low=0)
    select: int | None = integer(None, "keep this many features", low=1, optional=True)
    selection: str = choice("forward", CHOICES, "how these features are chosen")

    def check_parameters(self) -> None:
        chooses = self.surrogate != "ridge"
        self.check_tolerance(
            f"surrogate='{self.surrogate}'" if chooses else "select", chooses or self.select is not None
        )
        if self.neighbourhood == "bins" and (self.background is None or self.layer is not None):
            raise ParameterError(
                "Lime needs background rows, as in background='rows.csv', and no layer, for neighbourhood='bins'. Got "
                f"{'no background' if self.background is None else 'a layer'}."
            )
        if self.surrogate == "lasso" and self.alpha == 0:
            raise ParameterError(
                "The 'alpha' parameter of Lime must be a float in (0, inf) for surrogate='lasso'. Got 0 instead; "
                "surrogate='ridge' with alpha=0 is least squares."
            )

    @property
    def usual_budget(self) -> int:
        return self.default_budget if self.neighbourhood == "removal" else _SAMPLES

    @property
    def averages_over_baselines(self) -> bool:
        return self.neighbourhood == "removal"

    @property
    def default_background_size(self) -> int:
        """The number of background rows if none is given: bins cost no evaluations."""
        return SIZE if self.neighbourhood == "removal" else _ROWS

    def kinds(self, removals: Removals) -> Array:
        if self.neighbourhood == "removal":
            return super().kinds(removals)
        if any(len(removals.baselines(name)) > 1 for name in removals[0].players.maps):
            return np.arange(len(removals))
        # Those around which the same rows are sampled.
        found: dict[object, int] = {}
        return np.array([found.setdefault(_not_removed(one), len(found)) for one in removals])

    def estimate(self, game: Game) -> GameResult:
        if self.neighbourhood == "bins":
            return self._in_bins(game)
        players = game.players
        draws = game.removal.draws
        if players <= _MOST_ENUMERATED and 2**players - 2 <= (self.max_evaluations(draws, players) - 1) // draws - 1:

            def coalitions(start: int, stop: int) -> Array:
                return all_coalitions(players, start, stop)

            between = evaluate(game, coalitions, 1, 2**players - 1)
            outputs = np.concatenate([game.empty[None], between, game.full[None]])
            exact = _line(game) if players == 1 else self._fit(coalitions, outputs, random=False)
            return _result(game, exact, len(outputs), "enumeration")
        joint = self.surrogate == "ridge" and self.select is None
        check_regression(type(self).__name__, players, players + 2, 1 if joint else game.targets // game.samples)
        affordable = self.affordable(game, players + 2)

        def rows(start: int, stop: int) -> Array:
            coalitions = bernoulli(self.seed, start, stop, players)
            coalitions[: 1 if start == 0 else 0] = True
            return coalitions

        outputs, settled = game.full[None], self.settled(game)
        for count in self.stages(min(affordable, 4 * players + 100), affordable):
            outputs = np.concatenate([outputs, evaluate(game, rows, len(outputs), count + 1)])
            if settled.add(_result(game, self._fit(rows, outputs), len(outputs), "budget")):
                break
        return settled.result

    def _in_bins(self, game: Game) -> GameResult:
        divisions = divisions_of(type(self).__name__, game.removal)
        check_regression(type(self).__name__, game.players, game.players + 2)
        budget = self.max_evaluations(1, game.players)
        if budget < game.players + 3:
            raise BudgetError(
                f"Lime needs at least {game.players + 3} model evaluations for {game.players} features, and its budget "
                f"is {budget}. Raise the budget, or take fewer features."
            )
        sampled = SampledRows(game.removal, divisions, self.seed, budget - 1)
        outputs, settled = game.full[None], Settled(game, None)
        for count in self.stages(4 * game.players + 100, budget - 1):
            done = len(outputs) - 1
            outputs = np.concatenate([outputs, game.common(count - done, partial(_shifted, sampled, done))])
            # Nothing is removed here: the tolerance is a share of the outputs' deviation.
            limit = None if self.tolerance is None else self.tolerance * outputs.std(axis=0)
            if settled.add(self._of_samples(game, sampled, outputs), limit=limit):
                break
        names = [tuple(one.condition(removal.sample).rule for one in divisions) for removal in game.removals]
        return replace(settled.result, names=names)

    def _of_samples(self, game: Game, sampled: SampledRows, outputs: Array) -> GameResult:
        """The result of samples that each meet other conditions in the same rows, from the targets (M, R T) there."""
        fits = []
        for removal, own in zip(game.removals, np.split(outputs, game.samples, axis=1), strict=True):
            same = np.concatenate([np.ones((1, game.players), dtype=bool), sampled.same(removal.sample, len(own) - 1)])
            fits.append(self._fit(partial(_part, same), own))
        return _result(game, Fit.joined(fits), len(outputs), "budget")

    def _fit(self, rows: Callable[[int, int], Array], outputs: Array, *, random: bool = True) -> Fit:
        weights = self._weights(rows, len(outputs))
        if self.surrogate == "tree":
            return fit_tree(rows(0, len(outputs)), weights, outputs, self.tree_depth, self.seed)
        penalty = Penalty(self.surrogate, self.alpha, self.select, self.selection)
        return fit(rows, weights, outputs, penalty, random=random)

    def _weights(self, rows: Callable[[int, int], Array], count: int) -> Array:
        bins = self.neighbourhood == "bins"
        kernel = ("l2" if bins else "cosine") if self.kernel == "auto" else self.kernel
        width = (0.75 if bins else 0.25) if self.kernel_width is None else self.kernel_width
        if kernel == "uniform":
            return np.ones(count)
        pieces = [rows(start, min(count, start + 4096)).mean(axis=1) for start in range(0, count, 4096)]
        present = np.concatenate(pieces)
        distance = 1 - np.sqrt(present) if kernel == "cosine" else np.sqrt(1 - present)
        weights: Array = np.exp(-np.square(distance / width) / 2)
        return weights


def _shifted(sampled: SampledRows, first: int, start: int, stop: int) -> dict[str, Array]:
    return sampled.feed(first + start, first + stop)


def _part(rows: Array, start: int, stop: int) -> Array:
    return rows[start:stop]


def _not_removed(removal: Removal) -> object:
    """What of a row no player removes, as a key."""
    sample, maps = removal.sample, removal.players.maps
    kept = {name: sample.x[name] for name in sample.own if name not in maps}
    kept |= {name: sample.x[name][np.broadcast_to(m < 0, sample.x[name].shape)] for name, m in maps.items()}
    return tuple((name, str(array.tolist())) for name, array in kept.items() if array.size)


def _line(game: Game) -> Fit:
    """The line through both outputs of each target of a single player, which leaves a penalty nothing to choose."""
    drop = (game.full - game.empty)[:, None]
    return Fit(drop, np.zeros_like(drop), game.empty, np.where(drop[:, 0] == 0, 0.0, 1.0))


def _result(game: Game, surrogate: Fit, coalitions: int, stopped_by: str) -> GameResult:
    local = surrogate.intercept + np.ascontiguousarray(surrogate.values).sum(axis=1)
    parts = {"r2": surrogate.r2, "intercept": surrogate.intercept, "local_prediction": local}
    diagnostics = {
        **{name: game.by_sample(array) for name, array in parts.items()},
        "coalitions": coalitions,
        "stopped_by": stopped_by,
        **({"no_standard_error": CHOSEN} if surrogate.standard_error is None else {}),
    }
    return GameResult(surrogate.values, surrogate.standard_error, diagnostics)
