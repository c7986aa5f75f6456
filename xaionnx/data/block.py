"""Block: samples of one shape that follow each other in a data set, ready for a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from xaionnx.data.inputs import Given, Inputs
from xaionnx.data.spec import InputSpec
from xaionnx.data.texts import TextOptions
from xaionnx.data.units import Label
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


class Reader(Protocol):
    """What converts inputs for a model: the model itself."""

    @property
    def shared(self) -> frozenset[str]: ...
    @property
    def pads_texts(self) -> bool: ...
    @property
    def input_spec(self) -> InputSpec: ...
    def read(
        self, x: Given, *, partial: bool = False, exif: bool = False, text: TextOptions | None = None
    ) -> Inputs: ...


@final
@dataclass(frozen=True)
class Refused:
    """A unit of a data set, or a row in it, that was left out.

    Attributes
    ----------
    unit : int
    name : str
        The file, or the name of the row.
    reason : str
        One sentence, and what to do next.
    """

    unit: int
    name: str
    reason: str


@final
@dataclass(frozen=True, eq=False)
class Block:
    """Samples of one shape that follow each other in a data set.

    Attributes
    ----------
    start, stop : int
        The units that it covers, without the latter.
    inputs : Inputs or None
        The N samples; None if all were refused.
    units : tuple of int
        The unit of each sample.
    refused : tuple of Refused
    labels : tuple
        One a sample, None where the data set has none.
    masks : array of bool (N, ...) or None
        The ground truth, if the data set has it.
    """

    start: int
    stop: int
    inputs: Inputs | None = None
    units: tuple[int, ...] = ()
    refused: tuple[Refused, ...] = ()
    labels: tuple[Label | None, ...] = ()
    masks: Array | None = None

    __repr__ = short_repr

    def some(self, kept: Sequence[int], shared: frozenset[str]) -> Block:
        """Return some of the samples, by their indices; the block still covers the same units."""
        assert self.inputs is not None  # there is nothing to choose from otherwise
        return dataclasses.replace(
            self,
            inputs=self.inputs.some(kept, shared),
            units=tuple(self.units[n] for n in kept),
            labels=tuple(self.labels[n] for n in kept) if self.labels else (),
            masks=None if self.masks is None else self.masks[list(kept)],
        )

    def within(self, start: int, stop: int, shared: frozenset[str]) -> Block:
        """Return the block of the units from ``start`` to ``stop``."""
        kept = [n for n, unit in enumerate(self.units) if start <= unit < stop]
        refused = tuple(one for one in self.refused if start <= one.unit < stop)
        if not kept:
            return Block(start, stop, refused=refused)
        return dataclasses.replace(self.some(kept, shared), start=start, stop=stop, refused=refused)


def merged(blocks: Iterable[Block], shared: frozenset[str]) -> Iterator[Block]:
    """Yield blocks of as many units as follow each other with samples of one shape."""
    gathered: list[Block] = []
    first: _Signature | None = None
    for block in blocks:
        own = None if block.inputs is None else _signature(block.inputs, shared)
        if own is not None and first is not None and own != first:
            yield _join(gathered, shared)
            gathered, first = [], None
        gathered.append(block)
        first = first or own
    if gathered:
        yield _join(gathered, shared)


def _join(blocks: Sequence[Block], shared: frozenset[str]) -> Block:
    parts = [block.inputs for block in blocks if block.inputs is not None]
    return Block(
        blocks[0].start,
        blocks[-1].stop,
        joined_inputs(parts, shared) if parts else None,
        tuple(unit for block in blocks for unit in block.units),
        tuple(one for block in blocks for one in block.refused),
    )


_Signature = tuple[object, ...]


def samples_in(inputs: Inputs, shared: frozenset[str]) -> int:
    """Return the number of samples."""
    return next(len(array) for name, array in inputs.arrays.items() if name not in shared)


def _signature(inputs: Inputs, shared: frozenset[str]) -> _Signature:
    """What samples of one batch have in common."""
    arrays = (
        (name, array.shape if name in shared else array.shape[1:], array.dtype.str, _bytes(array, name in shared))
        for name, array in sorted(inputs.arrays.items())
    )
    return (*arrays, inputs.rate, bool(inputs.texts), tuple(inputs.left), tuple(inputs.columns.items()))


def _bytes(array: Array, whole: bool) -> bytes:
    return array.tobytes() if whole else b""


def joined_inputs(parts: Sequence[Inputs], shared: frozenset[str]) -> Inputs:
    """Return the samples of several inputs of one shape as one; inputs without samples are those of the first."""
    if len(parts) == 1:
        return dataclasses.replace(parts[0], displays=None, refused=())
    first = parts[0]

    left: Mapping[str, Array] = {
        name: np.concatenate([np.asarray(part.left[name]) for part in parts]) for name in first.left
    }
    return dataclasses.replace(
        first,
        arrays={
            name: array if name in shared else np.concatenate([part.arrays[name] for part in parts])
            for name, array in first.arrays.items()
        },
        displays=None,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        refused=(),
        left=left,
        names=tuple(name for part in parts for name in part.names),
        sha256s=tuple(digest for part in parts for digest in part.sha256s),
        texts=tuple(text for part in parts for text in part.texts),
    )
