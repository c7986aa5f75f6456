"""Counter-based random numbers: draw d of row i depends only on (seed, stream, i, d).

Construction: SplitMix64 [1]_ with a starting state hashed from the key. With ``mix`` the 64-bit finaliser "Mix13" of
Stafford [2]_ and ``gamma`` the odd integer nearest to 2^64 / golden ratio,

    state(seed, stream, i) = mix(mix(mix(seed + gamma) + stream * gamma) + i * gamma)
    bits(state, d)         = mix(state + (d + 1) * gamma)                         modulo 2^64

``mix`` is a bijection, so two rows of one stream never share a state, and the draws of a row never repeat. Rows are
independent: they may be computed in any order, in pieces, on any number of threads.

References
----------
.. [1] G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
       doi:10.1145/2660193.2660195
.. [2] D. Stafford, "Better bit mixing: improving on MurmurHash3's 64-bit finalizer", 2011.
.. [3] D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019, doi:10.1145/3230636
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xaionnx_kernels._tier import compiled_pays

__all__ = ["below", "bits", "coins", "happens", "normal", "uniform"]

UInt64s = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_BLOCK = 2**17  # numbers in a block: one megabyte fits the cache of a core
_MIX_2 = np.uint64(0x94D049BB133111EB)


def bits(seed: int, stream: int, start: int, stop: int, draws: int, first: int = 0) -> UInt64s:
    """Return 64 random bits for each row in [start, stop) and each draw in [first, first + draws).

    Parameters
    ----------
    seed : int
        In [0, 2^64).
    stream : int
        Separates the uses of a seed: two streams of one seed are unrelated.
    start, stop : int
        The rows; ``bits(..., a, c, ...)`` is ``bits(..., a, b, ...)`` followed by ``bits(..., b, c, ...)``.
    draws, first : int
        Number of draws in a row, and the index of the first.

    Returns
    -------
    (stop - start, draws) uint64

    Raises
    ------
    ValueError
        The seed is outside [0, 2^64), or ``start`` and ``stop`` are not in order.

    Examples
    --------
    >>> bits(seed=0, stream=0, start=2, stop=3, draws=2).tolist() == bits(0, 0, 0, 3, 2)[2:].tolist()
    True
    """
    states = _states(seed, stream, start, stop)
    if compiled_pays(len(states) * draws):
        from xaionnx_kernels import _loops  # loads Numba

        out = np.empty((len(states), draws), np.uint64)
        with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is intended; only numpy scalars would warn
            _loops.random_bits(states, np.uint64(first), out)
        return out
    steps = np.arange(first + 1, first + draws + 1, dtype=np.uint64) * _GAMMA
    return _mix(states[:, None] + steps)


def uniform(seed: int, stream: int, start: int, stop: int, draws: int, first: int = 0) -> npt.NDArray[np.float64]:
    """Return uniform multiples of 2^-53 in [0, 1): (stop - start, draws) float64. Parameters as in :func:`bits`.

    Examples
    --------
    >>> numbers = uniform(seed=0, stream=0, start=0, stop=1000, draws=10)
    >>> abs(numbers.mean() - 0.5) < 4 / np.sqrt(12 * numbers.size)
    np.True_
    """
    return (bits(seed, stream, start, stop, draws, first) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def coins(seed: int, stream: int, start: int, stop: int, draws: int) -> npt.NDArray[np.bool_]:
    """Return fair coin flips, (stop - start, draws) bool: 64 of a row from one number of :func:`bits`.

    Draw d is bit d mod 64, the lowest first, of number d // 64. Parameters as in :func:`bits`.

    Examples
    --------
    >>> word = int(bits(seed=0, stream=0, start=5, stop=6, draws=1)[0, 0])
    >>> [int(up) for up in coins(0, 0, 5, 6, 3)[0]] == [word & 1, word >> 1 & 1, word >> 2 & 1]
    True
    """
    words = bits(seed, stream, start, stop, -(-draws // 64)).astype("<u8", copy=False)
    return np.unpackbits(words.view(np.uint8), axis=1, count=draws, bitorder="little").view(np.bool_)


def happens(seed: int, stream: int, start: int, stop: int, draws: int, p: float) -> npt.NDArray[np.bool_]:
    """Return events of probability p: ``uniform(...) < p``, in an eighth of its memory.

    Parameters
    ----------
    seed, stream, start, stop, draws : int
        As in :func:`bits`.
    p : float
        In (0, 1).

    Returns
    -------
    (stop - start, draws) bool

    Raises
    ------
    ValueError
        p is outside (0, 1), or as in :func:`bits`.

    Examples
    --------
    >>> abs(happens(seed=0, stream=0, start=0, stop=1000, draws=10, p=0.3).mean() - 0.3) < 0.02
    np.True_
    """
    if not 0 < p < 1:
        raise ValueError(f"'p' must be a float in (0, 1). Got {p!r} instead.")
    limit = np.uint64(math.ceil(p * 2**53) << 11)  # p * 2^53 is exact, so this compares the same numbers
    out = np.empty((max(stop - start, 0), draws), np.bool_)
    rows = max(1, _BLOCK // max(draws, 1))
    for row in range(start, max(stop, start + 1), rows):
        block = slice(row - start, row - start + rows)
        np.less(bits(seed, stream, row, min(row + rows, stop), draws), limit, out=out[block])
    return out


def below(seed: int, stream: int, start: int, stop: int, limits: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a uniform integer in [0, limit) for each row and each limit.

    Uses Lemire's multiplication [3]_ with rejection, so that all values are equally likely.

    Parameters
    ----------
    seed, stream, start, stop : int
        As in :func:`bits`.
    limits : (D,) int
        In [1, 2^32].

    Returns
    -------
    (stop - start, D) int64

    Raises
    ------
    ValueError
        A limit is outside [1, 2^32], or as in :func:`bits`.

    Examples
    --------
    >>> below(seed=0, stream=0, start=0, stop=500, limits=[3, 10]).max(axis=0)
    array([2, 9])
    """
    limit = np.asarray(limits, np.int64)
    if limit.ndim != 1 or (limit.size and (limit.min() < 1 or limit.max() > 2**32)):
        raise ValueError(f"'limits' must be (D,) int in [1, 2^32]. Got {limits!r} instead.")
    width = np.broadcast_to(limit.astype(np.uint64), (max(stop - start, 0), limit.size))
    low_word = np.uint64(0xFFFFFFFF)
    threshold = np.uint64(2**32) % width
    product = (bits(seed, stream, start, stop, limit.size) >> np.uint64(32)) * width
    attempt = 1
    while (rejected := (product & low_word) < threshold).any():
        again = (bits(seed, stream, start, stop, limit.size, first=attempt * limit.size) >> np.uint64(32)) * width
        product = np.where(rejected, again, product)
        attempt += 1
    return (product >> np.uint64(32)).astype(np.int64)


