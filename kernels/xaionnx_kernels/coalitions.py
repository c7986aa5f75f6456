"""Which coalitions of players to evaluate: all of them, random ones, and those of KernelSHAP.

A coalition is a row of P booleans, true for the players who are present. Row i of every function depends on
(seed, i) and the function's own parameters alone, so that ``start`` and ``stop`` cut any sequence into pieces.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter
from xaionnx_kernels._dealing import deal_size, deal_sizes, pairs_of

__all__ = [
    "KernelShapPlan",
    "all_coalitions",
    "bernoulli",
    "kernel_shap_coalitions",
    "kernel_shap_plan",
    "kernel_shap_size_weights",
    "kernel_shap_weights",
]

Bools = npt.NDArray[np.bool_]

_BERNOULLI_STREAM = 0x10
# A size whose coalitions deal out fewer permutations than this is dealt from one deck with the other such sizes: alone
# it is too few to be balanced. Measured on 40 players: 1.5 times fewer evaluations at 5 a player, even from 25 on.
_SPARSE_DECKS = 2


def all_coalitions(players: int, start: int = 0, stop: int | None = None) -> Bools:
    """Return every coalition in binary order: player j is present in row r where bit j of r is set.

    So row 0 is empty, row 2^P - 1 is full, and row 2^j holds player j alone.

    Parameters
    ----------
    players : int
        P, in [1, 62].
    start, stop : int
        The rows to make; all 2^P by default.

    Returns
    -------
    (M, P) bool, with M = stop - start

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> all_coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    if not 1 <= players <= 62:
        raise ValueError(f"'players' must be an int in [1, 62]. Got {players!r} instead.")
    last = 2**players if stop is None else stop
    if not 0 <= start <= last <= 2**players:
        raise ValueError(f"'start' and 'stop' must lie in [0, 2^{players}], in order. Got {start!r}, {stop!r} instead.")
    bits: npt.NDArray[np.int64] = (np.arange(start, last)[:, None] >> np.arange(players)) & 1
    return bits.astype(np.bool_)


def bernoulli(seed: int, start: int, stop: int, players: int) -> Bools:
    """Return coalitions in which each player is present with probability 1/2, independently.

    Parameters
    ----------
    seed : int
        In [0, 2^64).
    start, stop : int
        The rows to make.
    players : int
        P, in [1, inf).

    Returns
    -------
    (M, P) bool, with M = stop - start

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> rows = bernoulli(seed=0, start=0, stop=100, players=5)
    >>> np.array_equal(rows[30:], bernoulli(seed=0, start=30, stop=100, players=5))
    True
    """
    if players < 1:
        raise ValueError(f"'players' must be an int in [1, inf). Got {players!r} instead.")
    return counter.coins(seed, _BERNOULLI_STREAM, start, stop, players)


@dataclass(frozen=True)
class KernelShapPlan:
    """How many evaluations KernelSHAP spends on each size of coalition; made by :func:`kernel_shap_plan`.

    Attributes
    ----------
    players : int
        P.
    pairs : tuple of int, floor(P/2) of them
        Entry h - 1 counts the pairs of a coalition of h players and its complement of P - h.
    """

    players: int
    pairs: tuple[int, ...]

    @property
    def evaluations(self) -> int:
        """M, the coalitions that the plan holds: never more than the budget it was made for."""
        return 2 * sum(self.pairs)

    @property
    def complete(self) -> bool:
        """Whether it enumerates every coalition, so that KernelSHAP is the exact Shapley value."""
        return all(count == pairs_of(self.players, h) for h, count in enumerate(self.pairs, 1))


def kernel_shap_size_weights(players: int) -> npt.NDArray[np.float64]:
    """Return what all coalitions of one size weigh together in KernelSHAP: (P - 1) / (k (P - k)) for k = 1 .. P - 1.

    Parameters
    ----------
    players : int
        P, in [1, inf).

    Returns
    -------
    (P - 1,) float64

    Raises
    ------
    ValueError
        ``players`` is below 1.

    Examples
    --------
    >>> kernel_shap_size_weights(5).round(3).tolist()
    [1.0, 0.667, 0.667, 1.0]
    """
    if players < 1:
        raise ValueError(f"'players' must be an int in [1, inf). Got {players!r} instead.")
    sizes = np.arange(1, players)
    return (players - 1) / (sizes * (players - sizes))


