"""Owen values of a hierarchy of players, group by group from the whole down.

The value of a part of a group is the mean, over the contexts of the group, of what the part adds to those parts of the
group that came before it. A context is a coalition of whole parts that are outside the group, at each level above.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, final

import numpy as np
from xaionnx_kernels import counter
from xaionnx_kernels.coalitions import all_coalitions
from xaionnx_kernels.permutations import permutations

from xaionnx.explainers._games.enumeration import semivalue, shapley_weights
from xaionnx.explainers._games.hierarchy import Group
from xaionnx.explainers._games.sampling import evaluate
from xaionnx.explainers._games.student import student
from xaionnx.perturb.game import Game
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# More coalitions of a hierarchy than any budget.
_COUNTLESS: Final = 2**62
# Up to this many parts of a group, all their coalitions are tried in a sampled context; else two orders, each the other
# reversed.
_FEW_PARTS: Final = 3
# The fewest contexts that give a standard error.
_FEWEST: Final = 2
# Weight, in contexts, of the mean variance of a level, to which the variance of each part is shrunk.
_PRIOR: Final = 5
_STREAM: Final = 0x40


@final
@dataclass(frozen=True, eq=False)
class _Contexts:
    """Coalitions of players outside a group.

    Attributes
    ----------
    rows : array of bool (C, P)
    without, joined : arrays (C, T)
        The values of the game for each, and with the group added.
    shares : array (C,)
        Their probabilities.
    complete : bool
        Whether they are all that there are.
    missing : float
        The share of all contexts of which none was drawn, if they were drawn from all.
    """

    rows: Array
    without: Array
    joined: Array
    shares: Array
    complete: bool
    missing: float = 1.0

    __repr__ = short_repr

    def drawn(self, count: int, start: float) -> _Contexts:
        """``count`` of them, equally spaced along the sum of their probabilities from a random ``start`` in [0, 1)."""
        places = (np.arange(count) + start) / count * self.shares.sum()
        chosen = np.minimum(np.searchsorted(np.cumsum(self.shares), places, side="right"), len(self.shares) - 1)
        part = self.rows[chosen], self.without[chosen], self.joined[chosen]
        missing = max(0.0, 1 - count / len(self.rows)) if self.complete else 1.0
        return _Contexts(*part, np.full(count, 1 / count), complete=False, missing=missing)


@final
@dataclass(frozen=True)
class Step:
    """How the value of a group is divided: in ``draws`` contexts, by all coalitions of its parts or by orders."""

    group: Group
    draws: int
    complete: bool
    by_orders: bool

    @property
    def per_draw(self) -> int:
        """Evaluations of a context."""
        parts = len(self.group.parts)
        return 2 * (parts - 1) if self.by_orders else 2**parts - 2

    @property
    def cost(self) -> int:
        """Evaluations."""
        return self.draws * self.per_draw


def plan(whole: Group, most: int) -> list[Step]:
    """The steps from the whole down if each takes at most ``most`` contexts, unless all of them cost no more."""
    steps, waiting = [], [(whole, 1, True)]
    while waiting:
        group, contexts, complete = waiting.pop(0)
        parts = len(group.parts)
        if not parts:
            continue
        few = parts <= _FEW_PARTS
        per_draw = 2**parts - 2 if few else 2 * (parts - 1)
        every = min(contexts, _COUNTLESS) * (2 ** min(parts, 60) - 2)
        complete = complete and every <= most * per_draw
        draws = contexts if complete else min(most, contexts) if few else most
        steps.append(Step(group, draws, complete, not few and not complete))
        further = draws * 2 ** min(parts - 1, 60) if few or complete else 2 * draws
        waiting += [(part, min(further, _COUNTLESS), complete) for part in group.parts]
    return steps


def affordable_plan(whole: Group, evaluations: int) -> list[Step]:
    """The steps with the most contexts that cost at most ``evaluations``; those of two contexts if none do."""
    low, high = _FEWEST, _COUNTLESS
    if _cost(whole, high) <= evaluations:
        return plan(whole, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _cost(whole, middle) <= evaluations else (low, middle)
    return plan(whole, low)


def fewest_evaluations(whole: Group) -> int:
    """What a hierarchy costs at least, besides the empty and the full coalition."""
    return _cost(whole, _FEWEST)


def _cost(whole: Group, most: int) -> int:
    return sum(step.cost for step in plan(whole, most))


@final
class OwenValues:
    """The values of the groups and players of a hierarchy, and the variances of their errors.

    Attributes
    ----------
    values, variances : dicts of arrays (T,) by group
    """

    def __init__(self, game: Game, whole: Group, steps: Sequence[Step], seed: int) -> None:
        self._game, self._seed = game, seed
        self.values = {whole: game.full - game.empty}
        self.variances = {whole: np.zeros(game.targets)}
        nobody = np.zeros((1, game.players), dtype=bool)
        self._contexts = {whole: _Contexts(nobody, game.empty[None], game.full[None], np.ones(1), complete=True)}
        self._number = self._drawn = 0
        remaining = [*steps]
        while remaining:
            # A level at once, so that the batches of the model are full.
            level = [step for step in remaining if step.group in self._contexts]
            remaining = [step for step in remaining if step.group not in self._contexts]
            self._divide(level)

    def _divide(self, level: Sequence[Step]) -> None:
        ways = [self._ways(step) for step in level]
        rows = np.concatenate([one.rows for one in ways])
        outputs = evaluate(self._game, lambda start, stop: rows[start:stop], 0, len(rows))
        ends = np.cumsum([len(one.rows) for one in ways])[:-1]
        gains = [one.take(part) for one, part in zip(ways, np.split(outputs, ends), strict=True)]
        spreads = [_spread(each, one.contexts) for each, one in zip(gains, ways, strict=True)]
        sampled = [spread.mean() for spread, step in zip(spreads, level, strict=True) if not step.complete]
        for number, step in enumerate(level):
            typical = float(np.mean(sampled)) if sampled else 0.0
            self._share(step, ways[number].contexts, gains[number], spreads[number], typical)
            for place, part in enumerate(step.group.parts):
                if part.parts:
                    self._contexts[part] = ways[number].before(place)
            del self._contexts[step.group]

    def _ways(self, step: Step) -> _Ways:
        contexts, players = self._contexts[step.group], self._game.players
        if not step.complete:
            self._drawn += 1
            start = float(counter.uniform(self._seed, _STREAM, self._drawn, self._drawn + 1, 1)[0, 0])
            contexts = contexts.drawn(step.draws, start)
        if not step.by_orders:
            return _AllWays(step.group, contexts, players)
        first, self._number = self._number, self._number + 2 * step.draws
        orders = permutations(self._seed, first, self._number, len(step.group.parts), "antithetic")
        return _Orders(step.group, replace(contexts, missing=1.0), players, orders)

    def _share(self, step: Step, contexts: _Contexts, gains: Array, spread: Array, typical: float) -> None:
        """Divide the value of a group among its parts, so that theirs add up to it."""
        count, parts = len(gains), len(step.group.parts)
        means = np.tensordot(contexts.shares, gains, 1)
        rest = self.values[step.group] - means.sum(axis=1)
        inherited = self.variances[step.group] / parts**2
        variances = np.zeros_like(means)
        if not step.complete:
            degrees = count - 1 + _PRIOR
            shrunk = np.maximum(spread, (spread * (count - 1) + typical * _PRIOR) / degrees)
            variances = student(degrees) ** 2 * shrunk / count
        for number, part in enumerate(step.group.parts):
            self.values[part] = means[:, number] + rest / parts
            self.variances[part] = variances[:, number] + inherited


def _spread(gains: Array, contexts: _Contexts) -> Array:
    """The variance (T, m) over contexts of what each part adds, less its equal share of what the group adds.

    From differences of neighbours, as contexts at equal distances differ in what comes first among the parts above.
    """
    own = gains - gains.mean(axis=2, keepdims=True)
    variance = np.square(np.diff(own, axis=0)).sum(axis=0) / max(1, 2 * (len(own) - 1))
    return np.asarray(contexts.missing * variance)


class _Ways(ABC):
    """Coalitions of the parts of a group, from none to all of them, that are tried in its contexts."""

    def __init__(self, group: Group, contexts: _Contexts, players: int) -> None:
        self.group, self.contexts = group, contexts
        self.members = np.zeros((len(group.parts), players), dtype=bool)
        for number, part in enumerate(group.parts):
            self.members[number, list(part.players)] = True

    @property
    @abstractmethod
    def unions(self) -> Array:
        """The players of each coalition of parts, (C or 1, W, P)."""

    @abstractmethod
    def take(self, values: Array) -> Array:
        """What each part adds in each context (C, T, m), for the inner coalitions' values (C * W', T)."""

    @abstractmethod
    def before(self, part: int) -> _Contexts:
        """The contexts of a part."""

    @property
    def rows(self) -> Array:
        """The inner coalitions with their contexts, context by context, (C * W', P)."""
        rows = self.contexts.rows[:, None] | self.unions[:, self._inner]
        return np.asarray(rows.reshape(-1, rows.shape[2]))

    @property
    def _inner(self) -> Array:
        """The numbers of the coalitions that are not evaluated yet."""
        counts = self.unions[0].sum(axis=1)
        return np.flatnonzero((counts > 0) & (counts < len(self.group.players)))

    def _with_ends(self, values: Array) -> Array:
        """The values (C, W, T) of all coalitions."""
        contexts = self.contexts
        counts = self.unions[0].sum(axis=1)
        found = np.where((counts > 0)[:, None], contexts.joined[:, None], contexts.without[:, None])
        found[:, self._inner] = values.reshape(len(contexts.rows), len(self._inner), -1)
        return found


@final
class _AllWays(_Ways):
    """All coalitions of the parts."""

    @cached_property
    def unions(self) -> Array:
        patterns = all_coalitions(len(self.members))
        return np.asarray((patterns.astype(np.float32) @ self.members > 0)[None])

    def take(self, values: Array) -> Array:
        parts = len(self.members)
        self._values = self._with_ends(values)
        by_coalition = np.moveaxis(self._values, 1, 0)
        gains = semivalue(by_coalition.reshape(2**parts, -1), shapley_weights(parts))
        return gains.reshape(*by_coalition.shape[1:], parts)

    def before(self, part: int) -> _Contexts:
        parts, contexts = len(self.members), self.contexts
        without = np.flatnonzero(~all_coalitions(parts)[:, part])
        weights = shapley_weights(parts)[[int(w).bit_count() for w in without]]
        rows = contexts.rows[:, None] | self.unions[:, without]
        values = self._values[:, without], self._values[:, without | (1 << part)]
        return _Contexts(
            rows.reshape(-1, rows.shape[2]),
            values[0].reshape(-1, values[0].shape[2]),
            values[1].reshape(-1, values[0].shape[2]),
            (contexts.shares[:, None] * weights).reshape(-1),
            contexts.complete,
        )


@final
class _Orders(_Ways):
    """Two orders of the parts in each context, each the other reversed."""

    def __init__(self, group: Group, contexts: _Contexts, players: int, orders: Array) -> None:
        super().__init__(group, contexts, players)
        self.orders = orders.reshape(len(contexts.rows), 2, -1).astype(np.intp)

    @cached_property
    def unions(self) -> Array:
        chains = np.zeros((*self.orders.shape[:2], len(self.members) + 1, self.members.shape[1]), dtype=bool)
        np.logical_or.accumulate(self.members[self.orders], axis=2, out=chains[:, :, 1:])
        return chains.reshape(len(chains), -1, chains.shape[3])

    def take(self, values: Array) -> Array:
        count, parts = len(self.orders), len(self.members)
        self._values = self._with_ends(values).reshape(count, 2, parts + 1, -1)
        gains = np.empty_like(self._values[:, :, 1:])
        np.put_along_axis(gains, self.orders[..., None], np.diff(self._values, axis=2), axis=2)
        return np.asarray(np.moveaxis(gains.mean(axis=1), 1, 2))

    def before(self, part: int) -> _Contexts:
        place = np.argmax(self.orders == part, axis=2)[:, :, None, None]
        chains = self.unions.reshape(*self.orders.shape[:2], len(self.members) + 1, -1)
        rows = self.contexts.rows[:, None] | np.take_along_axis(chains, place, axis=2)[:, :, 0]
        ends = [np.take_along_axis(self._values, place + step, axis=2)[:, :, 0] for step in (0, 1)]
        without, joined = (end.reshape(-1, end.shape[2]) for end in ends)
        shares = np.repeat(self.contexts.shares / 2, 2)
        return _Contexts(rows.reshape(-1, rows.shape[2]), without, joined, shares, complete=False)
