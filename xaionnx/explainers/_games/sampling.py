"""Parts shared by sampling methods: budget, tolerance and stopping rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.cost import writing
from xaionnx.explainers._games.results import GameResult
from xaionnx.hooks import hook
from xaionnx.parameters import integer, stopping_tolerance
from xaionnx.perturb.game import BySample, Game
from xaionnx.typing import Array, Entry

# Codes held at once, and numbers in them: bounds the memory whatever the budget, and leaves few incomplete batches.
_ROWS, _NUMBERS = 4096, 2**24

# For more players, what an estimate costs is to be asked for.
_MOST_PLAYERS: Final = 1024

# Evaluates the codes ``start`` to ``stop`` that a callable makes; returns (stop - start, T).
Evaluator = Callable[[Callable[[int, int], Array], int, int], Array]

CHOSEN: Final = "the samples chose the features, and there is no standard error of that choice"
"""Why a result has no standard error."""


def budget_parameter(default: int, low: int = 2, of: str = "") -> int | None:
    """Return a dataclass field for a budget; ``default`` is that of the class, for each baseline."""
    words = f"maximum number of model evaluations per sample{of}; {default:,}, for each background row, if not given"
    return integer(None, words, optional=True, low=low)


@dataclass(frozen=True, kw_only=True)
class HasBudget:
    """Limits the evaluations of a :class:`GameExplainer`."""

    default_budget: ClassVar[int] = 2048
    """Evaluations per sample for each baseline, if no budget is given."""

    evaluations_per_player: ClassVar[int] = 0
    """How many more evaluations an estimate needs for each player, at least. The default grows with it, up to 1,024."""

    budget: int | None = budget_parameter(2048)

    @final
    def max_evaluations(self, draws: int, players: int) -> int:
        if self.budget is not None:
            return self.budget
        # One evaluation is that of the input, one that of the baseline.
        needed = self.fewest_coalitions(players) + 2
        return max(self.usual_budget, needed) * (draws if self.averages_over_baselines else 1)

    @property
    @hook
    def usual_budget(self) -> int:
        """Evaluations per sample for each baseline, if no budget is given: by default those of the class."""
        return self.default_budget

    @hook
    def fewest_coalitions(self, players: int) -> int:
        """How many coalitions the default budget allows at least, besides the empty and the full one."""
        return self.evaluations_per_player * min(players, _MOST_PLAYERS)

    @property
    @hook
    def averages_over_baselines(self) -> bool:
        """Whether each coalition is evaluated with every baseline."""
        return True

    @hook
    def planned_evaluations(self, players: int) -> int:
        return self.max_evaluations(1, players) - 1

    @final
    def affordable(self, game: Game, least: int) -> int:
        """How many codes the budget allows, not counting the empty coalition.

        Parameters
        ----------
        game : Game
        least : int
            The smallest number that gives an estimate.

        Raises
        ------
        BudgetError
            The budget does not allow ``least``.
        """
        draws = game.removal.draws
        affordable = (self.max_evaluations(draws, game.players) - 1) // draws - 1
        if affordable < least:
            several = f" and {draws} baselines" if draws > 1 else ""
            raise BudgetError(
                f"{type(self).__name__} needs at least {1 + (least + 1) * draws} model evaluations for {game.players} "
                f"features{several}, and its budget is {game.budget}. Raise the budget, or take fewer features."
            )
        return affordable


@dataclass(frozen=True, kw_only=True)
class HasTolerance:
    """Stops a :class:`GameExplainer` when its standard errors are small enough."""

    tolerance: float | None = stopping_tolerance(
        "stop when every standard error is at most this share of |f(x) - f(all removed)|"
    )

    @final
    def check_tolerance(self, option: str, chooses: bool) -> None:
        """Raise ParameterError if there is a tolerance and ``option`` lets the data choose the features."""
        if chooses and self.tolerance is not None:
            raise ParameterError(
                f"The 'tolerance' parameter of {type(self).__name__} must be None with {option}: the samples choose "
                f"the features, and there is no standard error of that. Got {self.tolerance} instead."
            )

    @final
    def stages(self, first: int, last: int, multiple: int = 1) -> Iterator[int]:
        """The numbers of evaluations after which the estimate is checked: growing by half each time, or only ``last``.

        Parameters
        ----------
        first, last : int
            The first and the last number; the first is rounded up to a multiple of ``multiple``.
        multiple : int
            All numbers except ``last`` are multiples of it.
        """
        if self.tolerance is not None:
            count = -(-first // multiple) * multiple
            while count < last:
                yield count
                count = -(-3 * count // (2 * multiple)) * multiple
        yield last

    @final
    def settled(self, game: Game) -> Settled:
        """The results of the samples of a game, each from the stage at which its standard errors are small enough."""
        limit = None if self.tolerance is None else self.tolerance * np.abs(game.full - game.empty)
        return Settled(game, limit)


@dataclass(frozen=True, kw_only=True)
class WithinBudget(HasTolerance, HasBudget):
    """Stops a :class:`GameExplainer` when its tolerance is reached or its budget is spent.

    A method evaluates coalitions in stages::

        last, settled = self.affordable(game, least), self.settled(game)
        for count in self.stages(first, last):
            ...                                # evaluate(game, rows, done, count), estimate
            if settled.add(GameResult(values, standard_error, {"stopped_by": "budget"})):
                break
        return settled.result

    With a tolerance, the standard error is checked after each stage, so the first stage must be large enough to
    estimate it. The result depends only on the seed, the budget and the tolerance.
    """


@final
class Settled:
    """Results of the samples of a game, each from the stage at which it stops by itself; the others are played on.

    Parameters
    ----------
    game : Game
        Of R samples with T targets each.
    limit : array (R T,) or None
        The largest standard error with which a target is settled; None if all evaluations are made.

    Attributes
    ----------
    result : GameResult
        Its diagnostic ``stopped_by`` is ``tolerance`` for samples that are settled before all is evaluated.
    """

    result: GameResult

    def __init__(self, game: Game, limit: Array | None) -> None:
        self._game, self._limit = game, limit
        self._is_open = np.ones(game.samples, dtype=bool)

    def add(self, result: GameResult, error: Array | None = None, limit: Array | None = None) -> bool:
        """Take the result of a stage for the samples that are open, and return whether none is open any more.

        The diagnostic ``stopped_by`` is that of samples which are not settled. ``error`` (R T, ...) is compared with
        the limit, by default the standard error of the values with that of all stages.
        """
        limit = self._limit if limit is None else limit
        error, samples = result.standard_error if error is None else error, self._game.samples
        within = np.zeros(samples, dtype=bool)
        if error is not None and limit is not None:
            largest = error.max(axis=1, initial=0.0)
            within = (largest <= limit).reshape(samples, -1).all(axis=1) & self._is_open
        reason = result.diagnostics["stopped_by"]
        reasons = ["tolerance" if one and reason != "enumeration" else reason for one in within]
        result = replace(result, diagnostics={**result.diagnostics, "stopped_by": BySample(reasons)})
        self.result = result if self._is_open.all() else _with_settled(result, self.result, self._is_open)
        self._is_open &= ~within
        self._game.settle(within)
        return not self._is_open.any()


def _with_settled(result: GameResult, before: GameResult, is_open: Array) -> GameResult:
    """A result in which samples that are not open have that of the stage before."""

    def chosen(new: Array, old: Array) -> Array:
        rows = np.repeat(is_open, len(new) // len(is_open))
        return np.where(rows.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    def entry(key: str) -> Entry:
        new, old = (
            one if isinstance(one, BySample) else BySample([one] * len(is_open))
            for one in (result.diagnostics[key], before.diagnostics[key])
        )
        return BySample([a if is_new else b for a, b, is_new in zip(new, old, is_open, strict=True)])

    errors = result.standard_error, before.standard_error
    return replace(
        result,
        values=chosen(result.values, before.values),
        standard_error=None if errors[0] is None or errors[1] is None else chosen(errors[0], errors[1]),
        maps={key: chosen(array, before.maps[key]) for key, array in result.maps.items()},
        diagnostics={key: entry(key) for key in result.diagnostics},
    )


def evaluate(game: Game, codes: Callable[[int, int], Array], start: int, stop: int) -> Array:
    """The targets for codes ``start`` to ``stop``, (stop - start, T).

    Parameters
    ----------
    codes : callable
        Makes the codes of an interval; only some thousands are held at once.
    """
    answers = np.empty((stop - start, game.targets))
    rows = max(1, min(_ROWS, _NUMBERS // game.players))
    with writing(game.players, (stop - start) * game.removal.draws):
        for begin in range(start, stop, rows):
            end = min(stop, begin + rows)
            answers[begin - start : end - start] = game.values(codes(begin, end))
    return answers


@final
class EvaluationCache:
    """Cache of evaluated coalitions: evaluating one again is free.

    It takes about 200 bytes per coalition.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._index: dict[bytes, int] = {}
        self._values = np.empty((0, game.targets))

    def values(self, coalitions: Callable[[int, int], Array], start: int, stop: int) -> Array:
        """The targets for coalitions ``start`` to ``stop``, (stop - start, T), as in :func:`evaluate`."""
        indices = np.empty(stop - start, dtype=np.intp)
        for begin in range(start, stop, _ROWS):
            rows = coalitions(begin, min(stop, begin + _ROWS))
            keys = [row.tobytes() for row in np.packbits(rows, axis=1)]
            new = {}
            for row, key in enumerate(keys):
                if key not in self._index:
                    self._index[key] = len(self._index)
                    new[key] = row
            if new:
                self._values = np.concatenate([self._values, self._game.values(rows[list(new.values())])])
            indices[begin - start : begin - start + len(keys)] = [self._index[key] for key in keys]
        values: Array = self._values[indices]
        return values


def completeness_gap(game: Game, values: Array) -> BySample:
    """The sum of each sample's values (R T, P) minus f(x) - f(all removed); of several targets, the largest gap."""
    gaps = np.reshape(np.ascontiguousarray(values).sum(axis=1) - (game.full - game.empty), (game.samples, -1))
    return BySample(gaps[np.arange(game.samples), np.abs(gaps).argmax(axis=1)].tolist())
