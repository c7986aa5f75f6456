"""Group samples into batches that are explained together; each batch takes about a second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from xaionnx.data.inputs import Inputs
from xaionnx.typing import Array
from xaionnx_cli._samples import Sample

# Seconds of work in a batch: an interrupt loses at most this much.
_BATCH_SECONDS = 1.0
_MAX_SAMPLES = 64
# Rows of a table, with inputs of at most so many bytes, are explained at the speed of the model only in thousands.
MAX_ROWS = 4096
_ROW_BYTES = 4096
# Size of the inputs of a batch; the results of a method take about as much memory.
_MAX_BYTES = 2**26


class Batches:
    """Group samples of one shape into batches; all of a batch have the same ``shared`` inputs.

    The first batch has one sample; the time that a batch takes sets the size of the next one. Results do not depend on
    the size.
    """

    def __init__(self, shared: frozenset[str]) -> None:
        self._shared = shared
        self._size = 1

    def of(self, samples: Iterable[Sample], *, together: bool = False) -> Iterator[list[Sample]]:
        """Yield the samples in order, in batches; all that follow each other if they are ``together``."""
        batch: list[Sample] = []
        first: list[tuple[str, tuple[int, ...], str, bytes]] = []
        for sample in samples:
            full, own = not together and len(batch) >= self._limit(sample), self.signature(sample)
            if batch and (full or own != first):
                yield batch
                batch = []
            if not batch:
                first = own
            batch.append(sample)
        if batch:
            yield batch

    def signature(self, sample: Sample) -> list[tuple[str, tuple[int, ...], str, bytes]]:
        """Return what the inputs of samples that are in one batch have in common."""
        return sorted(
            (name, array.shape, array.dtype.str, array.tobytes() if name in self._shared else b"")
            for name, array in sample.feeds.items()
        )

    def _limit(self, sample: Sample) -> int:
        size = sum(array.nbytes for array in sample.feeds.values())
        return max(1, min(self._size, MAX_ROWS if size <= _ROW_BYTES else _MAX_SAMPLES, _MAX_BYTES // max(1, size)))

    @contextmanager
    def timed(self, count: int) -> Iterator[None]:
        """Time the work on ``count`` samples, to set the size of the next batch."""
        began = time.perf_counter()
        yield
        each = (time.perf_counter() - began) / count
        self._size = max(1, min(MAX_ROWS, 2 * count, int(_BATCH_SECONDS / max(each, 1e-9))))


def read_inputs_of(samples: Sequence[Sample], shared: frozenset[str]) -> Inputs:
    """The samples of a batch, with the entries of the record on which all their files agree."""
    found = list({id(sample.source): sample.source.found for sample in samples}.values())
    texts = tuple(sample.text for sample in samples if sample.text is not None)
    left = [name for name in samples[0].left if all(name in sample.left for sample in samples)]
    return Inputs(
        stack_feeds(samples, shared),
        rate=found[0].rate if len({one.rate for one in found}) == 1 else None,
        texts=texts if len(texts) == len(samples) else (),
        columns={name: c for name, c in found[0].columns.items() if all(one.columns.get(name) == c for one in found)},
        left={name: np.array([sample.left[name] for sample in samples]) for name in left},
    )


def stack_feeds(samples: Sequence[Sample], shared: frozenset[str]) -> dict[str, Array]:
    """The feeds of a batch; inputs without a batch axis are taken from the first sample."""
    source, row = samples[0].source, samples[0].row
    if all(sample.source is source and sample.row == row + n for n, sample in enumerate(samples)):
        # Rows of one file lie beside each other already.
        rows = slice(row, row + len(samples))
        return {name: x if name in shared else x[rows] for name, x in source.found.arrays.items()}
    feeds = [sample.feeds for sample in samples]
    return {
        name: array if name in shared else np.concatenate([one[name] for one in feeds])
        for name, array in feeds[0].items()
    }
