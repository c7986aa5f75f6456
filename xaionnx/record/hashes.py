"""The hashes of samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from xaionnx.record.values import array_bytes
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.request import Request


def sample_sha256s(request: Request) -> list[str]:
    """The hash of each sample, independent of its batch."""
    shared = request.samples[0].shared
    parts: list[tuple[bytes, Callable[[int], bytes | memoryview]]] = []
    for name in sorted(request.feeds):
        array = request.feeds[name]
        shape = array.shape if name in shared else (1, *array.shape[1:])
        parts.append((f"{name}{array.dtype}{shape}".encode(), _bytes_by_sample(array, name in shared)))
    (head, first), *others = parts
    # There may be many short samples: what is the same for all is hashed once.
    begun, found = hashlib.sha256(head), list[str]()
    for n in range(len(request.samples)):
        digest = begun.copy()
        digest.update(first(n))
        for title, other in others:
            digest.update(title)
            digest.update(other(n))
        found.append(digest.hexdigest())
    return found


def _bytes_by_sample(array: Array, shared: bool) -> Callable[[int], bytes | memoryview]:
    """Return a function that returns the bytes of an input of sample n."""
    if array.dtype == object:
        return lambda n: array_bytes(array if shared else array[n, ...])
    flat = array_bytes(array)
    size = len(flat) // (1 if shared else len(array))
    step = 0 if shared else size
    return lambda n: flat[n * step : n * step + size]
