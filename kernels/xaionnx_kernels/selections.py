"""Inputs of many short samples in which some elements are those of a background row, each distinct one written once.

Elements are words: unsigned integers of 32 or 64 bits that are equal where the elements are, such as their own bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter
from xaionnx_kernels._tier import compiled_pays

__all__ = ["distinct_selections", "mean_of_draws", "selections"]

# Any: 32 or 64 bits.
Words = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

_STREAM = 0x20
# Sorting hashes in numpy takes as long as writing this many elements for each word.
_WORK = 8


def selections(x: Words, baselines: Words, members: Bools, labels: Ints) -> Words:
    """Return an input for each sample, code and baseline.

    ``out[r, m, b, e] = x[r, e]`` where ``members[m, labels[r, e]]``, else ``baselines[r, b, e]``.

    Parameters
    ----------
    x : (R, E)
        The samples.
    baselines : (R, B, E), or (1, B, E)
        The baselines, or those of all samples.
    members : (M, Q) bool
        The codes.
    labels : (R, E) int, or (1, E)
        The column of the codes that decides on each element.

    Returns
    -------
    (R M B, E)

    Examples
    --------
    >>> codes = np.array([[True, False], [False, True]])
    >>> selections(np.uint32([[1, 2]]), np.uint32([[[7, 8]]]), codes, np.array([[0, 1]])).tolist()
    [[1, 8], [7, 2]]
    """
    samples, elements = x.shape
    draws, count = baselines.shape[1], len(members)
    out = np.empty((samples, count, draws, elements), x.dtype)
    if compiled_pays(out.size):
        from xaionnx_kernels import _loops  # loads Numba

        _loops.selections(x, baselines, members, labels, out)
        return out.reshape(samples * count * draws, elements)
    present = _present(members, labels)
    np.copyto(out, baselines[:, None])
    np.copyto(out, x[:, None, None], where=present[:, :, None])
    return out.reshape(samples * count * draws, elements)


def distinct_selections(x: Words, baselines: Words, members: Bools, labels: Ints, *, apart: bool) -> tuple[Words, Ints]:
    """Return the distinct ones among the inputs of :func:`selections`, and which of them each input is.

    Parameters
    ----------
    x, baselines, members, labels : arrays
        As for :func:`selections`.
    apart : bool
        Whether inputs of different samples are distinct even if they are equal.

    Returns
    -------
    rows : (K, E)
        In the order of their first occurrence.
    which : (R, M, B) int32
        Input (r, m, b) is ``rows[which[r, m, b]]``.

    Examples
    --------
    >>> codes = np.array([[True, False], [False, True]])
    >>> rows, which = distinct_selections(
    ...     np.uint32([[1, 2]]), np.uint32([[[1, 8], [7, 2]]]), codes, np.array([[0, 1]]), apart=True
    ... )
    >>> rows.tolist(), which.tolist()
    ([[1, 8], [1, 2], [7, 2]], [[[0, 1], [1, 2]]])
    """
    samples, elements = x.shape
    draws, count = baselines.shape[1], len(members)
    number = samples * count * draws
    odd = counter.bits(0, _STREAM, 0, 1, elements + 1)[0] | np.uint64(1)
    if compiled_pays(_WORK * number * elements):
        from xaionnx_kernels import _loops  # loads Numba

        table = np.full(1 << (2 * number).bit_length(), -1, np.int32)
        rows, numbers = np.empty((number, elements), x.dtype), np.empty((samples, count, draws), np.int32)
        with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is intended; only numpy scalars would warn
            _loops.distinct_selections((x, baselines), (members, labels), odd, apart, table, rows, numbers)
        return rows[: int(numbers.max(initial=-1)) + 1], numbers
    every = selections(x, baselines, members, labels)
    hashes = np.repeat(np.arange(samples, dtype=np.uint64) * odd[-1] * np.uint64(apart), count * draws)
    for word, factor in zip(every.T, odd, strict=False):
        mixed = word * factor
        # The high bits of a product depend on all bits of its factors: they are mixed into the low ones.
        mixed ^= mixed >> np.uint64(32)
        hashes += mixed * factor
    _, found, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(found)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    rows, numbers = every[found[order]], rank[which].reshape(samples, count, draws)
    if not np.array_equal(rows[numbers].reshape(every.shape), every):
        # Inputs that differ have the same hash, once in 10^8 calls: each of them is returned.
        return every, np.arange(number, dtype=np.int32).reshape(samples, count, draws)
    return rows, numbers


def mean_of_draws(values: Floats, which: Ints, weights: Floats | None) -> Floats:
    """Return the mean over baselines, added one after the other so that the bits depend on nothing else.

    Parameters
    ----------
    values : (K, T)
        The values of distinct inputs.
    which : (R, M, B) int32
        The number of each input.
    weights : (B,) or None
        The weights of the baselines, which sum to 1; None if all are equal.

    Returns
    -------
    (R, M, T)

    Examples
    --------
    >>> mean_of_draws(np.array([[1.0], [4.0]]), np.int32([[[0, 1], [1, 1]]]), None).tolist()
    [[[2.5], [4.0]]]
    """
    samples, count, draws = which.shape
    out = np.zeros((samples, count, values.shape[1]))
    each = np.ones(draws) if weights is None else weights
    if compiled_pays(which.size * values.shape[1]):
        from xaionnx_kernels import _loops  # loads Numba

        _loops.add_draws(np.ascontiguousarray(values), which, each, out)
    else:
        for draw in range(draws):
            out += values[which[:, :, draw]] * each[draw]
    return out / draws if weights is None else out


def _present(members: Bools, labels: Ints) -> Bools:
    """Whether each element is that of the sample, (R or 1, M, E)."""
    return members[:, labels].transpose(1, 0, 2)
