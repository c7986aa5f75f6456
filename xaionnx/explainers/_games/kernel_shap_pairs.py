"""The coalitions of KernelSHAP in pairs, in an order that allows stopping after any number of them."""

from __future__ import annotations

import math
from typing import final

import numpy as np
from xaionnx_kernels.coalitions import (
    KernelShapPlan,
    kernel_shap_coalitions,
    kernel_shap_plan,
    kernel_shap_size_weights,
)
from xaionnx_kernels.permutations import permutations

from xaionnx.typing import Array

# More coalitions of a size than any budget.
_COUNTLESS = 2**62


@final
class KernelShapPairs:
    """The pairs of a coalition and its complement that a budget allows.

    A smaller budget takes the first pairs of each size. A larger budget extends them, so earlier evaluations are
    reused. The smallest ``complete`` sizes are as in `kernel_shap_plan`.

    Attributes
    ----------
    count : int
        The number of pairs.
    """

    def __init__(self, plan: KernelShapPlan, seed: int, complete: int = 0) -> None:
        players = plan.players
        self._complete = complete
        self.count = plan.evaluations // 2
        self._plan = plan
        self._available = np.array([min(math.comb(players, h), _COUNTLESS) for h in range(1, players // 2 + 1)], float)
        self._masses = 2 * kernel_shap_size_weights(players)[: players // 2]
        if players % 2 == 0:
            # The complement of half of the players is again half of them, so pairs would be counted twice.
            self._available[-1] /= 2
            self._masses[-1] /= 2
        # Eight players to a byte, so that a large budget fits into memory.
        self._packed = np.empty((self.count, -(-players // 8)), dtype=np.uint8)
        self._size = np.empty(self.count, dtype=np.intp)
        for start in range(0, self.count, 4096):
            stop = min(self.count, start + 4096)
            firsts = kernel_shap_coalitions(seed, 2 * start, 2 * stop, plan)[0][::2]
            sizes = firsts.sum(axis=1)
            self._packed[start:stop] = np.packbits(firsts, axis=1)
            self._size[start:stop] = np.minimum(sizes, players - sizes) - 1
        self._rank = np.empty(self.count, dtype=np.intp)
        for h, pair_count in enumerate(plan.pairs):
            # A size with all its pairs is enumerated in order, but any first part of it must be random.
            whole = pair_count == self._available[h] and pair_count > 1
            order = permutations(seed, h, h + 1, pair_count, "plain")[0] if whole else np.arange(pair_count)
            self._rank[self._size == h] = order
        self._taken = np.zeros(len(plan.pairs), dtype=np.intp)

    def firsts(self, numbers: Array, start: int, stop: int) -> Array:
        """The first coalitions of pairs ``numbers[start:stop]``, (n, P)."""
        packed = self._packed[numbers[start:stop]]
        return np.asarray(np.unpackbits(packed, axis=1, count=self._plan.players).astype(bool))

    def design(self, count: int) -> tuple[Array, Array, Array]:
        """The pairs for ``count`` coalitions, including all that earlier calls returned.

        Returns
        -------
        numbers : array of int (M,)
            The numbers of the pairs.
        weights : array (M,)
            Weights in the regression. The total weight of a size does not depend on how many of its pairs are there.
        missing : array (M,)
            The share of pairs of the same size that is missing.
        """
        wanted = kernel_shap_plan(self._plan.players, count, self._complete).pairs
        # Rounding may give a size one pair fewer although there are more in total.
        self._taken = np.maximum(self._taken, np.minimum(wanted, self._plan.pairs))
        numbers = np.flatnonzero(self._rank < self._taken[self._size])
        sizes = self._size[numbers]
        each = self._masses / np.maximum(self._taken, 1)
        return numbers, each[sizes], (1 - self._taken / self._available)[sizes]
