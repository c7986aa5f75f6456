"""The engine of worker processes: each opens the model itself, and one that ends is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Final, final

from xaionnx.errors import InstallationError, ParameterError, XaionnxError
from xaionnx.runs.engines.engine import Engine, Lost, Pool, check_workers, cores, shared_among
from xaionnx.runs.engines.in_process import Pipeline
from xaionnx.runs.job import Job, Outcome, Shard

# Shards that a worker has at once: one is read while the other is explained.
_EACH: Final = 2
# Workers in a row that may be killed before they begin, as memory that runs out kills all of them.
_STARTS: Final = 3
# Seconds that workers get to write what is explained, when a run is stopped: Ctrl-C should not take longer.
_PATIENCE: Final = 1.0


@final
@dataclass(frozen=True)
class Processes(Engine):
    """Worker processes on this machine.

    Attributes
    ----------
    workers : int or None
        One for each core if None.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)

    @contextlib.contextmanager
    def open(self, job: Job) -> Iterator[Pool]:
        workers = self.workers or cores()
        pool = _Workers(packed(shared_among(job, workers)), workers)
        try:
            yield pool
        finally:
            pool.close()


def packed(job: Job) -> bytes:
    """Return a job as bytes for a worker.

    Raises
    ------
    ParameterError
        It cannot be sent to another process.
    """
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ParameterError(
            f"The job cannot be sent to a worker ({error}). Use a data set of files, tables or arrays, and a method "
            "whose parameters are no functions defined on the spot; or do it in this process."
        ) from error


@final
@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection
    shards: deque[Shard] = field(default_factory=deque)
    ready: bool = False


@final
@dataclass(eq=False)
class _Workers:
    """The worker processes of a job."""

    payload: bytes
    count: int
    _context: SpawnContext = field(default_factory=lambda: multiprocessing.get_context("spawn"))
    _workers: list[_Worker] = field(default_factory=list)
    _killed: int = 0
    """How many workers were killed before they began since one has begun."""

    @property
    def capacity(self) -> int:
        return _EACH * self.count

    def submit(self, shard: Shard) -> None:
        started = [self._started() for _ in range(self.count - len(self._workers))]
        self._workers += started
        for worker in started:
            self._send_job(worker)
        worker = min(self._workers, key=lambda one: len(one.shards))
        worker.shards.append(shard)
        _send(worker, shard)

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _send_job(self, worker: _Worker) -> None:
        # Not as an argument of the process: where it is killed before it has read a large one, writing never ends.
        with contextlib.suppress(OSError):
            worker.connection.send_bytes(self.payload)

    def next(self) -> Outcome | Lost:
        while True:
            found = wait([one.connection for one in self._workers])
            for worker in [one for one in self._workers if one.connection in found]:
                result = self._received(worker)
                if result is not None:
                    return result

    def _received(self, worker: _Worker) -> Outcome | Lost | None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            # The connection of a process that ends is closed after all that it sent was read.
            self._workers.remove(worker)
            worker.process.join()
            if not worker.ready:
                self._begin_again(worker)
                return None
            return Lost(tuple(worker.shards)) if worker.shards else None
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Outcome):
            worker.shards.remove(message.shard)
            return message
        worker.ready, self._killed = True, 0
        return None

    def _begin_again(self, ended: _Worker) -> None:
        """Start another worker on the shards of one that was killed before it began, which are not to blame.

        Raises
        ------
        InstallationError
            It was not killed, or so were several in a row.
        """
        code = ended.process.exitcode
        self._killed += 1
        if code is None or code >= 0 or self._killed >= _STARTS:
            raise InstallationError(
                f"A worker process ended before it began (exit code {code}). In a script, call this below "
                "if __name__ == '__main__'; or do the work in this process, which takes less memory."
            )
        worker = self._started()
        worker.shards += ended.shards
        self._workers.append(worker)
        self._send_job(worker)
        for shard in ended.shards:
            _send(worker, shard)

    def close(self) -> None:
        """Let each worker write what is explained, then end it; one that has not begun has nothing to write."""
        for worker in self._workers:
            if not worker.ready:
                worker.process.kill()
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        deadline = time.monotonic() + _PATIENCE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()


def _send(worker: _Worker, shard: Shard) -> None:
    # A worker that has ended is found when it is waited for.
    with contextlib.suppress(OSError):
        worker.connection.send(shard)


def serve(connection: Connection) -> None:
    """Do the shards of the job that arrives first until None does, or the process that sends them has ended."""
    # Ctrl-C reaches the whole group of processes; the first one says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            job: Job = pickle.loads(connection.recv_bytes())
            connection.send("ready")
            _do_shards(connection, job)
        except XaionnxError as error:
            connection.send(error)


def _do_shards(connection: Connection, job: Job) -> None:
    pipeline, waiting = Pipeline(job), 0
    try:
        while True:
            while connection.poll(0 if waiting else None):
                shard = connection.recv()
                if shard is None:
                    return
                pipeline.submit(shard)
                waiting += 1
            connection.send(pipeline.next())
            waiting -= 1
    finally:
        pipeline.close()
