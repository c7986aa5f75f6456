"""The base of methods that explain by removal: one game per sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from xaionnx import parameters
from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.repeats import stack
from xaionnx.data.sample import Sample, split
from xaionnx.errors import InputMismatchError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.layer_units import LayerUnits, layer_path
from xaionnx.explanation import ValueKind
from xaionnx.hooks import hook
from xaionnx.layers.embeddings import float_token_inputs
from xaionnx.parameters import choice, random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb import features as partitions
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.background import REDUCTIONS
from xaionnx.perturb.deleting import DeletedTokens
from xaionnx.perturb.features import Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Mix, Removal, Select
from xaionnx.perturb.text_removal import default_text_baseline, text_removal
from xaionnx.perturb.windows import Plane, SmoothMask
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.target import Target
from xaionnx.text_record import player_spans
from xaionnx.typing import Array, BaselineLike, Document, FeaturesLike, TargetLike

if TYPE_CHECKING:
    from xaionnx.layers.path import LayerPath


@dataclass(frozen=True, eq=False)
class GameResult:
    """The result of one game.

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
class GameExplainer(FromBackground, Explainer):
    """A method that explains by removing players, in one game per sample.

    A subclass defines in :meth:`estimate` which coalitions are evaluated and how their values become an attribution.
    """

    needs: ClassVar[str] = "output"

    baseline: BaselineLike = baselines.parameter("replacement for removed features")
    background_reduction: str = choice(
        "sample", REDUCTIONS, "how many rows become few: a random sample, or rows near k-means centres, with weights"
    )
    seed: int = random_seed("seed of all random draws")

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution"

    @abstractmethod
    def estimate(self, game: Game) -> GameResult:
        """The value of each player, estimated from evaluations of the game."""

    @hook
    def planned_evaluations(self, players: int) -> int:
        """The largest number of evaluations that a sample with ``players`` players will cost; 0 if unknown."""
        del players
        return 0

    @hook
    def max_evaluations(self) -> int | None:
        """The largest number of evaluations that a sample may cost; None if there is no limit."""
        return None

    @hook
    def extra_targets(self, model: Model, target: TargetLike) -> list[Target]:
        """Further targets, which :meth:`estimate` reads from the same evaluations."""
        del model, target
        return []

    @hook
    def applier(self) -> str:
        """How codes are evaluated; see `xaionnx.perturb.appliers.applier`."""
        return "auto"

    @hook
    def players(self, sample: Sample) -> Players:
        """The players of a sample: by default its positions, such as pixels or steps in time, words, or columns."""
        if sample.text is not None:
            return Features.of(None).players(sample)
        return Features.of(Plane(sample, type(self).__name__).labels()).players(sample)

    @hook
    def removal(self, sample: Sample) -> Removal:
        """How players are removed: by default the elements of an absent player take the baseline's values."""
        players = self.players(sample)
        if sample.text is not None:
            return text_removal(sample, players, self.replacing(sample), self.seed)
        baseline, names = self.replacing(sample), tuple(players.maps)
        values = baseline.draws(sample, names, self.seed, may_interpolate=True)
        return Select(sample, players, values, frozenset(filter(baseline.interpolates, names)))

    @final
    def replacing(self, sample: Sample) -> Baseline:
        """The baseline of a sample: if none is given, that of a text is one that its tokenizer has."""
        given = self.replacement
        return default_text_baseline(sample) if given is None and sample.text is not None else Baseline.of(given)

    def baseline_values(self, sample: Sample, names: tuple[str, ...]) -> dict[str, Array]:
        """The baselines of the inputs ``names``."""
        return self.replacing(sample).draws(sample, names, self.seed)

    @property
    @hook
    def removed_layer(self) -> str | None:
        """The tensor whose units are removed; None for the inputs."""
        return None

    @hook
    def at_layer(self, path: LayerPath) -> GameExplainer:
        """The method with the defaults for the layer at the end of a path."""
        del path
        return self

    @hook
    def compute(self, request: Request) -> Attribution:
        layer = self.removed_layer
        if layer is None or layer == request.main:
            resolved = request.resolve(self.extra_targets(request.model, request.target))
            return self.play(resolved, request.samples, request.evaluations)
        path = layer_path(request, layer, self.extra_targets(request.model, request.target))
        roles = path.axes.roles
        # The InputSpec describes the input, not the layer.
        samples = split(path.feeds, layer, None, path.model.shared, roles=lambda name: roles if name == layer else ())
        attribution = self.at_layer(path).play(path.resolved, samples, request.evaluations)
        return replace(
            attribution,
            facts={**attribution.facts, "layer": path.facts()},
            parameters={**attribution.parameters, "layer": layer},
        )

    @final
    def play(self, resolved: ResolvedTargets, samples: Sequence[Sample], evaluations: Evaluations) -> Attribution:
        """One game for each of N samples, with the resolved targets."""
        games, results = [], []
        for n, sample in enumerate(samples):
            removal = self.removal(sample)
            removal.weights = self.replacing(sample).weights
            if isinstance(removal, DeletedTokens):
                removal.read_from(resolved.selection.of_sample(n), resolved.outputs)
            _check_mixed(resolved.model, removal)
            game = Game(
                resolved.model,
                resolved.selection.of_sample(n),
                removal,
                resolved.values[:, n],
                explained=resolved.count,
                budget=self.max_evaluations(),
                applier_kind=self.applier(),
                evaluations=evaluations,
            )
            planned = self.planned_evaluations(removal.players.count) * removal.draws
            planned = planned if game.budget is None else min(planned, game.budget - 1)
            progress.expect(planned)
            before = game.evaluations
            results.append(self.estimate(game))
            # After an early stop, fewer evaluations were made than planned.
            progress.expect(game.evaluations - before - planned)
            games.append(game)
        found = _attribution(games, results)
        if samples[0].text is None or self.replacement is not None:
            return found
        return replace(found, parameters={**found.parameters, "baseline": self.replacing(samples[0])})


