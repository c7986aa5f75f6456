"""The engine of Ray Core actors, on this machine or on the cluster that Ray is connected to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final

from xaionnx.errors import InstallationError, XaionnxError
from xaionnx.runs.engines.engine import Engine, Lost, Pool, check_workers, cores, shared_among
from xaionnx.runs.engines.processes import packed
from xaionnx.runs.job import Outcome, Shard

# Shards that an actor has at once; Ray begins the second when the first is done.
_EACH: Final = 2
_STORE_BYTES: Final = 100 * 2**20


@final
@dataclass(frozen=True)
class RayActors(Engine):
    """Actors of Ray Core, which `ray.init` connects to; without a connection, one to this machine alone is made.

    Model and data are opened by each actor from their paths, which must be the same on all machines. Ray's ports have
    no authentication: the one that is started here listens on the loopback alone, without dashboard or statistics.

    Attributes
    ----------
    workers : int or None
        The number of actors, each with a core; one for each core of this machine if None.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        check_workers(self.workers)

    @contextlib.contextmanager
    def open(self, job: Any) -> Iterator[Pool]:  # Any: Job
        ray = _ray()
        workers = self.workers or cores()
        started = not ray.is_initialized()
        if started:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                log_to_driver=False,
                logging_level="error",
            )
        pool = _Actors(ray, packed(shared_among(job, workers)), workers)
        try:
            yield pool
        finally:
            pool.close()
            if started:
                ray.shutdown()


# Any: ray is imported where it is used.
def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InstallationError("The engine 'ray' needs the package ray: pip install 'xaionnx[ray]'.") from error
    return ray


class _Doer:
    """What each actor is: a job and its shards."""

    def __init__(self, payload: bytes) -> None:
        import pickle

        self._job = pickle.loads(payload)

    def work(self, shard: Shard) -> Outcome | XaionnxError:
        try:
            outcome: Outcome = self._job.work(shard)
        except XaionnxError as error:
            # An error that is raised would be wrapped into one of Ray.
            return error
        return outcome


@final
@dataclass(eq=False)
class _Actors:
    """The actors of a job."""

    ray: Any  # Any: a module that need not be installed
    payload: bytes
    count: int
    _actors: list[Any] = field(default_factory=list)  # Any: a handle of Ray
    _flying: dict[Any, tuple[Any, Shard]] = field(default_factory=dict)  # Any: references and handles of Ray

    @property
    def capacity(self) -> int:
        return _EACH * self.count

    def submit(self, shard: Shard) -> None:
        while len(self._actors) < self.count:
            # Restarted by the driver, which has to know what ended: not by Ray.
            kind = self.ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Doer)
            self._actors.append(kind.remote(self.payload))
        busy = [actor for actor, _ in self._flying.values()]
        actor = min(self._actors, key=busy.count)
        self._flying[actor.work.remote(shard)] = (actor, shard)

    def next(self) -> Outcome | Lost:
        (first,), _ = self.ray.wait([*self._flying], num_returns=1)
        actor, _ = self._flying[first]
        try:
            result = self.ray.get(first)
        except self.ray.exceptions.RayActorError:
            lost = [reference for reference, (one, _) in self._flying.items() if one is actor]
            if actor in self._actors:
                self._actors.remove(actor)
            return Lost([self._flying.pop(reference)[1] for reference in lost])
        del self._flying[first]
        if isinstance(result, XaionnxError):
            raise result
        found: Outcome = result
        return found

    def close(self) -> None:
        for actor in self._actors:
            self.ray.kill(actor)
