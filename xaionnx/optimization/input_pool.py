"""InputPool: inputs that are drawn at random from a data set, and read when they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

import numpy as np

from xaionnx.data.block import Refused
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Bytes of inputs that stay in memory, so that a small data set is read once.
_KEPT: Final = 2**28


@final
@dataclass(frozen=True, eq=False)
class InputPool:
    """Inputs of one shape of a data set of any size.

    Attributes
    ----------
    model : Model
        It reads the inputs.
    data : Dataset
    refused : dict of Refused by unit
        Those that were drawn and could not be read, or have another shape than the first.
    """

    model: Model
    data: Dataset
    refused: dict[int, Refused] = field(default_factory=dict)
    _read: dict[int, Array] = field(default_factory=dict, repr=False)

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, data: Dataset) -> InputPool:
        """Return the pool of a data set whose first input can be read.

        Raises
        ------
        DataError
            None can, or nobody knows how many there are.
        """
        if data.count is None:
            raise DataError("Inputs are drawn at random, but the end of an iterable is not known. Give a list of them.")
        pool = cls(model, data)
        if not any(pool._samples(unit) is not None for unit in range(data.count)):
            raise DataError(next((one.reason for one in pool.refused.values()), "The data set is empty."))
        return pool

    @property
    def left_out(self) -> tuple[Refused, ...]:
        """Those that were refused, in their order."""
        return tuple(self.refused[unit] for unit in sorted(self.refused))

    def drawn(self, count: int, rng: np.random.Generator) -> Array:
        """Return random inputs (N, ...), of which some may be the same."""
        found: list[Array] = []
        while len(found) < count:
            samples = self._samples(int(rng.integers(len(self.data))))
            if samples is not None:
                found.append(samples[rng.integers(len(samples))])
        return np.stack(found)

    def _samples(self, unit: int) -> Array | None:
        """The samples of a unit, (S, ...); None if it is refused."""
        if unit in self.refused:
            return None
        if unit not in self._read:
            samples = self._new(unit)
            if samples is None:
                return None
            self._read[unit] = samples
            if len(self._read) * samples.nbytes > _KEPT:
                del self._read[next(iter(self._read))]
            return samples
        return self._read[unit]

    def _new(self, unit: int) -> Array | None:
        """Read the samples of a unit; None, with an entry in ``refused``, if they cannot be used."""
        block = self.data.read(self.model, unit, unit + 1)[0]
        if block.inputs is None:
            self.refused[unit] = block.refused[0]
            return None
        samples = block.inputs.arrays[self.model.input().name]
        first = next(iter(self._read.values()), samples)
        if samples.shape[1:] != first.shape[1:]:
            reason = f"The inputs before it are {first.shape[1:]}, and this one is {samples.shape[1:]}. Give one size."
            self.refused[unit] = Refused(unit, block.inputs.names[0], reason)
            return None
        return samples