def normal(seed: int, stream: int, start: int, stop: int, draws: int) -> npt.NDArray[np.float64]:
    """Return standard normal numbers by Box-Muller: (stop - start, draws) float64. Parameters as in :func:`bits`.

    Examples
    --------
    >>> numbers = normal(seed=0, stream=0, start=0, stop=1000, draws=10)
    >>> abs(numbers.std() - 1) < 0.05
    np.True_
    """
    pairs = -(-draws // 2)
    numbers = uniform(seed, stream, start, stop, 2 * pairs)
    radius = np.sqrt(-2 * np.log1p(-numbers[:, :pairs]))
    angle = 2 * math.pi * numbers[:, pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :draws]


def _states(seed: int, stream: int, start: int, stop: int) -> UInt64s:
    if not 0 <= seed < 2**64:
        raise ValueError(f"'seed' must be an int in [0, 2^64). Got {seed!r} instead.")
    if not 0 <= start <= stop:
        raise ValueError(f"'start' and 'stop' must satisfy 0 <= start <= stop. Got {start!r} and {stop!r} instead.")
    seeded = _mix(np.array([seed], np.uint64) + _GAMMA)
    keyed = _mix(seeded + np.array([stream], np.uint64) * _GAMMA)
    states: UInt64s = _mix(keyed + np.arange(start, stop, dtype=np.uint64) * _GAMMA)
    return states


def _mix(z: UInt64s) -> UInt64s:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
