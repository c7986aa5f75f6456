"""Inputs around samples that keep the features of an anchor, and searches that share the runs of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Final, TypeAlias, TypeVar, final

import numpy as np
from xaionnx_kernels.coalitions import bernoulli

from xaionnx.explainers._games.conditions import Condition
from xaionnx.explainers._games.kl_lucb import Anchor
from xaionnx.hooks import hook
from xaionnx.perturb.game import Game
from xaionnx.typing import Array

T = TypeVar("T")
# Yields anchors and how many inputs of each it needs, and is sent their targets (M, T) and scores of classes (M, W).
Search: TypeAlias = "Generator[tuple[list[Anchor], int], tuple[Array, Array], T]"

USUAL: Final = 32
"""Background rows whose mean target stands for nothing being kept."""


class Neighbourhood(ABC):
    """Inputs around one of the samples of a game, the one at ``place``.

    Attributes
    ----------
    cost : int
        Evaluations of an input.
    """

    cost: int = 1

    def __init__(self, game: Game, place: int, seed: int) -> None:
        self.game, self.place, self.seed = game, place, seed
        self.removal = game.removals[place]
        self.drawn = 0

    @abstractmethod
    def inputs(self, anchors: list[Anchor], count: int) -> dict[str, Array]:
        """Return ``count`` inputs for each anchor, by name; each is repeated ``cost`` times with other baselines."""

    @hook
    def evaluate(self, anchors: list[Anchor], count: int) -> tuple[Array, Array]:
        """Return the targets and the scores of ``count`` inputs for each anchor, without other samples."""
        inputs = self.inputs(anchors, count)
        return self.game.watch_apart(
            len(anchors) * count, lambda *part: {n: a[slice(*part)] for n, a in inputs.items()}
        )

    @hook
    def means(self, values: Array) -> Array:
        """Return the mean over the baselines, (M, ...), of the values (M B, ...) of inputs."""
        return values

    @abstractmethod
    def coverage(self, anchor: Anchor) -> float:
        """Return the share of inputs that meet the conditions of an anchor."""

    @abstractmethod
    def usual(self, target: int) -> Search[float]:
        """Return a target where nothing is kept."""


@final
class Coalitions(Neighbourhood):
    """Each other feature is absent with probability 1/2."""

    def __init__(self, game: Game, place: int, seed: int) -> None:
        super().__init__(game, place, seed)
        self.cost = self.removal.draws

    def _codes(self, anchors: list[Anchor], count: int) -> Array:
        """Draw ``count`` coalitions with all features of each anchor, one anchor after the other."""
        rows = bernoulli(self.seed, self.drawn, self.drawn + len(anchors) * count, self.game.players)
        self.drawn += len(rows)
        for number, anchor in enumerate(anchors):
            rows[number * count : (number + 1) * count, sorted(anchor)] = True
        return rows

    def inputs(self, anchors: list[Anchor], count: int) -> dict[str, Array]:
        codes = self._codes(anchors, count)
        found = {n: np.empty((len(codes) * self.cost, *a.shape), a.dtype) for n, a in self.removal.sample.own.items()}
        self.removal.begin(found)
        self.removal.fill(codes, slice(0, self.cost), found)
        return found

    def evaluate(self, anchors: list[Anchor], count: int) -> tuple[Array, Array]:
        # Codes of long inputs, such as pictures, take less memory.
        return self.game.watch(self._codes(anchors, count))

    def means(self, values: Array) -> Array:
        return values if self.cost == 1 else self.game.means(values.reshape(-1, self.cost, *values.shape[1:]))

    def coverage(self, anchor: Anchor) -> float:
        return 2.0 ** -len(anchor)

    def usual(self, target: int) -> Search[float]:
        yield from ()
        return float(self.game.empty[self.place * (self.game.targets // self.game.samples) + target])


@final
class BackgroundRows(Neighbourhood):
    """Background rows, with features of the anchor from rows that meet its conditions."""

    def __init__(self, game: Game, place: int, seed: int, conditions: Sequence[Condition]) -> None:
        super().__init__(game, place, seed)
        self.conditions = conditions
        self._holds = np.array([condition.holds for condition in conditions])
        self._meeting = [np.flatnonzero(holds) for holds in self._holds]
        removal = self.removal
        self._rows = {name: removal.baseline[name].reshape(removal.draws, -1) for name in removal.players.maps}

    def inputs(self, anchors: list[Anchor], count: int) -> dict[str, Array]:
        rng = np.random.default_rng([self.seed, self.drawn])
        self.drawn += 1
        sample, total = self.removal.sample, len(anchors) * count
        taken = rng.integers(self._holds.shape[1], size=total)
        flat = {name: rows[taken] for name, rows in self._rows.items()}
        for number, anchor in enumerate(anchors):
            part = slice(number * count, (number + 1) * count)
            for player in sorted(anchor):
                meeting = self._meeting[player]
                chosen = meeting[rng.integers(len(meeting), size=count)] if len(meeting) else None
                for name, places in self.conditions[player].places.items():
                    own = sample.x[name].reshape(-1)[places]
                    flat[name][part, places] = own if chosen is None else self._rows[name][chosen[:, None], places]
        kept = {n: np.repeat(a[None], total, axis=0) for n, a in sample.own.items() if n not in flat}
        return kept | {n: rows.reshape(-1, *sample.x[n].shape) for n, rows in flat.items()}

    def coverage(self, anchor: Anchor) -> float:
        return float(self._holds[sorted(anchor)].all(axis=0).mean())

    def usual(self, target: int) -> Search[float]:
        targets, _ = yield [frozenset()], USUAL
        return float(targets[:, target].mean())


def in_step(game: Game, around: Sequence[Neighbourhood], searches: Sequence[Search[T]]) -> list[T]:
    """Return what the searches of the samples of a game find; in each step one run of the model serves all of them."""
    found: dict[int, T] = {}
    asked: dict[int, tuple[list[Anchor], int]] = {}

    def proceed(place: int, answer: tuple[Array, Array] | None) -> None:
        try:
            asked[place] = searches[place].send(answer) if answer else next(searches[place])
        except StopIteration as end:
            found[place] = end.value
            asked.pop(place, None)

    for place in range(len(searches)):
        proceed(place, None)
    while asked:
        for place, answer in _answers(game, [(around[place], *one) for place, one in asked.items()]).items():
            proceed(place, answer)
    return [found[place] for place in range(len(searches))]


def _answers(game: Game, asked: Sequence[tuple[Neighbourhood, list[Anchor], int]]) -> dict[int, tuple[Array, Array]]:
    """The targets and the scores that the samples at some places ask for."""
    if not game.is_short:
        return {one.place: one.evaluate(anchors, count) for one, anchors, count in asked}
    inputs = [one.inputs(anchors, count) for one, anchors, count in asked]
    joined = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
    sizes = [len(anchors) * count * one.cost for one, anchors, count in asked]
    places = np.repeat([one.place for one, _, _ in asked], sizes)
    every = game.watch_apart(len(places), lambda *part: {n: a[slice(*part)] for n, a in joined.items()}, places)
    parts = [np.split(values, np.cumsum(sizes)[:-1]) for values in every]
    return {
        one.place: (one.means(targets), one.means(scores))
        for (one, _, _), targets, scores in zip(asked, *parts, strict=True)
    }
