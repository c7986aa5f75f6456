"""Random orders of players, and the coalitions that they build up."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter

__all__ = ["MAX_ORTHOGONAL_PLAYERS", "permutation_coalitions", "permutations"]

MAX_ORTHOGONAL_PLAYERS = 1024  # a block takes P^2 numbers and P^3 operations

_PERMUTATIONS_STREAM = 0x20
_ORTHOGONAL_STREAM = 0x21

Scheme = Literal["plain", "antithetic", "orthogonal"]


def permutations(
    seed: int, start: int, stop: int, players: int, scheme: Scheme = "antithetic"
) -> npt.NDArray[np.int32]:
    """Return random permutations, each uniform on all P! of them.

    Parameters
    ----------
    seed : int
        In [0, 2^64). Permutation i depends only on (seed, i, players, scheme).
    start, stop : int
        The permutations to return.
    players : int
        P, in [1, inf).
    scheme : {"antithetic", "orthogonal", "plain"}
        "plain": independent. "antithetic": permutation 2i + 1 is permutation 2i reversed. "orthogonal" [1]_:
        antithetic, and each block of 2 (P - 1) permutations comes from one random orthogonal frame of the hyperplane
        of R^P in which the coordinates sum to 0; a vector gives the permutation that sorts its coordinates. The
        permutations of a block are as different as possible, measured by the number of pairs of players that they
        order alike (Kendall's tau). At most ``MAX_ORTHOGONAL_PLAYERS`` players.

    Returns
    -------
    (M, P) int32, with M = stop - start
        Entry (m, k) is the player that joins k-th.

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    References
    ----------
    .. [1] R. Mitchell, J. Cooper, E. Frank, G. Holmes, "Sampling Permutations for Shapley Value Estimation",
           JMLR 23(43), 2022, arXiv:2104.12199

    Examples
    --------
    >>> first, second = permutations(seed=0, start=0, stop=2, players=5)
    >>> np.array_equal(first, second[::-1])
    True
    """
    if players < 1:
        raise ValueError(f"'players' must be an int in [1, inf). Got {players!r} instead.")
    if not 0 <= start <= stop:
        raise ValueError(f"'start' and 'stop' must satisfy 0 <= start <= stop. Got {start!r} and {stop!r} instead.")
    if scheme == "plain":
        return _independent_permutations(seed, start, stop, players)
    if scheme not in ("antithetic", "orthogonal"):
        raise ValueError(f"'scheme' must be 'antithetic', 'orthogonal' or 'plain'. Got {scheme!r} instead.")
    first, last = start // 2, -(-stop // 2)
    if scheme == "antithetic" or players < 3:  # two players have a single pair of orders
        bases = _independent_permutations(seed, first, last, players)
    else:
        bases = _orthogonal_permutations(seed, first, last, players)
    pairs = np.stack([bases, bases[:, ::-1]], axis=1).reshape(-1, players)
    return pairs[start - 2 * first : stop - 2 * first]


def permutation_coalitions(
    permutations: npt.NDArray[np.integer], start: int = 0, stop: int | None = None
) -> npt.NDArray[np.bool_]:
    """Return the coalitions that permutations build up, from the empty to the full one.

    Row m (P + 1) + k contains the first k players of permutation m; k = 0 is empty and k = P is full.

    Parameters
    ----------
    permutations : (M, P) int
    start, stop : int
        The rows to return; all M (P + 1) by default.

    Returns
    -------
    (stop - start, P) bool

    Raises
    ------
    ValueError
        ``permutations`` is not two-dimensional, or the rows are outside it.

    Examples
    --------
    >>> permutation_coalitions(np.array([[2, 0, 1]])).astype(int).tolist()
    [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]
    """
    if permutations.ndim != 2:
        raise ValueError(f"'permutations' must have the shape (M, P). Got {permutations.shape} instead.")
    count, players = permutations.shape
    total = count * (players + 1)
    last = total if stop is None else stop
    if not 0 <= start <= last <= total:
        raise ValueError(f"'start' and 'stop' must lie in [0, {total}], in order. Got {start!r} and {stop!r} instead.")
    rows = players + 1
    needed = np.asarray(permutations[start // rows : -(-last // rows)], np.int64)
    ranks = np.empty(needed.shape, np.int32)
    np.put_along_axis(ranks, needed, np.arange(players, dtype=np.int32)[None], axis=1)
    # Of the wanted rows alone: those of one order of 50,000 players take 2.5 GB.
    order, position = np.divmod(np.arange(start, last), rows)
    present: npt.NDArray[np.bool_] = ranks[order - start // rows] < position[:, None]
    return present


def _independent_permutations(seed: int, start: int, stop: int, players: int) -> npt.NDArray[np.int32]:
    keys = counter.bits(seed, _PERMUTATIONS_STREAM, start, stop, players)
    return np.argsort(keys, axis=1, kind="stable").astype(np.int32)


def _orthogonal_permutations(seed: int, start: int, stop: int, players: int) -> npt.NDArray[np.int32]:
    if players > MAX_ORTHOGONAL_PLAYERS:
        raise ValueError(
            f"Orthogonal permutations are limited to {MAX_ORTHOGONAL_PLAYERS} players. "
            f"Got {players} players; use scheme='antithetic'."
        )
    dimension = players - 1
    bases = np.empty((stop - start, players), np.int32)
    for block in range(start // dimension, -(-stop // dimension)):
        begin = block * dimension
        frame = _orthonormal_frame(counter.normal(seed, _ORTHOGONAL_STREAM, begin, begin + dimension, dimension))
        low, high = max(start, begin), min(stop, begin + dimension)
        vectors = _embed_in_hyperplane(frame[low - begin : high - begin])
        bases[low - start : high - start] = np.argsort(vectors, axis=1, kind="stable")
    return bases


def _orthonormal_frame(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return orthonormal rows by Gram-Schmidt; normal vectors give a frame uniform on the orthogonal group.

    LAPACK is not used because its last bits change with the number of threads.
    """
    for j in range(len(vectors)):
        vectors[j] /= np.sqrt(np.square(vectors[j]).sum())
        rest = vectors[j + 1 :]
        rest -= (rest * vectors[j]).sum(axis=1)[:, None] * vectors[j]
    return vectors


def _embed_in_hyperplane(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map (n, P-1) to (n, P) by the orthonormal vectors (1, .., 1, -k, 0, .., 0) / sqrt(k (k + 1)), k = 1 .. P-1."""
    k = np.arange(1, vectors.shape[1] + 1)
    scaled = vectors / np.sqrt(k * (k + 1))
    embedded = np.zeros((len(vectors), vectors.shape[1] + 1))
    embedded[:, :-1] = np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]
    embedded[:, 1:] -= k * scaled
    return embedded