@dataclass(frozen=True, kw_only=True)
class ByFeatures:
    """Makes features the players of a :class:`GameExplainer`; each is present or absent.

    With ``layer`` the players are parts of that tensor, any float tensor with the batch axis first between the input
    and the target. The part of the model after it runs, with its other inputs, such as skip connections, as they are at
    x. The values are those of the layer, and the baseline replaces units of the layer: zero switches them off.
    """

    features: FeaturesLike = partitions.parameter(
        "who the players are", "superpixels of pictures, segments of series and elements of other inputs,"
    )
    layer: str | None = parameters.name(
        "remove parts of this tensor instead: the channels of a map, tokens, else units, unless features are given"
    )

    @final
    @property
    def removed_layer(self) -> str | None:
        return self.layer

    @final
    def at_layer(self, path: LayerPath) -> Self:
        return self if self.features is not None else replace(self, features=LayerUnits(path.axes.letters))

    @final
    def players(self, sample: Sample) -> Players:
        return Features.of(self.features).players(sample)


def _attribution(games: Sequence[Game], results: Sequence[GameResult]) -> Attribution:
    """The results of N games as one attribution."""
    players = [game.removal.players for game in games]
    spread = [p.spread(r.values, game.removal.sample.x) for p, r, game in zip(players, results, games, strict=True)]
    names = [n for n in games[0].removal.sample.x if n in players[0].maps and n not in players[0].followers]
    empties = [game.known_empty for game in games]
    errors = [result.standard_error for result in results]
    return Attribution(
        values={name: stack([result[name] for result in spread], axis=1) for name in names},
        baseline=None if any(e is None for e in empties) else np.stack([e for e in empties if e is not None], axis=1),
        players=PlayerValues(
            pad_players([result.values for result in results]),
            {name: _stack_label_maps([p.maps[name] for p in players]) for name in names},
            None if any(e is None for e in errors) else pad_players([e for e in errors if e is not None]),
        ),
        maps={key: pad_maps([result.maps[key] for result in results]) for key in results[0].maps},
        diagnostics={
            "players": [p.count for p in players],
            **{key: [result.diagnostics.get(key) for result in results] for key in results[0].diagnostics},
        },
        parameters={"features": players[0].features},
        facts={**_names(players), **_spans(games)},
    )


def _names(players: Sequence[Players]) -> Document:
    """The names of the players of N samples for the record: one list, or one a sample if these differ."""
    each = [list(one.names) for one in players]
    longest = max(each, key=len)
    if not longest or any(len(one.names) != one.count for one in players):
        return {}
    return {"feature_names": longest if all(names == longest[: len(names)] for names in each) else each}


def _spans(games: Sequence[Game]) -> Document:
    """The characters of the players of texts, for each sample; empty if the samples are no texts."""
    found = []
    for game in games:
        sample, players = game.removal.sample, game.removal.players
        labels = players.maps.get(sample.main) if players.parts is None else players.parts
        found.append(None if sample.text is None or labels is None else player_spans(sample.text, labels))
    return {} if any(spans is None for spans in found) else {"spans": found}


def _check_mixed(model: Model, removal: Removal) -> None:
    tokens = float_token_inputs(model) & removal.players.maps.keys() if isinstance(removal, Mix | SmoothMask) else ()
    if tokens:
        raise InputMismatchError(
            f"Input '{min(tokens)}' of {model.name} holds the numbers of tokens, which cannot be mixed with a "
            "baseline. Use a method whose features are present or absent, such as occlusion or shapley_sampling."
        )


def pad_players(values: Sequence[Array]) -> Array:
    """Arrays (T, P_n) stacked to (T, N, P), with NaN where a sample has fewer players."""
    widest = max(v.shape[1] for v in values)
    if all(v.shape[1] == widest for v in values):
        return stack([v.astype(np.float64, copy=False) for v in values], axis=1)
    padded = np.full((values[0].shape[0], len(values), widest), np.nan)
    for n, v in enumerate(values):
        padded[:, n, : v.shape[1]] = v
    return padded


def pad_maps(maps: Sequence[Array]) -> Array:
    """Arrays (T, ...) stacked to (T, N, ...), with NaN where a sample has fewer players."""
    shape = np.max([m.shape for m in maps], axis=0)
    padded = [
        m
        if m.shape == (*shape,)
        else np.pad(m, [(0, n - k) for n, k in zip(shape, m.shape, strict=True)], constant_values=np.nan)
        for m in maps
    ]
    return np.stack(padded, axis=1)


def _stack_label_maps(maps: Sequence[Array]) -> Array:
    """Label maps of N samples, (N, ...), or (1, ...) if all are equal."""
    alike = all(m.shape == maps[0].shape and np.array_equal(m, maps[0]) for m in maps[1:])
    return maps[0][None] if alike else np.stack(maps)
