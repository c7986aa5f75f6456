"""Parts shared by sampling methods: budget, tolerance and stopping rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.cost import writing
from xaionnx.hooks import hook
from xaionnx.parameters import integer, stopping_tolerance
from xaionnx.perturb.game import BySample, Game
from xaionnx.typing import Array

# Codes held at once, and numbers in them: bounds the memory whatever the budget, and leaves few incomplete batches.
_ROWS, _NUMBERS = 4096, 2**24

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

    budget: int | None = budget_parameter(2048)

    @final
    def max_evaluations(self, draws: int) -> int:
        if self.budget is not None:
            return self.budget
        return self.default_budget * (draws if self.averages_over_baselines else 1)

    @property
    @hook
    def averages_over_baselines(self) -> bool:
        """Whether each coalition is evaluated with every baseline."""
        return True

    @hook
    def planned_evaluations(self, players: int) -> int:
        return self.max_evaluations(1) - 1

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
        affordable = (self.max_evaluations(draws) - 1) // draws - 1
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
    def within_tolerance(self, game: Game, standard_error: Array | None) -> bool:
        """Whether every target and player is within the tolerance.

        Parameters
        ----------
        standard_error : array (T, ...) or None
        """
        if self.tolerance is None or standard_error is None:
            return False
        largest = standard_error.reshape(len(standard_error), -1).max(axis=1, initial=0.0)
        return bool((largest <= self.tolerance * np.abs(game.full - game.empty)).all())

    @final
    def stopped_by(self, game: Game, standard_error: Array | None) -> str:
        """The diagnostic ``stopped_by``: ``tolerance`` or ``budget``."""
        return "tolerance" if self.within_tolerance(game, standard_error) else "budget"


@dataclass(frozen=True, kw_only=True)
class WithinBudget(HasTolerance, HasBudget):
    """Stops a :class:`GameExplainer` when its tolerance is reached or its budget is spent.

    A method evaluates coalitions in stages::

        last = self.affordable(game, least)
        for count in self.stages(first, last):
            ...                                # evaluate(game, rows, done, count), estimate
            if self.within_tolerance(game, standard_error):
                break

    With a tolerance, the standard error is checked after each stage, so the first stage must be large enough to
    estimate it. The result depends only on the seed, the budget and the tolerance.
    """


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
