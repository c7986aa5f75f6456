"""Engine: what does the shards of a job, and promises little: it may do them in any order, twice, or lose some."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

from xaionnx.errors import ParameterError
from xaionnx.runs.job import Job, Outcome, Shard
from xaionnx.short_repr import short_repr


@final
@dataclass(frozen=True)
class Lost:
    """Shards whose worker ended, so that it is not known how far they came.

    Attributes
    ----------
    shards : sequence of Shard
    """

    shards: Sequence[Shard]

    __repr__ = short_repr


class Pool(Protocol):
    """Workers on a job."""

    @property
    def capacity(self) -> int:
        """How many shards may be under way."""

    def submit(self, shard: Shard) -> None:
        """Begin a shard."""

    def next(self) -> Outcome | Lost:
        """Wait for the next shard that is done or lost.

        Raises
        ------
        XaionnxError
            Every row would fail for this reason.
        """


class Engine(ABC):
    """Does the shards of a job.

    The driver of a run trusts none of what an engine reports: done is what has a sound part in the folder.
    """

    in_order: ClassVar[bool] = False
    """Whether shards are read in the order in which they are submitted, as iterables need."""

    @abstractmethod
    def open(self, job: Job) -> AbstractContextManager[Pool]:
        """Start the workers; they end with the block, and what is being written is written first."""


def check_workers(workers: object) -> None:
    """Check a number of workers.

    Raises
    ------
    ParameterError
        It is no int of at least 1, or None.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ParameterError(f"The 'workers' parameter must be an int in [1, inf) or None. Got {workers!r} instead.")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_among(job: Job, workers: int) -> Job:
    """Return a job whose model uses the cores of one of so many workers, unless its threads are stated.

    Raises
    ------
    ParameterError
        The model was made in memory, so that workers cannot open it.
    """
    if job.model.is_derived:
        raise ParameterError(f"{job.model.name} was changed in memory, and workers open its file. Save it first.")
    if job.model.settings.threads is not None:
        return job
    return dataclasses.replace(job, model=job.model.reopened(threads=max(1, cores() // workers)))
