"""The engine of one process: shards to come are read, and explained ones written, beside the one that is explained."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import ClassVar, Final, final

from xaionnx.data.block import Block
from xaionnx.errors import XaionnxError
from xaionnx.runs.engines.engine import Engine, Lost, Pool, cores
from xaionnx.runs.job import Explained, Job, Outcome, Shard

# Shards that wait to be written; their results are in memory.
_UNWRITTEN: Final = 2


@final
@dataclass(frozen=True)
class InProcess(Engine):
    """All shards in this process, one after another; reading and writing are done beside."""

    in_order: ClassVar[bool] = True

    @contextlib.contextmanager
    def open(self, job: Job) -> Iterator[Pool]:
        pool = Pipeline(job)
        try:
            yield pool
        finally:
            pool.close()


@final
@dataclass
class Pipeline:
    """Shards that are read, explained and written, each while others are in the other stages."""

    job: Job
    capacity: int = 3
    _reading: deque[tuple[Shard, Future[list[Block]]]] = field(default_factory=deque)
    _writing: deque[tuple[list[Explained], Future[Outcome]]] = field(default_factory=deque)
    _reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reading"))
    _writer: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        # On two cores a third thread would take time from the one that explains, which all others wait for.
        self._writer = self._reader if cores() <= 2 else ThreadPoolExecutor(1, "writing")

    def submit(self, shard: Shard) -> None:
        """Begin to read a shard."""
        self._reading.append((shard, self._reader.submit(self.job.read, shard)))

    def next(self) -> Outcome | Lost:
        """Explain shards until one is written."""
        while self._reading and len(self._writing) < _UNWRITTEN and not (self._writing and self._writing[0][1].done()):
            self._explain()
        return self._writing.popleft()[1].result()

    def _explain(self) -> None:
        shard, reading = self._reading.popleft()
        waiting = [self.job.explain(shard, reading.result())]
        self._writing.append((waiting, self._writer.submit(self._write, waiting)))

    def _write(self, waiting: list[Explained]) -> Outcome:
        # Taken out of the list, so that nothing of a shard stays in memory once it is written.
        return self.job.write(waiting.pop())

    def close(self) -> None:
        """Write what is explained, and read no more."""
        for _, reading in self._reading:
            reading.cancel()
        for waiting, writing in self._writing:
            if not writing.cancel():
                wait([writing])
                continue
            # Not behind a shard that is being read, which may take long. What fails is explained anew by the next run.
            with contextlib.suppress(XaionnxError):
                self._write(waiting)
        self._reader.shutdown(wait=False)
        self._writer.shutdown(wait=False)
