"""Removals of several samples with as many players, whose games are played together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, final, overload

import numpy as np

from xaionnx.data.sample import Samples
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.typing import Array

# Elements that are compared at once.
_NUMBERS: Final = 2**22


class Removals(Sequence[Removal]):
    """The removals of R samples, and their arrays side by side.

    Attributes
    ----------
    numbers : array of int (R,)
        The numbers of the samples in their batch.
    """

    numbers: Array

    @classmethod
    def of(cls, each: Removal | Sequence[Removal]) -> Removals:
        """The removals of samples that may differ in everything."""
        if isinstance(each, Removals):
            return each
        return _Listed([each] if isinstance(each, Removal) else each)

    @abstractmethod
    def inputs(self, name: str) -> Array:
        """Return an input of all samples, (R, ...)."""

    @abstractmethod
    def baselines(self, name: str) -> Array:
        """Return its baselines (R, B, ...), or (1, B, ...) if they are the same ones for all samples."""

    @abstractmethod
    def by_players(self) -> tuple[list[Removal], Array]:
        """Return a removal for each of the different players, and the number of that of each sample, (R,)."""

    @abstractmethod
    def some(self, places: Array) -> Removals:
        """Return the removals at some places."""

    @abstractmethod
    def of_players(self, players: Sequence[Players], which: Array) -> Removals:
        """Return the removals with ``players[which[r]]`` for the sample at place r."""

    @final
    def null_players(self) -> Array:
        """Return whether each player is equal in its sample and in all its baselines, bool (R, P).

        The samples have the same players.
        """
        first = self[0]
        names = [*first.players.maps]
        size = max(1, _NUMBERS // max(1, sum(first.baseline[name].size for name in names)))
        pieces = [self[start : start + size] for start in range(0, len(self), size)]
        return np.concatenate(
            [
                first.null_players({n: piece.inputs(n) for n in names}, {n: piece.baselines(n) for n in names})
                for piece in pieces
            ]
        )

    @overload
    def __getitem__(self, n: int) -> Removal: ...
    @overload
    def __getitem__(self, n: slice) -> Removals: ...
    def __getitem__(self, n: int | slice) -> Removal | Removals:
        return self.some(np.arange(len(self))[n]) if isinstance(n, slice) else self._one(range(len(self))[n])

    @abstractmethod
    def _one(self, place: int) -> Removal: ...

    def __len__(self) -> int:
        return len(self.numbers)


@final
class _Listed(Removals):
    """Removals that are there."""

    def __init__(self, each: Sequence[Removal]) -> None:
        self._each = each
        self.numbers = np.array([one.sample.number for one in each])

    def inputs(self, name: str) -> Array:
        return np.stack([one.sample.x[name] for one in self._each])

    def baselines(self, name: str) -> Array:
        arrays = [one.baseline[name] for one in self._each]
        return arrays[0][None] if all(array is arrays[0] for array in arrays) else np.stack(arrays)

    def by_players(self) -> tuple[list[Removal], Array]:
        first: dict[int, int] = {}
        which = np.array([first.setdefault(id(one.players), len(first)) for one in self._each])
        return [self._each[int(np.argmax(which == number))] for number in range(len(first))], which

    def some(self, places: Array) -> Removals:
        return _Listed([self._each[place] for place in places])

    def of_players(self, players: Sequence[Players], which: Array) -> Removals:
        return _Listed([one.of_players(players[n]) for one, n in zip(self._each, which.tolist(), strict=True)])

    def _one(self, place: int) -> Removal:
        return self._each[place]

    def __iter__(self) -> Iterator[Removal]:
        return iter(self._each)


@final
class SharedRemoval(Removals):
    """One removal with the same baseline for all samples, made for a sample when it is read.

    Parameters
    ----------
    like : Removal
        Of one of the samples.
    samples : Samples
        Of the batch.
    numbers : array of int (R,)
    players : sequence of Players, optional
        Those of ``like`` if not given.
    which : array of int (R,), optional
        Which of the players a sample has.
    """

    def __init__(
        self,
        like: Removal,
        samples: Samples,
        numbers: Array,
        players: Sequence[Players] = (),
        which: Array | None = None,
    ) -> None:
        self._like, self._samples, self.numbers = like, samples, numbers
        self._players = players or [like.players]
        self._which = np.zeros(len(numbers), dtype=np.intp) if which is None else which

    def inputs(self, name: str) -> Array:
        return np.asarray(self._samples.feeds[name][self.numbers])

    def baselines(self, name: str) -> Array:
        return self._like.baseline[name][None]

    def by_players(self) -> tuple[list[Removal], Array]:
        used, which = np.unique(self._which, return_inverse=True)
        return [self._like.of_players(self._players[n]) for n in used], which

    def some(self, places: Array) -> Removals:
        return SharedRemoval(self._like, self._samples, self.numbers[places], self._players, self._which[places])

    def of_players(self, players: Sequence[Players], which: Array) -> Removals:
        return SharedRemoval(self._like, self._samples, self.numbers, players, which)

    def _one(self, place: int) -> Removal:
        own = self._like.of_sample(self._samples[int(self.numbers[place])])
        return own.of_players(self._players[int(self._which[place])])
