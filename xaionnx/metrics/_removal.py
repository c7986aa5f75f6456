"""The base of metrics that remove features and look at the target."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

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
from xaionnx.typing import Array, BaselineLike, FeaturesLike


def quantity_parameter(default: str) -> str:
    """Return a dataclass field for what a metric evaluates."""
    return choice(default, ("target", "probability"), "what is evaluated: the target, or the probability of its class")


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
    """A metric that plays one game per sample: features are removed, and the target is evaluated."""

    default_features: ClassVar[Features] = DefaultFeatures("pixels", "pixels")
    """What is removed if no features are given."""

    features: FeaturesLike = partitions.parameter(
        "what is removed", "pixels of pictures, segments of series, words, and elements of other inputs,"
    )
    baseline: BaselineLike = baselines.parameter("replacement for removed features")
    quantity: str = quantity_parameter("target")
    seed: int = random_seed("seed of all random draws")

    @final
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
        each = []
        for n, sample in enumerate(evidence.samples):
            game = ablation.game(resolved, sample, evidence.request.evaluations)
            each.append(self.score(game, self.player_values(evidence, n, game.removal.players)))
        return measured(each)

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
    def score(self, game: Game, values: Array) -> SampleMeasure:
        """The score of the values (P,) of the players of one sample."""
