"""The base of metrics that remove features and look at the target."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured
from xaionnx.explainers.feature_ablation import FeatureAblation
from xaionnx.hooks import hook
from xaionnx.parameters import choice, random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb import features as partitions
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.features import DefaultFeatures, Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.runtime import progress
from xaionnx.typing import Array, BaselineLike, FeaturesLike

# Numbers of coalitions that are held at once.
_NUMBERS: Final = 2**24


def quantity_parameter(default: str) -> str:
    """Return a dataclass field for what a metric evaluates."""
    return choice(default, ("target", "probability"), "what is evaluated: the target, or the probability of its class")


@final
@dataclass(frozen=True)
class Coalitions:
    """Coalitions of the players of a sample.

    Attributes
    ----------
    count : int
    rows : callable
        Returns those from ``start`` to ``stop``, bool (stop - start, P), True where a player is present.
    """

    count: int
    rows: Callable[[int, int], Array]

    @classmethod
    def none(cls, players: int) -> Coalitions:
        """No coalitions."""
        return cls(0, lambda start, stop: np.zeros((stop - start, players), dtype=bool))

    @classmethod
    def without(cls, removed: Array) -> Coalitions:
        """Those without the players that are ``removed``, bool (M, P)."""
        return cls(len(removed), lambda start, stop: ~removed[start:stop])

    @classmethod
    def without_one(cls, players: int) -> Coalitions:
        """All but one player, for each of them."""
        return cls(players, lambda start, stop: np.arange(start, stop)[:, None] != np.arange(players))


@final
@dataclass(frozen=True)
class Cells(Features):
    """At most ``count`` by ``count`` cells of a picture, segments of a series, words, and elements of other inputs."""

    count: int

    def resolved(self, sample: Sample) -> Features:
        if not sample.is_picture:
            return DefaultFeatures("pixels", "superpixels").resolved(sample)
        height, width = sample.placed("A grid").extent
        return Features.grid(min(self.count, height), min(self.count, width))

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return self.resolved(sample).label_maps(sample)

    def are_shared(self, sample: Sample) -> bool:
        return self.resolved(sample).are_shared(sample)


@dataclass(frozen=True, kw_only=True)
class ByRemoval(FromBackground, Metric):
    """A metric that removes features of each sample and evaluates the target: one game per sample."""

    default_features: ClassVar[Features] = DefaultFeatures("pixels", "pixels")
    """What is removed if no features are given."""

    features: FeaturesLike = partitions.parameter(
        "what is removed", "pixels of pictures, segments of series, words, and elements of other inputs,"
    )
    baseline: BaselineLike = baselines.parameter("replacement for removed features")
    quantity: str = quantity_parameter("target")
    seed: int = random_seed("seed of all random draws")

    @hook
    def measure(self, evidence: Evidence) -> Measure:
        resolved = evidence.targets(self.quantity)
        # Rows of a background are read once for all samples, which are of one kind.
        ablation = FeatureAblation(
            features=self.default_features if self.features is None else self.features,
            baseline=self.default_baseline(evidence.samples[0]) if self.replacement is None else self.baseline,
            background=self.background,
            background_size=self.background_size,
            seed=self.seed,
        ).bind(evidence.model)
        each, features = list[SampleMeasure](), None
        for game in ablation.games(resolved, evidence.samples, evidence.request.evaluations):
            features = features or game.removals[0].players.features
            each += self._scores(evidence, game)
        parameters = {"features": features, "baseline": ablation.replacing(evidence.samples[0])}
        return dataclasses.replace(measured(each), parameters=parameters)

    def _scores(self, evidence: Evidence, game: Game) -> list[SampleMeasure]:
        """The scores of the samples of a game."""
        values = [self.player_values(evidence, removal.sample.number, removal.players) for removal in game.removals]
        planned = [self.plan(own) for own in values]
        plans = [Coalitions.none(game.players) if isinstance(one, SampleMeasure) else one for one in planned]
        progress.expect(sum(one.count for one in plans) * game.removal.draws)
        targets = _targets(game, plans)
        return [
            one if isinstance(one, SampleMeasure) else self.score(own, found[:, 0], float(full))
            for one, own, found, full in zip(planned, values, targets, game.full, strict=True)
        ]

    @hook
    def default_baseline(self, sample: Sample) -> BaselineLike:
        """The baseline of samples like this one if none is given."""
        del sample
        return None

    @hook
    def player_values(self, evidence: Evidence, n: int, players: Players) -> Array:
        """The value (P,) of each player of sample ``n``: an order of the players, unless overridden."""
        return evidence.player_means(n, players)

    @abstractmethod
    def plan(self, values: Array) -> Coalitions | SampleMeasure:
        """The coalitions to evaluate for the values (P,) of the players of a sample, or why it has no score."""

    @abstractmethod
    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        """The score of the values (P,) of the players of a sample.

        Parameters
        ----------
        values : array (P,)
        targets : array (M,)
            The target for each of the planned coalitions.
        full : float
            The target at the input.
        """


def _targets(game: Game, plans: Sequence[Coalitions]) -> list[Array]:
    """The targets (M, 1) of each sample of a game for its coalitions."""
    if game.is_short:
        return game.values_of_each([plan.rows(0, plan.count) for plan in plans])
    # A long sample has a game of its own, of which only so many coalitions are held at once.
    (plan,), size = plans, max(1, _NUMBERS // game.players)
    parts = [game.values(plan.rows(start, min(start + size, plan.count))) for start in range(0, plan.count, size)]
    return [np.concatenate([np.zeros((0, 1)), *parts])]
