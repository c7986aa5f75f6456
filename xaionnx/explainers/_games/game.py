"""The base of methods that explain by removal: one game per sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Sample, Samples, split
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.layer_units import layer_path
from xaionnx.explainers._games.results import (
    GameResult,
    PlayedGames,
    in_sample_order,
    joined_attribution,
    with_null_players,
)
from xaionnx.explanation import ValueKind
from xaionnx.hooks import hook
from xaionnx.layers.embeddings import float_token_inputs
from xaionnx.parameters import choice, integer, random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.background import REDUCTIONS
from xaionnx.perturb.element_types import check_none_missing
from xaionnx.perturb.feature_removal import Mix, Select
from xaionnx.perturb.features import Features
from xaionnx.perturb.game import Game
from xaionnx.perturb.neighbours import EXPECTATIONS
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.removals import Removals, SharedRemoval
from xaionnx.perturb.short_rows import are_short
from xaionnx.perturb.text_removal import default_text_baseline, text_removal
from xaionnx.perturb.windows import Plane, SmoothMask
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.target import Target
from xaionnx.typing import Array, BaselineLike, Document, TargetLike

if TYPE_CHECKING:
    from xaionnx.layers.path import LayerPath

# Numbers of a game that are held at once, and samples of one.
_NUMBERS: Final = 2**22
_MOST_SAMPLES: Final = 4096


@dataclass(frozen=True, kw_only=True)
class GameExplainer(FromBackground, Explainer):
    """A method that explains by removing players, in one game per sample.

    A subclass defines in :meth:`estimate` which coalitions are evaluated and how their values become an attribution.
    """

    needs: ClassVar[str] = "output"
    plays_together: ClassVar[bool] = False
    """Whether :meth:`estimate` may be given the games of several samples at once."""
    null_players_get_zero: ClassVar[bool] = False
    """Whether players that change nothing get 0 and leave the values of the others as they are, so that games are
    played without them. The maps of such a method are of pairs of players, (T, P, P)."""

    may_be_conditional: ClassVar[bool] = True
    """Whether :meth:`estimate` evaluates coalitions only, whose background rows can be those near the sample."""

    baseline: BaselineLike = baselines.parameter("replacement for removed features")
    background_reduction: str = choice(
        "sample", REDUCTIONS, "how many rows become few: a random sample, or rows near k-means centres, with weights"
    )
    expectation: str = choice(
        "interventional",
        EXPECTATIONS,
        "whether absent columns come from all background rows, or from those nearest in the present columns",
    )
    neighbours: int = integer(
        10,
        "background rows in the mean of a coalition, for expectation='conditional'; a budget allows for all rows",
        low=1,
    )
    seed: int = random_seed("seed of all random draws")

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution"

    @abstractmethod
    def estimate(self, game: Game) -> GameResult:
        """The value of each player, estimated from evaluations of the game.

        If the method :attr:`plays_together`, the targets of the game may be those of several samples: the values have a
        row for each, and a diagnostic that differs by sample is made by :meth:`xaionnx.perturb.game.Game.by_sample`.
        """

    @hook
    def renumbered(self, diagnostics: Document, players: Sequence[Array]) -> Document:
        """Return the diagnostics of a game of some players of each sample with their numbers among all players."""
        del players
        return diagnostics

    @hook
    def kinds(self, removals: Removals) -> Array:
        """Return a number for each of R samples, (R,): those with the same one may be played together.

        By default the number of players, which alone says what coalitions are evaluated.
        """
        different, which = removals.by_players()
        return np.array([one.players.count for one in different])[which]

    @hook
    def planned_evaluations(self, players: int) -> int:
        """The largest number of evaluations that a sample with ``players`` players will cost; 0 if unknown."""
        del players
        return 0

    @hook
    def max_evaluations(self, draws: int, players: int) -> int | None:
        """The most evaluations that a sample with this many baselines and players may cost; None without a limit."""
        del draws, players
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
    def shares_players(self, sample: Sample) -> bool:
        """Whether all samples of the batch of this one have the same players."""
        del sample
        return False

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
        parts: list[PlayedGames] = []
        for which, removals in self._groups(resolved, samples):
            _check_mixed(resolved.model, removals)
            parts += self._played(resolved, which, removals, evaluations)
        found = in_sample_order(joined_attribution(parts), np.concatenate([part.which for part in parts]))
        budgets = [part.game.budget for part in parts if part.game.budget is not None]
        if budgets:
            found = replace(found, parameters={**found.parameters, "budget": max(budgets)})
        if samples[0].text is None or self.replacement is not None:
            return found
        return replace(found, parameters={**found.parameters, "baseline": self.replacing(samples[0])})

    @final
    def games(self, resolved: ResolvedTargets, samples: Sequence[Sample], evaluations: Evaluations) -> Iterator[Game]:
        """The games of N samples with the resolved targets, without a budget.

        Short samples that follow each other and have the same players share a game.
        """
        for which, removals in self._groups(resolved, samples):
            _check_mixed(resolved.model, removals)
            yield self._game(resolved, which, removals, None, evaluations)

    def _game(
        self,
        resolved: ResolvedTargets,
        which: Array,
        removals: Removals,
        budget: int | None,
        evaluations: Evaluations,
    ) -> Game:
        return Game(
            resolved.model,
            resolved.selection.of_samples(which),
            removals,
            resolved.values[:, which],
            explained=resolved.count,
            weights=self.replacing(removals[0].sample).weights,
            neighbours=self._counted_neighbours(removals[0]),
            budget=budget,
            applier_kind=self.applier(),
            evaluations=evaluations,
        )

    def _played(
        self, resolved: ResolvedTargets, which: Array, every: Removals, evaluations: Evaluations
    ) -> Iterator[PlayedGames]:
        """Play the games of samples with the same players, each without its null players.

        Samples are played together if the same coalitions are evaluated for each, see :meth:`kinds`, so that the values
        of a sample do not depend on the other samples.
        """
        everybody = every[0].players
        null = np.zeros((len(every), everybody.count), dtype=bool)
        if self.null_players_get_zero:
            null = every.null_players()
        # A game needs a player.
        played = ~null | (null.all(axis=1, keepdims=True) & (np.arange(everybody.count) == 0))
        removals = every
        if null.any():
            some, which_some = np.unique(played, axis=0, return_inverse=True)
            removals = every.of_players([everybody.only(row) for row in some], which_some)
        kinds = self.kinds(removals)
        for kind in np.unique(kinds):
            alike = np.flatnonzero(kinds == kind)
            size = 1 if len(alike) == 1 else self._together(resolved, removals[alike[0]])
            for start in range(0, len(alike), size):
                own = alike[start : start + size]
                game, result = self._play_together(resolved, which[own], removals.some(own), evaluations)
                if null[own].any():
                    result = replace(
                        with_null_players(result, null[own]),
                        diagnostics=self.renumbered(result.diagnostics, [np.flatnonzero(row) for row in played[own]]),
                    )
                yield PlayedGames(game, which[own], everybody, null[own].sum(axis=1).tolist(), result)

    def _play_together(
        self, resolved: ResolvedTargets, which: Array, removals: Removals, evaluations: Evaluations
    ) -> tuple[Game, GameResult]:
        """The game of samples that are played together, and its result."""
        game = self._game(
            resolved, which, removals, self.max_evaluations(removals[0].draws, removals[0].players.count), evaluations
        )
        planned = self._planned(game)
        progress.expect(planned * game.samples)
        before = game.total_evaluations
        result = self.estimate(game)
        # After an early stop, fewer evaluations were made than planned.
        progress.expect(game.total_evaluations - before - planned * game.samples)
        return game, result

    def _counted_neighbours(self, removal: Removal) -> int | None:
        """How many background rows count for a coalition; None if all do."""
        if self.expectation == "interventional":
            return None
        weighed = self.replacing(removal.sample).weights is not None
        averages = self.may_be_conditional and getattr(self, "averages_over_baselines", True)
        if self.background is None or weighed or not averages:
            raise ParameterError(
                f"{type(self).__name__} with expectation='conditional' needs background rows that replace absent "
                "columns and count alike, in a method of coalitions such as kernel_shap: give background='rows.csv', "
                "and leave out background_reduction='kmeans' and neighbourhood='bins'."
            )
        return self.neighbours

    def _planned(self, game: Game) -> int:
        """The largest number of evaluations that the game costs for a sample; 0 if unknown."""
        planned = self.planned_evaluations(game.players) * game.removal.draws
        return planned if game.budget is None else min(planned, game.budget - 1)

    def _groups(self, resolved: ResolvedTargets, samples: Sequence[Sample]) -> Iterator[tuple[Array, Removals]]:
        """Yield the numbers and the removals of the samples whose games are played together."""
        first = samples[0]
        same_players = len(samples) > 1 and first.text is None and self.shares_players(first)
        same_removal = same_players and self.replacing(first).is_shared(first)
        one = self._bound_removal(resolved, first)
        size = self._together(resolved, one) if same_players else 1
        for start in range(0, len(samples), size):
            which = np.arange(start, min(len(samples), start + size))
            if same_removal and isinstance(samples, Samples):
                yield which, SharedRemoval(one, samples, which)
                continue
            each = [one if n == 0 else self._bound_removal(resolved, samples[n]) for n in which.tolist()]
            if len({removal.draws for removal in each}) == 1:
                yield which, Removals.of(each)
            else:
                yield from ((np.array([n]), Removals.of(one)) for n, one in zip(which.tolist(), each, strict=True))

    def _bound_removal(self, resolved: ResolvedTargets, sample: Sample) -> Removal:
        """The removal of a sample, for its targets."""
        return self.removal(sample).reading(resolved.selection, resolved.outputs, resolved.model)

    def _together(self, resolved: ResolvedTargets, removal: Removal) -> int:
        """The number of samples whose games are played together."""
        if not self.plays_together or self.applier() != "auto" or not are_short(resolved.model, removal):
            return 1
        count = removal.players.count
        codes = self.planned_evaluations(count) or self.max_evaluations(1, count) or count
        numbers = max(codes, count) * len(resolved.values)
        return int(np.clip(_NUMBERS // numbers, 1, _MOST_SAMPLES))


def _check_mixed(model: Model, removals: Removals) -> None:
    removal = removals[0]
    if isinstance(removal, Mix):
        for one in removals:
            check_none_missing({name: one.sample.x[name] for name in one.players.maps}, one.baseline)
    tokens = float_token_inputs(model) & removal.players.maps.keys() if isinstance(removal, Mix | SmoothMask) else ()
    if tokens:
        raise InputMismatchError(
            f"Input '{min(tokens)}' of {model.name} holds the numbers of tokens, which cannot be mixed with a "
            "baseline. Use a method whose features are present or absent, such as occlusion or shapley_sampling."
        )
