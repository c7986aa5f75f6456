"""Uniformly drawn pairs of a coalition and its complement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from xaionnx_kernels.coalitions import bernoulli
from xaionnx_kernels.permutations import permutations

from xaionnx.typing import Array

# Up to this many players, all pairs are shuffled and none is drawn twice; with more, repetitions are rare.
_SHUFFLED = 20


def uniform_pairs(seed: int, players: int) -> Callable[[int, int], Array]:
    """A callable that returns the first coalition of each pair ``start`` to ``stop``; that of pair 0 is empty."""
    if players > _SHUFFLED:
        # Only an empty or full draw repeats the known pair, once in 2^(P - 1) pairs.
        def independent(start: int, stop: int) -> Array:
            rows = bernoulli(seed, start, stop, players)
            return rows & (np.arange(start, stop) > 0)[:, None]

        return independent
    order = np.zeros(2 ** (players - 1), dtype=np.int64)
    if players > 1:
        order[1:] = permutations(seed, 0, 1, len(order) - 1, "plain")[0] + 1

    def shuffled(start: int, stop: int) -> Array:
        return (order[start:stop, None] >> np.arange(players)) % 2 > 0

    return shuffled
