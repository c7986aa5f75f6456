"""Anchors: conditions on few features under which the prediction stays the same, whatever the others are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from xaionnx_kernels.coalitions import bernoulli

from xaionnx.errors import BudgetError
from xaionnx.explainers._games.conditions import Condition, conditions_of
from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.kl_lucb import Anchor, Arms, BeamSearch, Found
from xaionnx.explainers._games.sampling import HasBudget
from xaionnx.explanation import ValueKind
from xaionnx.parameters import integer, real
from xaionnx.perturb.game import Game
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target
from xaionnx.text_record import player_words
from xaionnx.typing import Array, TargetLike

# Background rows whose mean target stands for nothing being kept.
_USUAL: Final = 32


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
        batch = self._affordable_batch(game)
        conditions = conditions_of("Anchors", game.removal) if self._in_rows(game) else None
        found = [self._search(game, conditions, t, batch) for t in range(game.targets)]
        values = np.zeros((game.targets, game.players))
        for t, one in enumerate(found):
            values[t, sorted(one.anchor)] = 1
        names = () if conditions is None else tuple(condition.rule for condition in conditions)
        removal = game.removal
        words = (
            names or player_words(removal.sample, removal.players) or tuple(f"feature {k}" for k in range(game.players))
        )
        diagnostics = {
            "anchor": [sorted(one.anchor) for one in found],
            "rule": [" and ".join(words[k] for k in sorted(one.anchor)) for one in found],
            "precision": [one.precision for one in found],
            "precision_bounds": [list(one.bounds) for one in found],
            "coverage": [one.coverage for one in found],
            "found": [one.accepted for one in found],
        }
        return GameResult(values, None, diagnostics, names=names)

    def _affordable_batch(self, game: Game) -> int:
        """The inputs of a batch, fewer where the budget does not allow one of each feature twice.

        Raises
        ------
        BudgetError
            It does not allow one input each.
        """
        draws = self._draws(game)
        # What stands for nothing being kept, for targets that are no class.
        usual = _USUAL if self._in_rows(game) else draws
        each = game.targets * (game.players + 1) * draws
        left = self.budget - 1 - game.targets * usual
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

    def _draws(self, game: Game) -> int:
        return 1 if self._in_rows(game) else game.removal.draws

    def _search(self, game: Game, conditions: Sequence[Condition] | None, target: int, batch: int) -> Found:
        drawn = _Coalitions(game, self.seed) if conditions is None else _Rows(game, conditions, self.seed)
        same = self._event(game, drawn, target)
        # Targets share the budget.
        limit = game.evaluations + (self.budget - game.evaluations) // (game.targets - target)

        def draw(anchors: list[Anchor], count: int) -> list[int] | None:
            if game.evaluations + len(anchors) * count * self._draws(game) > limit:
                return None
            right = same(*drawn.evaluate(anchors, count))
            return [int(part.sum()) for part in np.split(right, len(anchors))]

        limits = self.precision, self.gap, self.delta, self.epsilon
        draws = (limit - game.evaluations) / self._draws(game)
        search = BeamSearch(Arms(draw, batch, draws), drawn.coverage, *limits, min(self.beam, game.players))
        return search.over(game.players)

    def _event(self, game: Game, drawn: _Neighbourhood, target: int) -> Callable[[Array, Array], Array]:
        """Whether a prediction is that of the sample, for targets (M, T) and scores of classes (M, W)."""
        term = game.selection.terms[target]
        single = term.indices.shape[-1] == 1 and term.reference is None
        if single and len(game.full_watched) > 1:
            k = int(term.indices.reshape(-1)[0])
            own = int(game.full_watched.argmax()) == k
            return lambda _, scores: (scores.argmax(axis=1) == k) == own
        threshold = self.threshold
        if threshold is None:
            threshold = float(game.full[target] + drawn.usual()[target]) / 2
        above = bool(game.full[target] > threshold)
        return lambda values, _: (values[:, target] > threshold) == above


class _Neighbourhood(ABC):
    """Inputs around the sample that keep the features of an anchor."""

    def __init__(self, game: Game, seed: int) -> None:
        self.game, self.seed = game, seed
        self.drawn = 0

    @abstractmethod
    def evaluate(self, anchors: list[Anchor], count: int) -> tuple[Array, Array]:
        """The targets and the scores of ``count`` inputs for each anchor."""

    @abstractmethod
    def coverage(self, anchor: Anchor) -> float:
        """The share of inputs that meet the conditions of an anchor."""

    @abstractmethod
    def usual(self) -> Array:
        """The targets (T,) where nothing is kept."""


@final
class _Coalitions(_Neighbourhood):
    """Each other feature is absent with probability 1/2."""

    def evaluate(self, anchors: list[Anchor], count: int) -> tuple[Array, Array]:
        rows = bernoulli(self.seed, self.drawn, self.drawn + len(anchors) * count, self.game.players)
        self.drawn += len(rows)
        for number, anchor in enumerate(anchors):
            rows[number * count : (number + 1) * count, sorted(anchor)] = True
        return self.game.watch(rows)

    def coverage(self, anchor: Anchor) -> float:
        return 2.0 ** -len(anchor)

    def usual(self) -> Array:
        return self.game.empty


@final
class _Rows(_Neighbourhood):
    """Background rows, with features of the anchor from rows that meet its conditions."""

    def __init__(self, game: Game, conditions: Sequence[Condition], seed: int) -> None:
        super().__init__(game, seed)
        self._conditions = conditions
        self._holds = np.array([condition.holds for condition in conditions])
        self._meeting = [np.flatnonzero(holds) for holds in self._holds]
        removal = game.removal
        self._rows = {name: removal.baseline[name].reshape(removal.draws, -1) for name in removal.players.maps}

    def evaluate(self, anchors: list[Anchor], count: int) -> tuple[Array, Array]:
        rng = np.random.default_rng([self.seed, self.drawn])
        self.drawn += 1
        sample, total = self.game.removal.sample, len(anchors) * count
        taken = rng.integers(self._holds.shape[1], size=total)
        flat = {name: rows[taken].copy() for name, rows in self._rows.items()}
        for number, anchor in enumerate(anchors):
            part = slice(number * count, (number + 1) * count)
            for player in sorted(anchor):
                meeting = self._meeting[player]
                chosen = meeting[rng.integers(len(meeting), size=count)] if len(meeting) else None
                for name, places in self._conditions[player].places.items():
                    own = sample.x[name].reshape(-1)[places]
                    flat[name][part, places] = own if chosen is None else self._rows[name][chosen[:, None], places]

        def feed(start: int, stop: int) -> dict[str, Array]:
            kept = {n: np.repeat(a[None], stop - start, axis=0) for n, a in sample.own.items() if n not in flat}
            return kept | {n: rows[start:stop].reshape(-1, *sample.x[n].shape) for n, rows in flat.items()}

        return self.game.watch_apart(total, feed)

    def coverage(self, anchor: Anchor) -> float:
        return float(self._holds[sorted(anchor)].all(axis=0).mean())

    def usual(self) -> Array:
        return np.asarray(self.evaluate([frozenset()], _USUAL)[0].mean(axis=0))
