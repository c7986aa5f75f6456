"""Interaction indices from the definitions of their papers, set by set, for a game as a dict of frozensets."""

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np


def sets_of(players, order):
    return [frozenset(s) for size in range(1, order + 1) for s in combinations(range(players), size)]


def derivative(v, s, t):
    """sum over L in S of (-1)^(|S| - |L|) v(T + L)."""
    subsets = [frozenset(c) for size in range(len(s) + 1) for c in combinations(sorted(s), size)]
    return sum((-1) ** (len(s) - len(part)) * v[t | part] for part in subsets)


def sii(v, players, order):
    """Grabisch and Roubens 1999: weights (P - t - s)! t! / (P - s + 1)!."""
    found = {}
    for s in sets_of(players, order):
        size = len(s)
        found[s] = sum(
            factorial(players - len(t) - size) * factorial(len(t)) / factorial(players - size + 1) * derivative(v, s, t)
            for t in v
            if not t & s
        )
    return found


def bii(v, players, order):
    """Grabisch and Roubens 1999: equal weights 2^-(P - s)."""
    return {
        s: sum(derivative(v, s, t) for t in v if not t & s) / 2 ** (players - len(s)) for s in sets_of(players, order)
    }


def k_sii(v, players, order):
    """Bordt and von Luxburg 2023, definition 7: order by order, with the numbers of Bernoulli."""
    bernoulli = [1, -1 / 2, 1 / 6]
    plain = sii(v, players, order)
    found = {s: plain[s] for s in sets_of(players, 1)}
    for n in range(2, order + 1):
        for s in [*found]:
            found[s] += bernoulli[n - len(s)] * sum(plain[u] for u in sets_of(players, n) if len(u) == n and s < u)
        found |= {s: plain[s] for s in sets_of(players, n) if len(s) == n}
    return found


def stii(v, players, order):
    """Sundararajan et al. 2020, section 2: over all orders, the derivative at those before the first of S to come."""
    found = {}
    for s in sets_of(players, order):
        if len(s) < order:
            found[s] = derivative(v, s, frozenset())
            continue
        total = 0
        for arrivals in permutations(range(players)):
            first = min(arrivals.index(i) for i in s)
            total = total + derivative(v, s, frozenset(arrivals[:first]))
        found[s] = total / factorial(players)
    return found


def faithful(v, players, order, shapley):
    """Tsai et al. 2023: the weighted fit of a polynomial, exact at the ends for the weights of KernelSHAP."""
    sets, rows = sets_of(players, order), list(v)
    design = np.array([[float(s <= t) for s in [frozenset(), *sets]] for t in rows])
    outputs = np.array([v[t] for t in rows])
    inner = [k for k, t in enumerate(rows) if 0 < len(t) < players]
    if not shapley:
        return dict(zip(sets, np.linalg.lstsq(design, outputs, rcond=None)[0][1:], strict=True))
    weights = np.array(
        [(players - 1) / (comb(players, len(rows[k])) * len(rows[k]) * (players - len(rows[k]))) for k in inner]
    )
    ends = [k for k, t in enumerate(rows) if len(t) in (0, players)]
    inside, fixed = design[inner], design[ends]
    bordered = np.block([[inside.T * weights @ inside, fixed.T], [fixed, np.zeros((2, 2))]])
    right = np.concatenate([(inside.T * weights) @ outputs[inner], outputs[ends]])
    return dict(zip(sets, np.linalg.lstsq(bordered, right, rcond=None)[0][1 : len(sets) + 1], strict=True))


def fsii(v, players, order):
    return faithful(v, players, order, shapley=True)


def fbii(v, players, order):
    return faithful(v, players, order, shapley=False)
