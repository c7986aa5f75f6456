"""Shapley and Banzhaf values from their definitions, set by set, and small random networks to try them on."""

from itertools import combinations
from math import factorial

import numpy as np

import xaionnx
from models import planted
from tests import tiny


def network(players, seed, outputs=2, hidden=16):
    """A random network (N, P) to (N, outputs): tanh, then ReLU, so that features interact in all orders."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(size=(players, hidden)) * 2 / np.sqrt(players),
        "b1": rng.normal(size=hidden),
        "w2": rng.normal(size=(hidden, hidden)) / np.sqrt(hidden),
        "b2": rng.normal(size=hidden),
        "w3": rng.normal(size=(hidden, outputs)),
    }
    nodes = [
        tiny.node("Gemm", ["x", "w1", "b1"], ["h1"]),
        tiny.node("Tanh", ["h1"], ["a1"]),
        tiny.node("Gemm", ["a1", "w2", "b2"], ["h2"]),
        tiny.node("Relu", ["h2"], ["a2"]),
        tiny.node("MatMul", ["a2", "w3"], ["y"]),
    ]
    return tiny.model(
        nodes,
        [tiny.tensor("x", ["N", players])],
        [tiny.tensor("y", ["N", outputs])],
        {name: array.astype(np.float32) for name, array in weights.items()},
    )


def loaded(players, seed, **options) -> xaionnx.Model:
    return planted.load(network(players, seed), **options)


def values(model, x, baseline=0.0):
    """v(S) for each set of columns S, as a dict of arrays (K,); x has shape (P,)."""
    players = range(len(x))
    found = {}
    for size in range(len(x) + 1):
        sets = [frozenset(s) for s in combinations(players, size)]
        rows = np.array([[x[j] if j in s else baseline for j in players] for s in sets], dtype=np.float32)
        found.update(zip(sets, model.run({"x": rows})["y"].astype(np.float64), strict=True))
    return found


def shapley(v, players):
    """sum over S without i of |S|! (P - 1 - |S|)! / P! (v(S + i) - v(S)), shape (K, P)."""
    return _sum(v, players, lambda size: factorial(size) * factorial(players - 1 - size) / factorial(players))


def banzhaf(v, players):
    """2^-(P - 1) sum over S without i of v(S + i) - v(S), shape (K, P)."""
    return _sum(v, players, lambda size: 2.0 ** (1 - players))


def _sum(v, players, weight):
    totals = []
    for i in range(players):
        terms = [weight(len(s)) * (v[s | {i}] - v[s]) for s in v if i not in s]
        totals.append(np.sum(terms, axis=0))
    return np.array(totals).T
