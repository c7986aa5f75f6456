"""The engine of one process: a thread reads the shards to come, and one writes those that are explained."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar, Final, final

from xaionnx.data.block import Block
from xaionnx.runs.engines.engine import Engine, Lost, Pool
from xaionnx.runs.job import Job, Outcome, Shard

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
    _writing: deque[Future[Outcome]] = field(default_factory=deque)
    _reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reading"))
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "writing"))

    def submit(self, shard: Shard) -> None:
        """Begin to read a shard."""
        self._reading.append((shard, self._reader.submit(self.job.read, shard)))

    def next(self) -> Outcome | Lost:
        """Explain shards until one is written."""
        while self._reading and len(self._writing) < _UNWRITTEN and not (self._writing and self._writing[0].done()):
            shard, reading = self._reading.popleft()
            explained = self.job.explain(shard, reading.result())
            self._writing.append(self._writer.submit(self.job.write, explained))
        return self._writing.popleft().result()

    def close(self) -> None:
        """Write what is explained, and read no more."""
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown()
