"""What all methods share that explain by removing: from a batch to one game a sample, and back to a record."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from xaionnx.data.sample import Sample, split
from xaionnx.explainer import Explainer, provenance
from xaionnx.explanation import Arrays, Explanation, ValueKind
from xaionnx.parameters import integer
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb import features as partitions
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, Select
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets, resolve
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@dataclass(frozen=True, eq=False)
class GameResult:
    """What a method found in one game.

    Attributes
    ----------
    values : array (T, P)
    standard_error : array (T, P) or None
    diagnostics : dict
        Numbers of this sample.
    maps : dict of arrays (T, ...)
        Further maps of this sample.
    """

    values: Array
    standard_error: Array | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@dataclass(frozen=True, kw_only=True)
class GameExplainer(Explainer):
    """A method that asks a game.

    A subclass says in :meth:`estimate` which coalitions it tries and how it sums up the answers.
    """

    needs: ClassVar[str] = "output"

    baseline: Any = baselines.parameter("what removal puts in")
    seed: int = integer(0, "seed of everything that is drawn", low=0, high=2**63 - 1)

    @property
    def value_kind(self) -> ValueKind:
        return "contribution"

    @abstractmethod
    def estimate(self, game: Game) -> GameResult:
        """Find the value of each player."""

    def planned(self, players: int) -> int:
        """How many evaluations a sample with so many players will cost at the most; 0 if unknown."""
        del players
        return 0

    def evaluations(self) -> int | None:
        """The most evaluations a sample may cost; None without such a limit."""
        return None

    def watched(self, model: Model, target: Any) -> list[Target]:
        """Further numbers that :meth:`estimate` reads from the same evaluations."""
        del model, target
        return []

    def applier(self) -> str:
        """How codes are answered; see `xaionnx.perturb.appliers.applier`."""
        return "auto"

    @abstractmethod
    def removal(self, sample: Sample) -> Removal:
        """Who can be removed from a sample, and how."""

    def draws(self, sample: Sample, names: tuple[str, ...]) -> dict[str, Array]:
        """The baseline of the named inputs."""
        return Baseline.of(self.baseline).draws(sample, names, self.seed)

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        main = model.input().name
        target = self.default_target(model) if target is None else target
        resolution = resolve(target, model, feeds, self.watched(model, target))
        samples = split(feeds, main, model.spec, model.shared)
        games, answers = [], []
        for n, sample in enumerate(samples):
            removal = self.removal(sample)
            game = Game(
                resolution.model,
                resolution.selection.of_sample(n),
                removal,
                resolution.values[:, n],
                own=resolution.own,
                budget=self.evaluations(),
                applier_kind=self.applier(),
            )
            planned = self.planned(removal.players.count) * removal.draws
            planned = planned if game.budget is None else min(planned, game.budget - 1)
            progress.expect(planned)
            answers.append(self.estimate(game))
            # An early stop leaves some of the plan undone.
            progress.expect(game.evaluations - 1 - planned)
            games.append(game)
        return _record(self, model, feeds, target, resolution, games, answers, time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True)
class FeatureExplainer(GameExplainer):
    """A method whose players are features, present or absent."""

    features: Any = partitions.parameter("who the players are", "superpixels of a picture, else elements,")

    def removal(self, sample: Sample) -> Removal:
        players = Features.of(self.features).players(sample)
        return Select(sample, players, self.draws(sample, tuple(players.maps)))


def _record(
    explainer: GameExplainer,
    model: Model,
    feeds: Mapping[str, Array],
    target: Any,
    resolution: ResolvedTargets,
    games: Sequence[Game],
    answers: Sequence[GameResult],
    seconds: float,
) -> Explanation:
    """Join the answers of N samples."""

    def axis(array: Array) -> Array:
        return array if resolution.several else array[0]

    players = [game.removal.players for game in games]
    spread = [
        p.spread(answer.values, game.removal.sample.x) for p, answer, game in zip(players, answers, games, strict=True)
    ]
    names = [name for name in feeds if name in players[0].maps]
    values = {name: axis(np.stack([one[name] for one in spread], axis=1)) for name in names}
    empties = [game.known_empty for game in games]
    known = None if any(e is None for e in empties) else np.stack([e for e in empties if e is not None], axis=1)
    errors = [a.standard_error for a in answers]
    maps = {key: axis(np.stack([a.maps[key] for a in answers], axis=1)) for key in answers[0].maps}
    diagnostics: dict[str, Any] = {
        "evaluations": [game.evaluations for game in games],
        "players": [p.count for p in players],
        "seconds": round(seconds, 6),
    }
    for key in answers[0].diagnostics:
        diagnostics[key] = [answer.diagnostics.get(key) for answer in answers]
    main = model.input().name
    resolved: dict[str, Any] = {"baseline": Baseline.of(explainer.baseline)}
    if isinstance(explainer, FeatureExplainer):
        resolved["features"] = players[0].features
    return Explanation(
        method=explainer.name(),
        values=values[main] if set(names) == {main} else values,
        target=axis(resolution.selection.names[: resolution.own]),
        prediction=axis(resolution.values[: resolution.own]),
        baseline_prediction=None if known is None else axis(known),
        feature_values=axis(padded([a.values for a in answers])),
        features=_joined(players, names, main),
        standard_error=None if any(e is None for e in errors) else axis(padded([e for e in errors if e is not None])),
        maps=maps,
        diagnostics=diagnostics,
        provenance=provenance(explainer, model, feeds, Target.of(target)[0], resolved),
    )


def padded(values: Sequence[Array]) -> Array:
    """Arrays (T, P_n) as one (T, N, P), NaN where a sample has fewer players."""
    most = max(v.shape[1] for v in values)
    padded = np.full((values[0].shape[0], len(values), most), np.nan)
    for n, v in enumerate(values):
        padded[:, n, : v.shape[1]] = v
    return padded


def _joined(players: Sequence[Players], names: Sequence[str], main: str) -> Arrays:
    """Label maps of N samples: one for all where they are equal."""
    joined = {}
    for name in names:
        maps = [p.maps[name] for p in players]
        alike = all(m.shape == maps[0].shape and np.array_equal(m, maps[0]) for m in maps[1:])
        joined[name] = maps[0][None] if alike else np.stack(maps)
    return joined[main] if list(joined) == [main] else joined
