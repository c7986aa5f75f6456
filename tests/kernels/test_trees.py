"""Shapley values of trees against enumeration, on random forests and on a table computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xaionnx_kernels import trees
from xaionnx_kernels.forests import Forest, Paths, paths, raw_sums
from xaionnx_kernels.trees import Background, Cover, ShapTables

from tests.oracles.trees import coalition_worths, interactions, shapley
from xaionnx.typing import Array


def forest(nodes: list[tuple[int, float, int, int]]) -> Forest:
    """A forest of <= comparisons, from (feature or -1, threshold, true child, false child)."""
    feature, threshold, true, false = (np.array(column) for column in zip(*nodes, strict=True))
    count = len(nodes)
    return Forest(
        feature.astype(np.int32),
        np.zeros(count, np.int8),
        threshold.astype(np.float64),
        np.zeros(count, bool),
        true.astype(np.int32),
        false.astype(np.int32),
        np.zeros(count + 1, np.int32),
        np.zeros(0),
    )


def random_forest(rng: np.random.Generator, features: int, count: int, depth: int) -> tuple[Forest, Array, Array]:
    nodes: list[tuple[int, float, int, int]] = []
    weights: list[float] = []

    def grow(level: int) -> int:
        at = len(nodes)
        nodes.append((-1, 0.0, -1, -1))
        weights.append(float(rng.normal()))
        if level < depth and (level == 0 or rng.random() < 0.8):
            feature, threshold = int(rng.integers(features)), float(rng.normal())
            nodes[at] = (feature, threshold, grow(level + 1), grow(level + 1))
            weights[at] = 0.0
        return at

    roots = [grow(0) for _ in range(count)]
    return forest(nodes), np.array(roots, np.int32), np.array(weights)[:, None]


def values_of(
    found: Paths, absent: Background | Cover, x: Array, weights: Array, *, pairs: bool = False
) -> tuple[Array, Array]:
    players = int(found.players.max(initial=0)) + 1
    out = np.zeros((len(x), 1, players))
    both = np.zeros((len(x), 1, players, players))
    tables = ShapTables(found, absent, len(x), interactions=pairs)
    tables.add(x, [weights], [np.arange(len(x))], out, both if pairs else None)
    return out[:, 0], both[:, 0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 6), count=st.integers(1, 4))
def test_random_forests_equal_enumeration(seed: int, depth: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    own, roots, weights = random_forest(rng, 5, count, depth)
    x, background = rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    found = paths(own, roots, np.arange(5))
    shares = rng.integers(1, 4, 7).astype(float)
    values, pairs = values_of(found, Background(background, shares), x, weights, pairs=True)
    repeated = np.repeat(background, shares.astype(int), axis=0)
    for n in range(3):
        worths = coalition_worths(lambda rows: raw_sums(rows, own, roots, weights), x[n], repeated)
        np.testing.assert_allclose(values[n], shapley(worths)[: values.shape[1], 0], atol=1e-12)
        upper = np.triu(interactions(worths)[..., 0], 1)[: values.shape[1], : values.shape[1]]
        np.testing.assert_allclose(pairs[n], upper, atol=1e-12)


# x0 <= .5 (cover 10): [x1 <= .5 (6): 1 (2) / 3 (4)] / 5 (4); x2 <= 1.5 (10): 0 (7) / [x0 <= .5 (3): -2 (1) / 4 (2)].
# The values are those of shap.TreeExplainer 0.51, too.
TABLE = [
    (0, 0.5, 1, 2), (1, 0.5, 3, 4), (-1, 0, -1, -1), (-1, 0, -1, -1), (-1, 0, -1, -1),
    (2, 1.5, 6, 7), (-1, 0, -1, -1), (0, 0.5, 8, 9), (-1, 0, -1, -1), (-1, 0, -1, -1),
]  # fmt: skip
LEAVES = np.array([0, 0, 5, 1, 3, 0, 0, 0, -2, 4.0])[:, None]
COVER = np.array([10, 6, 4, 2, 4, 10, 7, 3, 1, 2.0])
GOING = COVER / np.array([10, 10, 10, 6, 6, 10, 10, 10, 3, 3])


def test_by_hand() -> None:
    own = forest(TABLE)
    found = paths(own, np.array([0, 5], np.int32), np.arange(3))
    x = np.array([[1, 1, 2], [0, 1, 1.0]])
    background = np.array([[0, 0, 0], [1, 0, 2], [0, 1, 2], [1, 1, 0.0]])
    values, _ = values_of(found, Background(background, np.ones(4)), x, LEAVES)
    np.testing.assert_allclose(values, [[3.5, 0.25, 1.25], [-2, 0.75, 0.25]])
    values, pairs = values_of(found, Cover(GOING), x, LEAVES, pairs=True)
    np.testing.assert_allclose(values, [[2.7, 0.2, 2.1], [-23 / 15, 8 / 15, 0]], atol=1e-12)
    np.testing.assert_allclose(pairs[0] / 2, [[0, -0.2, 0.7], [0, 0, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(pairs[1] / 2, [[0, 2 / 15, 0.6], [0, 0, 0], [0, 0, 0]], atol=1e-12)
    # What the pairs leave of the values are the main effects.
    halves = (pairs + pairs.swapaxes(1, 2)) / 2
    np.testing.assert_allclose(values - halves.sum(axis=2), [[2.2, 0.4, 1.4], [-34 / 15, 0.4, -0.6]], atol=1e-12)


@pytest.mark.parametrize("covers", [False, True])
def test_pairs_of_patterns_equal_tables(covers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves with many players are computed in another way."""
    rng = np.random.default_rng(0)
    own, roots, weights = random_forest(rng, 9, 3, 9)
    found = paths(own, roots, np.arange(9))
    x, background = rng.normal(size=(5, 9)), rng.normal(size=(11, 9))
    going = np.ones(len(own.feature))
    inner = own.true >= 0
    going[own.true[inner]] = share = rng.random(int(inner.sum()))
    going[own.false[inner]] = 1 - share
    absent = Cover(going) if covers else Background(background, np.ones(11))
    tabled, _ = values_of(found, absent, x, weights)
    monkeypatch.setattr(trees, "_SMALL", 2)
    monkeypatch.setattr(trees, "_LARGE", 2)
    paired, _ = values_of(found, absent, x, weights)
    np.testing.assert_allclose(paired, tabled, atol=1e-12)
    monkeypatch.setattr(trees, "_DEEP", 3)
    monkeypatch.setattr(trees, "_ENTRIES", 20)
    few_at_once, _ = values_of(found, absent, x, weights)
    np.testing.assert_array_equal(few_at_once, paired)


def test_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    own, roots, weights = random_forest(rng, 6, 8, 6)
    found = paths(own, roots, np.arange(6))
    x, background = rng.normal(size=(3000, 6)), rng.normal(size=(500, 6))
    several, _ = values_of(found, Background(background, np.ones(500)), x, weights)
    monkeypatch.setattr(trees, "ROWS_OF_TASK", 10**6)
    monkeypatch.setattr(trees, "_ENTRIES", 100)
    alone, _ = values_of(found, Background(background, np.ones(500)), x, weights)
    np.testing.assert_allclose(alone, several, atol=1e-13)


def test_too_many_players() -> None:
    nodes = [(k, 0.0, 70 + k, k + 1) for k in range(70)]
    nodes += [(-1, 0.0, -1, -1)] * 71
    nodes[69] = (69, 0.0, 139, 140)
    found = paths(forest(nodes), np.array([0], np.int32), np.arange(70))
    with pytest.raises(ValueError, match="70 players"):
        ShapTables(found, Background(np.zeros((1, 70)), np.ones(1)), 1)
