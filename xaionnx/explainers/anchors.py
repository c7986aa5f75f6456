"""Anchors: conditions on few features under which the prediction stays the same, whatever the others are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.anchor_inputs import (
    USUAL,
    BackgroundRows,
    Coalitions,
    Neighbourhood,
    Search,
    in_step,
)
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.conditions import divisions_of
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.explainers._games.kl_lucb import Arms, BeamSearch, Found
from xaionnx.explainers._games.results import GameResult
from xaionnx.explainers._games.sampling import HasBudget
from xaionnx.explanation import ValueKind
from xaionnx.parameters import integer, real
from xaionnx.perturb.game import BySample, Game
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target
from xaionnx.text_record import player_words
from xaionnx.typing import Array, Entry, TargetLike


@final
@dataclass(frozen=True, kw_only=True)
class Anchors(HasBudget, ByFeatures, GameExplainer):
    """The rule of largest coverage whose precision is at least ``precision``::

        precision(A) = P(the prediction of z is that of x | z keeps the features of A)
        coverage(A)  = P(z meets the conditions of A)

    The value of a feature is 1 in the anchor, else 0. The prediction is the top class, or whether the top class is the
    target where that is another class. For other targets it is on which side of ``threshold`` the target is.

    For rows of a table with a ``background``, a feature is a condition: the bin of quartiles of a number, or an equal
    word; z is a random background row, in which each feature of A takes the values of another row that meets its
    condition. Without, and for text and pictures, z has the features of A, and each other one with probability 1/2;
    absent ones take the baseline.

    Anchors grow by one feature at a time from the ``beam`` best ones of each size, which KL-LUCB finds among their
    extensions. One is accepted if the lower bound of its precision is above ``precision - gap``, with probability
    1 - ``delta``; among accepted ones the largest coverage wins. The diagnostics have one entry by target:
    ``anchor``, the features; ``rule``, in words; ``precision`` and ``precision_bounds``, the estimate and its bounds;
    ``coverage``; ``found``, False if the budget or the features ended before a rule was accepted: the anchor is then
    the most precise one.

    Parameters
    ----------
    precision : float
        The share of equal predictions that a rule must have.
    delta : float
        Probability that a bound does not hold.
    gap : float
        How far below ``precision`` the lower bound may lie.
    epsilon : float
        By how much the best anchors of a size may be wrong.
    beam : int
        How many anchors of each size are extended.
    batch : int
        Inputs drawn for an anchor at once; fewer if the budget is small.
    threshold : float, optional
        Divides the values of a target into two predictions. Without, targets that are no class are divided halfway
        between f(x) and f(all removed).

    Notes
    -----
    When to use: Tables and text, for a rule that a person can check: "if these hold, the prediction is nearly sure to
    be this one".

    When not to use: Inputs near a class boundary, whose rules are long and cover nothing, and when the sizes of
    contributions matter; use ``kernel_shap``.

    References
    ----------
    Ribeiro, Singh and Guestrin, Anchors: high-precision model-agnostic explanations, AAAI 2018,
    doi:10.1609/aaai.v32i1.11491.

    Raises
    ------
    BudgetError
        The budget does not allow one input for each feature.
    ParameterError
        There are fewer than 10 background rows.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.polynomial(4, {(0, 2): 1.0}))      # 1 if columns 0 and 2 are there
    >>> result = xaionnx.explain(model, np.ones((1, 4), np.float32), Anchors(threshold=0.5))
    >>> result.values, result.diagnostics["precision"], result.diagnostics["coverage"]
    (array([[1., 0., 1., 0.]], dtype=float32), [[1.0]], [[0.25]])
    """

    may_be_conditional: ClassVar[bool] = False
    plays_together: ClassVar[bool] = True
    reference: ClassVar[str] = "Ribeiro et al. 2018, doi:10.1609/aaai.v32i1.11491"

    budget: int = integer(20_000, "maximum number of model evaluations per sample", low=2)
    background_size: int = integer(10_000, "maximum number of background rows that are used", low=1)
    precision: float = real(0.95, "share of equal predictions that a rule must have", low=0.5, high=1.0)
    delta: float = real(0.1, "probability that a bound does not hold", low=1e-6, high=0.5)
    gap: float = real(0.05, "how far below 'precision' the lower bound may lie", low=1e-4, high=0.5)
    epsilon: float = real(0.15, "by how much the best anchors of a size may be wrong", low=1e-3, high=1.0)
    beam: int = integer(4, "anchors of each size that are extended", low=1)
    batch: int = integer(32, "inputs drawn for an anchor at once", low=1)
    threshold: float | None = real(None, "value that divides a target into two predictions", optional=True)

    @property
    def value_kind(self) -> ValueKind:
        return "importance"

    def extra_targets(self, model: Model, target: TargetLike) -> list[Target]:
        del target
        classes = len(default_shape(model)) == 2 and default_shape(model)[1] != 1
        return [Target.classes()] if self.threshold is None and classes else []

    def estimate(self, game: Game) -> GameResult:
        each = game.targets // game.samples
        batch = self._affordable_batch(game)
        around = self._around(game)
        searches = [self._searches(game, one, each, batch) for one in around]
        by_sample = in_step(game, around, searches)
        values = np.zeros((game.samples, each, game.players))
        for place, found in enumerate(by_sample):
            for t, one in enumerate(found):
                values[place, t, sorted(one.anchor)] = 1
        words = [self._words(one) for one in around]
        diagnostics: dict[str, list[Entry]] = {
            "anchor": [[sorted(one.anchor) for one in found] for found in by_sample],
            "rule": [
                [" and ".join(own[k] for k in sorted(one.anchor)) for one in found]
                for own, found in zip(words, by_sample, strict=True)
            ],
            "precision": [[one.precision for one in found] for found in by_sample],
            "precision_bounds": [[list(one.bounds) for one in found] for found in by_sample],
            "coverage": [[one.coverage for one in found] for found in by_sample],
            "found": [[one.accepted for one in found] for found in by_sample],
        }
        return GameResult(
            values.reshape(game.targets, -1),
            None,
            {key: BySample(entries) for key, entries in diagnostics.items()},
            names=words if isinstance(around[0], BackgroundRows) else (),
        )

    def _around(self, game: Game) -> list[Neighbourhood]:
        if not self._in_rows(game):
            return [Coalitions(game, place, self.seed) for place in range(game.samples)]
        removals = game.removals
        alike = all(len(removals.baselines(name)) == 1 for name in game.removal.players.maps)
        divisions = divisions_of("Anchors", game.removal)
        found: list[Neighbourhood] = []
        for place, removal in enumerate(removals):
            divided = divisions if alike else divisions_of("Anchors", removal)
            conditions = [one.condition(removal.sample) for one in divided]
            found.append(BackgroundRows(game, place, self.seed, conditions))
        return found

    def _words(self, around: Neighbourhood) -> tuple[str, ...]:
        """The names of the players in a rule: of rows, their conditions."""
        if isinstance(around, BackgroundRows):
            return tuple(condition.rule for condition in around.conditions)
        sample, players = around.removal.sample, around.removal.players
        return player_words(sample, players) or tuple(f"feature {k}" for k in range(players.count))

    def _affordable_batch(self, game: Game) -> int:
        """The inputs of a batch, fewer where the budget does not allow one of each feature twice.

        Raises
        ------
        BudgetError
            It does not allow one input each.
        """
        in_rows, draws, targets = self._in_rows(game), game.removal.draws, game.targets // game.samples
        # What stands for nothing being kept, for targets that are no class.
        usual = USUAL if in_rows else draws
        each = targets * (game.players + 1) * (1 if in_rows else draws)
        left = self.budget - 1 - targets * usual
        if left < each:
            raise BudgetError(
                f"Anchors needs at least {each + self.budget - left} model evaluations for {game.players} features, "
                f"and its budget is {self.budget}. Raise the budget, or take fewer features."
            )
        return min(self.batch, max(1, left // (2 * each)))

    def _in_rows(self, game: Game) -> bool:
        """Whether z is a background row."""
        removal = game.removal
        return self.background is not None and all(
            removal.sample.x[name].ndim <= 1 and removal.sample.positions(name) is None for name in removal.players.maps
        )

    def _searches(self, game: Game, around: Neighbourhood, targets: int, batch: int) -> Search[list[Found]]:
        """Search for the rules of the targets of a sample, one after the other."""
        found: list[Found] = []
        for target in range(targets):
            one = yield from self._search(game, around, target, targets - target, batch)
            found.append(one)
        return found

    def _search(self, game: Game, around: Neighbourhood, target: int, left: int, batch: int) -> Search[Found]:
        event = yield from self._event(game, around, target)
        # Targets share the budget.
        limit = (spent := game.spent(around.place)) + (self.budget - spent) // left
        limits = self.precision, self.gap, self.delta, self.epsilon
        arms = Arms(batch, (limit - spent) / around.cost)
        search = BeamSearch(arms, around.coverage, *limits, min(self.beam, game.players)).over(game.players)
        try:
            anchors = next(search)
            while True:
                right: list[int] | None = None
                if game.spent(around.place) + len(anchors) * batch * around.cost <= limit:
                    answer = yield anchors, batch
                    right = [int(part.sum()) for part in np.split(event(*answer), len(anchors))]
                anchors = search.send(right)
        except StopIteration as end:
            found: Found = end.value
            return found

    def _event(self, game: Game, around: Neighbourhood, target: int) -> Search[Callable[[Array, Array], Array]]:
        """Return whether a prediction is that of the sample, for targets (M, T) and scores of classes (M, W)."""
        term = game.selection.terms[target]
        full, watched = (np.split(a, game.samples)[around.place] for a in (game.full, game.full_watched))
        if term.indices.shape[-1] == 1 and term.reference is None and len(watched) > 1:
            k = int(np.broadcast_to(term.indices, (game.samples, 1))[around.place, 0])
            own = int(watched.argmax()) == k
            return lambda _, scores: (scores.argmax(axis=1) == k) == own
        threshold = self.threshold
        if threshold is None:
            threshold = (float(full[target]) + (yield from around.usual(target))) / 2
        above = bool(full[target] > threshold)
        return lambda values, _: (values[:, target] > threshold) == above
