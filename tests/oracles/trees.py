"""Shapley values and interaction values of any function, from all coalitions: slow, from the definitions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from xaionnx.typing import Array


def coalition_worths(f: Callable[[Array], Array], x: Array, background: Array) -> Array:
    """The mean of f (M, T) over background rows (B, P) for each coalition of the P columns of x, (2^P, T).

    Bit j of a coalition's number stands for column j.
    """
    numbers = np.arange(2 ** len(x))
    present = (numbers[:, None] >> np.arange(len(x))) & 1 == 1
    rows = np.where(present[:, None, :], x, background).reshape(-1, len(x))
    return np.asarray(f(rows)).reshape(len(numbers), len(background), -1).mean(axis=1)


def shapley(worths: Array) -> Array:
    """Shapley values (P, T) from the worths (2^P, T)."""
    players = int(math.log2(len(worths)))
    values = np.zeros((players, worths.shape[1]))
    for j, coalition in itertools.product(range(players), range(len(worths))):
        if not coalition >> j & 1:
            weight = 1 / (players * math.comb(players - 1, coalition.bit_count()))
            values[j] += weight * (worths[coalition | 1 << j] - worths[coalition])
    return values


def interactions(worths: Array) -> Array:
    """Shapley interaction values (P, P, T), 0 on the diagonal."""
    players = int(math.log2(len(worths)))
    values = np.zeros((players, players, worths.shape[1]))
    for i, j in itertools.permutations(range(players), 2):
        for coalition in range(len(worths)):
            if not coalition & (1 << i | 1 << j):
                weight = 1 / ((players - 1) * math.comb(players - 2, coalition.bit_count()))
                alone = worths[coalition | 1 << i] + worths[coalition | 1 << j]
                values[i, j] += weight * (worths[coalition | 1 << i | 1 << j] - alone + worths[coalition])
    return values
