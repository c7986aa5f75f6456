"""Job: what is done to each shard of a data set, wherever it is done: read it, explain it, write its parts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, final

from xaionnx.data.block import Block, Refused
from xaionnx.data.dataset import Dataset
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.record import record
from xaionnx.runs.document import RunDocument
from xaionnx.runs.failures import OF_ROWS, Failures, translated
from xaionnx.runs.joining import form_of, joined, of_one_form
from xaionnx.runs.part import Part
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.target import Target
from xaionnx.typing import TargetLike

Recorder = Callable[[], Explanation]
T = TypeVar("T")


@final
@dataclass(frozen=True, order=True)
class Shard:
    """Units of a data set that are explained by one worker, from ``start`` to ``stop`` without the latter."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def halves(self) -> tuple[Shard, Shard]:
        """Return both halves of a shard of more than one unit."""
        middle = (self.start + self.stop) // 2
        return Shard(self.start, middle), Shard(middle, self.stop)


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a shard whose parts are written.

    Attributes
    ----------
    shard : Shard
    stop : int
        Where its units end, before that of the shard if an iterable has ended.
    rows, refused : int
        How many rows were explained, and how many were left out.
    seconds : float
        How long explaining them took.
    bytes : int
        Size of their inputs.
    """

    shard: Shard
    stop: int
    rows: int
    refused: int
    seconds: float
    bytes: int


@final
@dataclass(frozen=True, eq=False)
class Explained:
    """Blocks of a shard, each with what makes its record; None for a block of which nothing is left."""

    shard: Shard
    blocks: Sequence[tuple[Block, Recorder | None]]
    seconds: float

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Job:
    """A model, a method and a target for all units of a data set, and the folder of the parts.

    It does not depend on the other shards: each may be done anywhere, in any order, and twice.
    """

    model: Model
    method: Explainer
    target: TargetLike
    dataset: Dataset
    folder: Path
    document: RunDocument
    begun: bool = False
    """Whether a row has been explained already, so that an error of a row is one of that row alone."""

    __repr__ = short_repr

    def __reduce__(self) -> tuple[type[Job], tuple[Any, ...]]:  # Any: the fields
        # Without what is made for the model in this process.
        return Job, tuple(getattr(self, item.name) for item in dataclasses.fields(self))

    @property
    def fingerprint(self) -> str:
        """The hash of all that the results depend on, which each part names."""
        return self.document.fingerprint

    @cached_property
    def bound(self) -> Explainer:
        """The method with its resources for the model."""
        return self.method.bind(self.model)

    @cached_property
    def _failures(self) -> Failures:
        return Failures(self.bound, self.model, self.target, one_size=False)

    @cached_property
    def _state(self) -> _State:
        return _State(self.begun)

    def work(self, shard: Shard) -> Outcome:
        """Do all of a shard."""
        return self.write(self.explain(shard, self.read(shard)))

    def read(self, shard: Shard) -> list[Block]:
        """Read a shard; empty if an iterable has ended before it."""
        return self.dataset.read(self.model, shard.start, shard.stop)

    def explain(self, shard: Shard, blocks: Sequence[Block]) -> Explained:
        """Explain the blocks of a shard; rows that fail are left out, and the others kept.

        Raises
        ------
        XaionnxError
            Every row would fail for this reason.
        """
        began = time.perf_counter()
        found = [one for block in blocks for one in self._tried(block, self._attributed)]
        return Explained(shard, found, time.perf_counter() - began)

    def write(self, explained: Explained) -> Outcome:
        """Make the records of a shard, which needs no runs and can be done beside those of others, and write its parts.

        Raises
        ------
        StorageError
            They cannot be written.
        """
        size = rows = refused = 0
        stop = explained.shard.start
        results = [*self._recorded(explained)]
        for group in of_one_form(results, lambda result: form_of(result[1])):
            # What was found around a row that fails becomes one part again.
            Part.write(self.folder, *joined(group), self.fingerprint)
        for block, found in results:
            refused += len(block.refused)
            stop = block.stop
            if found is not None and block.inputs is not None:
                rows += found.samples
                size += sum(array.nbytes for array in block.inputs.arrays.values())
        return Outcome(explained.shard, stop, rows, refused, explained.seconds, size)

    def _attributed(self, block: Block) -> Recorder:
        target = Target.of_block(self.target, block, self.dataset.count)
        request = self.bound.request(self.model, block.inputs, target)
        attribution = self.bound.attribution_of(request)
        request.close()
        return partial(record, self.bound, request, attribution)

    def _recorded(self, explained: Explained) -> Iterator[tuple[Block, Explanation | None]]:
        for block, recorder in explained.blocks:
            yield from self._tried(block, partial(self._record, block, recorder))

    def _record(self, whole: Block, recorder: Recorder | None, block: Block) -> Explanation:
        # A record that cannot be made is made again in halves, to find the row.
        return (recorder if recorder is not None and block is whole else self._attributed(block))()

    def _tried(self, block: Block, step: Callable[[Block], T]) -> Iterator[tuple[Block, T | None]]:
        """Do a step with a block, and if it fails with both halves, down to the unit at which it does."""
        if block.inputs is None:
            yield block, None
            return
        try:
            found = step(block)
        except OF_ROWS as error:
            failure = translated(error)
            if self._failures.ends_run(failure, self._state.begun):
                raise failure from error
            if len({*block.units}) > 1:
                yield from self._by_halves(block, step)
            else:
                refused = Refused(block.units[0], block.inputs.names[0], _of_unit(str(failure), block))
                yield _refused(block, refused), None
            return
        self._state.begun = True
        yield block, found

    def _by_halves(self, block: Block, step: Callable[[Block], T]) -> Iterator[tuple[Block, T | None]]:
        # Between two units, so that both halves have one.
        middle = sorted({*block.units})[len({*block.units}) // 2]
        for start, stop in ((block.start, middle), (middle, block.stop)):
            yield from self._tried(block.within(start, stop, self.model.shared), step)


@dataclass
class _State:
    """What changes while a job is done."""

    begun: bool


def _of_unit(reason: str, block: Block) -> str:
    count = len(block.units)
    return reason if count == 1 else f"One of its {count} rows fails, so that none is kept: {reason}"


def _refused(block: Block, refused: Refused) -> Block:
    both = tuple(sorted([*block.refused, refused], key=lambda one: one.unit))
    return Block(block.start, block.stop, refused=both)