def kernel_shap_plan(players: int, budget: int) -> KernelShapPlan:
    """Share a budget of evaluations among the sizes of coalitions.

    Each pair of sizes (h, P - h) gets evaluations in proportion to its weight in the regression. Sizes that this would
    give more than they have are enumerated completely, and what remains is shared again among the others: the
    smallest and largest sizes, which weigh most and are fewest, are complete first. Since the sizes are then
    represented as they weigh, no sampled coalition stands for much more than another.

    Parameters
    ----------
    players : int
        P, in [1, inf). The coalitions of one player are the empty and the full one, so its plan holds nothing.
    budget : int
        Evaluations besides those of the empty and the full coalition, in [2, inf). From 2^P - 2 on the plan is
        complete.

    Returns
    -------
    KernelShapPlan

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> plan = kernel_shap_plan(players=10, budget=200)
    >>> plan.pairs, plan.evaluations, plan.complete
    ((10, 33, 25, 22, 10), 200, False)
    >>> kernel_shap_plan(players=4, budget=14).complete
    True
    """
    if players < 1 or budget < 2:
        raise ValueError(
            f"'players' must be in [1, inf) and 'budget' in [2, inf). Got {players!r}, {budget!r} instead."
        )
    available = [pairs_of(players, h) for h in range(1, players // 2 + 1)]
    masses = _pair_masses(players)
    pairs = [0] * len(available)
    open_sizes = list(range(len(available)))
    remaining = min(budget // 2, sum(available))
    while True:
        total = sum(masses[h] for h in open_sizes)
        full = [h for h in open_sizes if remaining * masses[h] >= available[h] * total]
        if not full:
            break
        for h in full:
            pairs[h] = available[h]
            remaining -= available[h]
        open_sizes = [h for h in open_sizes if h not in full]
    shares = {h: remaining * masses[h] / total for h in open_sizes}
    for h in open_sizes:
        pairs[h] = math.floor(shares[h])
    left = remaining - sum(pairs[h] for h in open_sizes)
    for h in sorted(open_sizes, key=lambda h: (pairs[h] - shares[h], h))[:left]:  # the largest remainders
        pairs[h] += 1
    return KernelShapPlan(players, tuple(pairs))


def kernel_shap_coalitions(
    seed: int, start: int, stop: int, plan: KernelShapPlan
) -> tuple[Bools, npt.NDArray[np.float64]]:
    r"""Return coalitions start to stop of a plan, and their weights in the regression.

    The KernelSHAP estimate [1]_ is the minimiser of

    .. math:: \sum_m w_m \Big( v(S_m) - v(\emptyset) - \sum_{j \in S_m} \phi_j \Big)^2
              \quad \text{subject to} \quad \sum_j \phi_j = v(P) - v(\emptyset)

    over these M coalitions. How they are chosen:

    - in pairs: row 2i + 1 is the complement of row 2i, which removes the error of all interactions of even order [2]_;
    - by size, as the plan says, a size's weight being shared equally by its coalitions: no error from drawing sizes;
    - without replacement: no coalition comes twice, and the sizes that the plan completes are enumerated, first;
    - balanced: coalitions are dealt like cards from one random permutation after the other, so that the players appear
      about equally often (coalitions that come again are passed over) and neighbours share few. Each size has its own
      cards, except that sizes with too few coalitions to be balanced alone share theirs.

    The sampled sizes are interleaved in proportion, so that a first part of the sequence is a smaller sample of the
    same design; :func:`kernel_shap_weights` has its weights.

    Parameters
    ----------
    seed : int
        In [0, 2^64). A complete plan does not depend on it.
    start, stop : int
        In [0, plan.evaluations].
    plan : KernelShapPlan

    Returns
    -------
    coalitions : (M, P) bool, with M = stop - start
    weights : (M,) float64
        All of a plan's weights sum to the sum of :func:`kernel_shap_size_weights`, less that of sizes too light for
        a single pair.

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    References
    ----------
    .. [1] S. M. Lundberg, S.-I. Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017,
           arXiv:1705.07874
    .. [2] I. Covert, S.-I. Lee, "Improving KernelSHAP: Practical Shapley Value Estimation via Linear Regression",
           AISTATS 2021, arXiv:2012.01536

    Examples
    --------
    >>> coalitions, weights = kernel_shap_coalitions(seed=0, start=0, stop=6, plan=kernel_shap_plan(3, 6))
    >>> coalitions.astype(int).tolist()
    [[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0]]
    >>> weights.round(3).tolist()
    [0.333, 0.333, 0.333, 0.333, 0.333, 0.333]
    """
    weights = kernel_shap_weights(plan, start, stop)
    packed = _packed_pairs(seed, plan)
    rows = np.arange(start, stop)
    firsts = np.unpackbits(packed[rows // 2], axis=1, count=plan.players).view(np.bool_)
    return firsts ^ (rows % 2 == 1)[:, None], weights


def kernel_shap_weights(
    plan: KernelShapPlan, start: int, stop: int, evaluated: int | None = None
) -> npt.NDArray[np.float64]:
    """Return the weights of coalitions start to stop when the first ``evaluated`` of the plan are all there are.

    For a method that stops before its budget is spent.

    Parameters
    ----------
    plan : KernelShapPlan
    start, stop : int
        In [0, evaluated].
    evaluated : int
        Even, in [0, plan.evaluations]; all of the plan by default.

    Returns
    -------
    (M,) float64, with M = stop - start

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> plan = kernel_shap_plan(10, 200)
    >>> kernel_shap_weights(plan, 0, 100, evaluated=100).sum() <= kernel_shap_size_weights(10).sum()
    np.True_
    """
    count = plan.evaluations if evaluated is None else evaluated
    if not 0 <= count <= plan.evaluations or count % 2:
        raise ValueError(f"'evaluated' must be an even int in [0, {plan.evaluations}]. Got {evaluated!r} instead.")
    if not 0 <= start <= stop <= count:
        raise ValueError(f"'start' and 'stop' must lie in [0, {count}], in order. Got {start!r}, {stop!r} instead.")
    sizes = _sizes_in_order(plan)
    present = np.bincount(sizes[: count // 2], minlength=len(plan.pairs))
    each = np.array(_pair_masses(plan.players)) / np.maximum(2 * present, 1)
    return each[sizes[np.arange(start, stop) // 2]]


def _pair_masses(players: int) -> list[float]:
    weights = kernel_shap_size_weights(players).tolist()
    return [weights[h - 1] * (1 if 2 * h == players else 2) for h in range(1, players // 2 + 1)]


@functools.lru_cache(maxsize=8)
def _sizes_in_order(plan: KernelShapPlan) -> npt.NDArray[np.intp]:
    """h - 1 of each pair: the enumerated sizes, then the others interleaved in proportion."""
    sizes = np.repeat(np.arange(len(plan.pairs)), plan.pairs)
    within = np.concatenate([np.arange(count) for count in plan.pairs] or [np.empty(0, int)])
    counts = np.array(plan.pairs, int)
    whole = np.array([count == pairs_of(plan.players, h) for h, count in enumerate(plan.pairs, 1)], bool)
    when = np.where(whole[sizes], -1.0, (within + 0.5) / np.maximum(counts[sizes], 1))
    return sizes[np.argsort(when, kind="stable")]


@functools.lru_cache(maxsize=2)  # a plan serves every sample that is explained with it
def _packed_pairs(seed: int, plan: KernelShapPlan) -> npt.NDArray[np.uint8]:
    """The first coalition of each pair, in the plan's order, 8 players to a byte."""
    order = _sizes_in_order(plan)
    packed = np.empty((len(order), -(-plan.players // 8)), np.uint8)
    sparse = np.zeros(len(order), np.bool_)
    for h, count in enumerate(plan.pairs, 1):
        where = order == h - 1
        if count * h < _SPARSE_DECKS * plan.players and 2 * count <= pairs_of(plan.players, h):
            sparse |= where
        else:
            packed[where] = deal_size(seed, plan.players, h, count)
    packed[sparse] = deal_sizes(seed, plan.players, order[sparse] + 1)
    return packed
