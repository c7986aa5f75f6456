"""What methods share that explain by removing: one game a sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.sample import Sample
from xaionnx.explainer import Explainer
from xaionnx.explanation import ValueKind
from xaionnx.hooks import hook
from xaionnx.parameters import integer
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb import features as partitions
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, Select
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.target import Target
from xaionnx.typing import Array, BaselineLike, Document, FeaturesLike, TargetLike


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
    diagnostics: Document = field(default_factory=dict)
    maps: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@dataclass(frozen=True, kw_only=True)
class GameExplainer(Explainer):
    """A method that explains by removing: a game for each sample.

    A subclass says in :meth:`estimate` which coalitions it evaluates, and how their values become an attribution.
    """

    needs: ClassVar[str] = "output"

    baseline: BaselineLike = baselines.parameter("what removal puts in")
    seed: int = integer(0, "seed of everything that is drawn", low=0, high=2**63 - 1)

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution"

    @abstractmethod
    def estimate(self, game: Game) -> GameResult:
        """Find the value of each player."""

    @hook
    def planned(self, players: int) -> int:
        """How many evaluations a sample with so many players will cost at the most; 0 if unknown."""
        del players
        return 0

    @hook
    def evaluations(self) -> int | None:
        """The most evaluations a sample may cost; None without such a limit."""
        return None

    @hook
    def watched(self, model: Model, target: TargetLike) -> list[Target]:
        """Further numbers that :meth:`estimate` reads from the same evaluations."""
        del model, target
        return []

    @hook
    def applier(self) -> str:
        """How codes are answered; see `xaionnx.perturb.appliers.applier`."""
        return "auto"

    @hook
    def players(self, sample: Sample) -> Players:
        """Who can be removed from a sample: by default the pixels of a picture, or else the places of the last axis."""
        last = np.arange(sample.array.shape[-1])
        return (Features.of(last) if sample.picture_axes is None else Features.pixels()).players(sample)

    @hook
    def removal(self, sample: Sample) -> Removal:
        """How players are removed: by default each element of an absent one is that of the baseline."""
        players = self.players(sample)
        return Select(sample, players, self.draws(sample, tuple(players.maps)))

    def draws(self, sample: Sample, names: tuple[str, ...]) -> dict[str, Array]:
        """The baseline of the named inputs."""
        return Baseline.of(self.baseline).draws(sample, names, self.seed)

    @hook
    def compute(self, request: Request) -> Attribution:
        resolved = request.resolve(self.watched(request.model, request.target))
        games, found = [], []
        for n, sample in enumerate(request.samples):
            removal = self.removal(sample)
            game = Game(
                resolved.model,
                resolved.selection.of_sample(n),
                removal,
                resolved.values[:, n],
                explained=resolved.count,
                budget=self.evaluations(),
                applier_kind=self.applier(),
                evaluations=request.evaluations,
            )
            planned = self.planned(removal.players.count) * removal.draws
            planned = planned if game.budget is None else min(planned, game.budget - 1)
            progress.expect(planned)
            before = game.evaluations
            found.append(self.estimate(game))
            # An early stop leaves some of the plan undone.
            progress.expect(game.evaluations - before - planned)
            games.append(game)
        return _joined(games, found)


@dataclass(frozen=True, kw_only=True)
class ByFeatures:
    """Makes features the players of a :class:`GameExplainer`, present or absent."""

    features: FeaturesLike = partitions.parameter("who the players are", "superpixels of a picture, else elements,")

    @final
    def players(self, sample: Sample) -> Players:
        return Features.of(self.features).players(sample)


def _joined(games: Sequence[Game], found: Sequence[GameResult]) -> Attribution:
    """The results of N games as one attribution."""
    players = [game.removal.players for game in games]
    spread = [p.spread(one.values, game.removal.sample.x) for p, one, game in zip(players, found, games, strict=True)]
    names = [name for name in games[0].removal.sample.x if name in players[0].maps]
    empties = [game.known_empty for game in games]
    errors = [one.standard_error for one in found]
    return Attribution(
        values={name: np.stack([one[name] for one in spread], axis=1) for name in names},
        baseline=None if any(e is None for e in empties) else np.stack([e for e in empties if e is not None], axis=1),
        players=PlayerValues(
            padded([one.values for one in found]),
            {name: _stacked([p.maps[name] for p in players]) for name in names},
            None if any(e is None for e in errors) else padded([e for e in errors if e is not None]),
        ),
        maps={key: np.stack([one.maps[key] for one in found], axis=1) for key in found[0].maps},
        diagnostics={
            "players": [p.count for p in players],
            **{key: [one.diagnostics.get(key) for one in found] for key in found[0].diagnostics},
        },
        parameters={"features": players[0].features},
    )


def padded(values: Sequence[Array]) -> Array:
    """Arrays (T, P_n) as one (T, N, P), NaN where a sample has fewer players."""
    most = max(v.shape[1] for v in values)
    padded = np.full((values[0].shape[0], len(values), most), np.nan)
    for n, v in enumerate(values):
        padded[:, n, : v.shape[1]] = v
    return padded


def _stacked(maps: Sequence[Array]) -> Array:
    """Label maps of N samples, (N, ...): one for all, (1, ...), where they are equal."""
    alike = all(m.shape == maps[0].shape and np.array_equal(m, maps[0]) for m in maps[1:])
    return maps[0][None] if alike else np.stack(maps)
