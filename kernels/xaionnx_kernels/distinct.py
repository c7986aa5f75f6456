"""Equal rows of tables, so that each is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter
from xaionnx_kernels._tier import compiled_pays

__all__ = ["distinct_rows"]

# Any: rows are compared by their bits, whatever their type.
AnyArray = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]

_STREAM = 0x20
_WORD = 8
# Sorting hashes takes as long as writing this many elements for each word.
_WORK = 8


def distinct_rows(arrays: Sequence[AnyArray]) -> tuple[Indices, Indices] | None:
    """Return the first of each set of equal rows, and the number of the set of each row.

    Rows are equal if their bits are: 0.0 and -0.0 differ, and a NaN equals itself.

    Parameters
    ----------
    arrays : sequence of arrays (N, ...)
        The parts of each row. C-contiguous, of types without references.

    Returns
    -------
    first : (K,) intp
        Ascending.
    which : (N,) intp
        Row n equals row ``first[which[n]]``.
    None
        In the rare case that rows that differ have the same hash.

    Examples
    --------
    >>> first, which = distinct_rows([np.float32([[1, 2], [3, 4], [1, 2]])])
    >>> first.tolist(), which.tolist()
    ([0, 1], [0, 1, 0])
    """
    words = [_words(array) for array in arrays]
    count = len(words[0])
    if compiled_pays(_WORK * sum(part.size for part in words)):
        return _by_table(words[0] if len(words) == 1 else np.concatenate(words, axis=1))
    hashes = np.zeros(count, np.uint64)
    odd = counter.bits(0, _STREAM, 0, 1, sum(part.shape[1] for part in words))[0] | np.uint64(1)
    column = 0
    for part in words:
        for number in range(part.shape[1]):
            # The high bits of a product depend on all bits of its factors: they are mixed into the low ones.
            mixed = part[:, number] * odd[column]
            mixed ^= mixed >> np.uint64(32)
            hashes += mixed * odd[column]
            column += 1
    _, found, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(found)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, which = found[order], rank[which]
    if len(first) < count:
        second = np.ones(count, np.bool_)
        second[first] = False
        rows = np.flatnonzero(second)
        if not all(np.array_equal(part[rows], part[first[which[rows]]]) for part in words):
            return None
    return first, which


def _by_table(words: npt.NDArray[np.uint64]) -> tuple[Indices, Indices]:
    from xaionnx_kernels import _loops

    count = len(words)
    odd = counter.bits(0, _STREAM, 0, 1, words.shape[1])[0] | np.uint64(1)
    table = np.full(1 << (2 * count).bit_length(), -1, np.intp)
    first, which = np.empty(count, np.intp), np.empty(count, np.intp)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is intended; only numpy scalars would warn
        _loops.distinct(words, odd, table, first, which)
    sets = int(which.max()) + 1 if count else 0
    return first[:sets].copy(), which


def _words(array: AnyArray) -> npt.NDArray[np.uint64]:
    """The bits of each row as whole words, (N, W), with zeros at the end."""
    raw = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    if raw.shape[1] % _WORD == 0:
        return raw.view(np.uint64)
    padded = np.zeros((len(raw), -(-raw.shape[1] // _WORD) * _WORD), np.uint8)
    padded[:, : raw.shape[1]] = raw
    return padded.view(np.uint64)
