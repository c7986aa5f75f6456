"""Samples in batches that are explained together, each of about a second of work."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from xaionnx.typing import Array
from xaionnx_cli._samples import Sample

# Of a batch, in seconds: what an interrupt can lose.
_WORTH = 1.0
_MOST = 64
# Of the samples of a batch; what a method finds is of this order too.
_BYTES = 2**26


class Batches:
    """Groups samples of one shape.

    The first batch is one sample, and the time that a batch takes says how many the next one holds. Results do not
    depend on it.
    """

    def __init__(self) -> None:
        self._size = 1

    def of(self, samples: Iterable[Sample]) -> Iterator[list[Sample]]:
        """The samples, in order, in batches."""
        batch: list[Sample] = []
        for sample in samples:
            if batch and (_form(sample) != _form(batch[0]) or len(batch) >= self._room(sample)):
                yield batch
                batch = []
            batch.append(sample)
        if batch:
            yield batch

    def _room(self, sample: Sample) -> int:
        size = sum(array.nbytes for array in sample.feeds.values())
        return max(1, min(self._size, _BYTES // max(1, size)))

    @contextmanager
    def timed(self, count: int) -> Iterator[None]:
        """Learn from the time that ``count`` samples take."""
        began = time.perf_counter()
        yield
        each = (time.perf_counter() - began) / count
        self._size = max(1, min(_MOST, 2 * count, int(_WORTH / max(each, 1e-9))))


def stacked(samples: list[Sample], shared: frozenset[str]) -> dict[str, Array]:
    """The feeds of a batch; inputs without a batch axis are those of the first sample."""
    first = samples[0].feeds
    if len(samples) == 1:
        return first
    return {
        name: array if name in shared else np.concatenate([sample.feeds[name] for sample in samples])
        for name, array in first.items()
    }


def _form(sample: Sample) -> list[tuple[str, tuple[int, ...], str]]:
    return sorted((name, array.shape, array.dtype.str) for name, array in sample.feeds.items())
