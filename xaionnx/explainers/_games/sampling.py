"""What all methods share that sample: a budget, a tolerance, and the rule that ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import BudgetError
from xaionnx.hooks import hook
from xaionnx.parameters import integer, real
from xaionnx.perturb.game import Game
from xaionnx.typing import Array

# Codes that exist at a time: whatever the budget, memory stays bounded, and few batches are cut short.
_ROWS = 4096

# Answers codes ``start`` to ``stop``, which a callable makes: (stop - start, T).
Answering = Callable[[Callable[[int, int], Array], int, int], Array]


@dataclass(frozen=True, kw_only=True)
class WithinBudget:
    """Lets a :class:`GameExplainer` go on until it is sure enough, or until its budget is spent.

    A method evaluates coalitions in stages::

        room = self.room(game, least)
        for count in self.stages(first, room):
            ...                                # evaluate(game, rows, asked, count), estimate
            if self.sure(game, standard_error):
                break

    With a tolerance, the estimate is looked at after each stage, and after the first at the earliest: there a
    standard error must already deserve trust. The result depends on the seed, the budget and the tolerance alone.
    """

    budget: int = integer(2048, "the most model evaluations a sample may cost", low=2)
    tolerance: float | None = real(
        None,
        "stop when every standard error is at most this share of |f(x) - f(all removed)|",
        low=0,
        low_open=True,
        optional=True,
    )

    @final
    def evaluations(self) -> int:
        return self.budget

    @hook
    def planned(self, players: int) -> int:
        return self.budget - 1

    @final
    def room(self, game: Game, least: int) -> int:
        """How many codes the budget allows, besides the one that removes everything.

        Parameters
        ----------
        game : Game
        least : int
            Fewer give no estimate.

        Raises
        ------
        BudgetError
            The budget does not allow ``least``.
        """
        draws = game.removal.draws
        room = (self.budget - 1) // draws - 1
        if room < least:
            several = f" and {draws} baselines" if draws > 1 else ""
            raise BudgetError(
                f"{type(self).__name__} needs at least {1 + (least + 1) * draws} model evaluations for {game.players} "
                f"features{several}, and its budget is {self.budget}. Raise the budget, or take fewer features."
            )
        return room

    @final
    def stages(self, first: int, last: int, multiple: int = 1) -> Iterator[int]:
        """How many answers there are when the estimate is looked at: growing by half, or only ``last``.

        Parameters
        ----------
        first, last : int
            The first and the last of the numbers, as far as ``multiple`` allows.
        multiple : int
            All numbers but ``last`` are multiples of it.
        """
        if self.tolerance is not None:
            count = -(-first // multiple) * multiple
            while count < last:
                yield count
                count = -(-3 * count // (2 * multiple)) * multiple
        yield last

    @final
    def sure(self, game: Game, standard_error: Array) -> bool:
        """Whether the tolerance is reached, for every target and player.

        Parameters
        ----------
        standard_error : array (T, ...)
        """
        if self.tolerance is None:
            return False
        largest = standard_error.reshape(len(standard_error), -1).max(axis=1, initial=0.0)
        return bool((largest <= self.tolerance * np.abs(game.full - game.empty)).all())

    @final
    def ending(self, game: Game, standard_error: Array) -> str:
        """The diagnostic ``stopped_by``: ``tolerance`` or ``budget``; ``enumeration`` where nothing is unknown."""
        return "tolerance" if self.sure(game, standard_error) else "budget"


def evaluate(game: Game, codes: Callable[[int, int], Array], start: int, stop: int) -> Array:
    """The targets for codes ``start`` to ``stop``, (stop - start, T).

    Parameters
    ----------
    codes : callable
        Makes the codes of any interval; only some thousands exist at a time.
    """
    answers = np.empty((stop - start, game.targets))
    for begin in range(start, stop, _ROWS):
        end = min(stop, begin + _ROWS)
        answers[begin - start : end - start] = game.values(codes(begin, end))
    return answers


@final
class Asked:
    """Coalitions that were asked already, so that one which comes again costs nothing.

    Takes some 200 bytes a coalition.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self._places: dict[bytes, int] = {}
        self._answers = np.empty((0, game.targets))

    def values(self, coalitions: Callable[[int, int], Array], start: int, stop: int) -> Array:
        """The targets for coalitions ``start`` to ``stop``, (stop - start, T); as :func:`evaluate`."""
        places = np.empty(stop - start, dtype=np.intp)
        for begin in range(start, stop, _ROWS):
            rows = coalitions(begin, min(stop, begin + _ROWS))
            keys = [row.tobytes() for row in np.packbits(rows, axis=1)]
            new = {}
            for row, key in enumerate(keys):
                if key not in self._places:
                    self._places[key] = len(self._places)
                    new[key] = row
            if new:
                self._answers = np.concatenate([self._answers, self._game.values(rows[list(new.values())])])
            places[begin - start : begin - start + len(keys)] = [self._places[key] for key in keys]
        found: Array = self._answers[places]
        return found


def completeness_gap(game: Game, values: Array) -> float:
    """The sum of the players' values (T, P) less f(x) - f(all removed); of several targets, the largest gap."""
    gaps = values.sum(axis=1) - (game.full - game.empty)
    return float(gaps[np.argmax(np.abs(gaps))])
