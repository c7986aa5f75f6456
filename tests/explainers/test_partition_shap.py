"""Owen values: published numbers, all orders of a hierarchy, hierarchies from data, and what sampling promises."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xaionnx
from models import planted
from tests.oracles import games
from tests.oracles.owen import owen
from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.hierarchy import read_hierarchy
from xaionnx.explainers.partition_shap import PartitionShap

THREE = {(0,): 1.0, (1,): 2.0, (0, 1): 3.0, (0, 2): -1.0, (0, 1, 2): 6.0}


def x_of(players, seed, samples=1):
    return np.random.default_rng([seed, 7]).normal(size=(samples, players)).astype(np.float32)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [([0, 0, 1], (3.5, 5, 2.5)), ([0, 1, 0], (3.5, 6.5, 1)), ([0, 1, 2], (4, 5.5, 1.5)), ([0, 0, 0], (4, 5.5, 1.5))],
)
def test_published_owen_values(groups, expected):
    model = planted.load(planted.polynomial(3, THREE))
    result = xaionnx.explain(model, np.ones((1, 3), np.float32), "partition_shap", hierarchy=np.array(groups))
    assert_close(result.values[0], expected, Tolerance.ORDER_ONE)
    assert result.diagnostics["stopped_by"] == ["enumeration"]
    assert not result.standard_error.any()


@pytest.mark.parametrize(
    ("levels", "nested"),
    [
        ([[0, 0, 1, 1, 1, 2]], [[0, 1], [2, 3, 4], 5]),
        ([[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 3]], [[[0, 1], [2, 3]], [4, 5]]),
        ([[1, 0, 1, 0, 1, 0]], [[1, 3, 5], [0, 2, 4]]),
    ],
)
def test_all_orders_in_which_groups_stay_together(levels, nested):
    model, x = games.loaded(6, seed=1), x_of(6, 1)
    v = {s: float(value[0]) for s, value in games.values(model, x[0]).items()}
    result = xaionnx.explain(model, x, PartitionShap(hierarchy=[np.array(level) for level in levels]), 0)
    assert_close(result.values[0], owen(v, nested, 6), Tolerance.SIGNED_LAYERS)
    for players, value in result.diagnostics["groups"][0][0]:
        assert_close(result.feature_values[0, players].sum(), value, Tolerance.SIGNED_LAYERS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sets(st.integers(0, 4), min_size=1).map(lambda s: tuple(sorted(s))), st.integers(-9, 9), min_size=1
    ),
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
)
def test_any_game_of_five_columns_in_any_groups(terms, labels):
    """Against all orders; efficiency in every group, and a null player."""
    model = planted.load(planted.polynomial(5, terms))
    v = {
        frozenset(s): float(sum(w for term, w in terms.items() if set(term) <= set(s)))
        for size in range(6)
        for s in combinations(range(5), size)
    }
    groups = [[i for i in range(5) if labels[i] == label] for label in sorted(set(labels))]
    nested = [group if len(group) > 1 else group[0] for group in groups]
    result = xaionnx.explain(
        model, np.ones((1, 5), np.float32), PartitionShap(hierarchy=np.array(labels), budget=100), 0
    )
    scale = sum(map(abs, terms.values())) + 1
    assert_close(result.values[0], owen(v, nested if len(nested) > 1 else groups[0], 5), Tolerance.ORDER_ONE, scale)
    for null in set(range(5)) - {i for term in terms for i in term}:
        assert_close(result.values[0, null], 0, Tolerance.ORDER_ONE, scale)


def test_flat_groups_are_shapley_values():
    model, x = games.loaded(9, seed=3), x_of(9, 3)
    flat = xaionnx.explain(model, x, "partition_shap", [0, 1], hierarchy="flat")
    assert_close(flat.values, xaionnx.explain(model, x, "exact_shapley", [0, 1]).values, Tolerance.SIGNED_LAYERS)
    assert flat.diagnostics["evaluations"] == [512]


def test_columns_that_move_together_join_together():
    """Columns 0 and 3 are copies up to sign and noise, as are 1 and 2; 4 is alone."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 3))
    noise = 0.05 * rng.normal(size=(60, 2))
    rows = np.stack([base[:, 0], base[:, 1], base[:, 1] + noise[:, 0], noise[:, 1] - base[:, 0], base[:, 2]], axis=1)
    model, x = games.loaded(5, seed=2), x_of(5, 2)
    given_rows = PartitionShap(baseline=Baseline.background(rows.astype(np.float32)), budget=5000)
    result = xaionnx.explain(model, x, given_rows, 0)
    assert result.diagnostics["hierarchy"] == ["correlation"]
    groups = [set(players) for players, _ in result.diagnostics["groups"][0][0]]
    assert {0, 3} in groups
    assert {1, 2} in groups
    with pytest.raises(ParameterError, match=r"must not be 'correlation' for a baseline of 1 rows"):
        xaionnx.explain(model, x, "partition_shap", 0, hierarchy="correlation")
    assert xaionnx.explain(model, x, "partition_shap", 0).diagnostics["hierarchy"] == ["flat"]


def test_superpixels_of_superpixels():
    """A model that reads one quadrant: other quadrants and all their cells get nothing."""
    weights = np.zeros((1, 1, 16, 16))
    weights[:, :, :8, 8:] = np.random.default_rng(0).normal(size=(8, 8))
    model, x = planted.load(planted.linear(weights)), np.ones((1, 1, 16, 16), np.float32)
    result = xaionnx.explain(model, x, "partition_shap", features="grid:8", hierarchy=["grid:2", "grid:4"], budget=3000)
    expected = weights.reshape(8, 2, 8, 2).sum(axis=(1, 3)).reshape(-1)
    assert_close(result.feature_values[0], expected, Tolerance.ORDER_ONE, 10)
    sizes = [len(players) for players, _ in result.diagnostics["groups"][0][0]]
    assert sizes == [64, *[16] * 4, *[4] * 16]
    assert result.diagnostics["groups"][0][0][2][1] == pytest.approx(expected.sum(), rel=1e-5)
    positions = xaionnx.explain(model, x, "partition_shap", features="grid:8", budget=3000)
    assert positions.diagnostics["hierarchy"] == ["positions"]
    assert_close(positions.feature_values[0], expected, Tolerance.ORDER_ONE, 10)


def test_a_hierarchy_on_the_command_line():
    assert read_hierarchy("superpixels:5+superpixels:20") == ["superpixels:5", "superpixels:20"]
    assert read_hierarchy("correlation") == "correlation"
    assert read_hierarchy("grid:2") == "grid:2"
    with pytest.raises(xaionnx.errors.UnknownNameError, match=r"No features named 'superpixel'. Nearest: superpixels"):
        PartitionShap(hierarchy=["superpixel"])


@pytest.mark.parametrize("levels", [1, 3])
def test_samples_of_contexts_are_unbiased_and_their_errors_hold(levels):
    model, x = games.loaded(24, seed=1), x_of(24, 1)
    hierarchy = [np.arange(24) // 12, np.arange(24) // 6, np.arange(24) // 3][:levels] if levels > 1 else "flat"
    exact = xaionnx.explain(model, x, PartitionShap(hierarchy=hierarchy, budget=100_000), [0, 1])
    found = [
        xaionnx.explain(model, x, PartitionShap(hierarchy=hierarchy, budget=300, seed=seed), [0, 1])
        for seed in range(20)
    ]
    assert all(one.diagnostics["stopped_by"] == ["budget"] for one in found)
    assert all(200 < one.diagnostics["evaluations"][0] <= 300 for one in found)
    change = exact.prediction - exact.baseline_prediction
    for one in found:
        assert_close(one.feature_values.sum(axis=-1), change, Tolerance.DEEP)
    off = np.array([one.feature_values - exact.feature_values for one in found])
    errors = np.array([one.standard_error for one in found])
    assert 0.6 < np.sqrt(np.square(off).mean() / np.square(errors).mean()) < 1.25
    assert (np.abs(off) < 4 * errors).mean() > 0.99
    assert (np.abs(off.mean(axis=0)) < 4 * off.std(axis=0, ddof=1) / np.sqrt(20)).mean() > 0.97


def test_what_cannot_be_paid_is_refused():
    model, x = games.loaded(40, seed=0), x_of(40, 0)
    with pytest.raises(BudgetError, match=r"PartitionShap needs at least 158 model evaluations for 40 features"):
        xaionnx.explain(model, x, "partition_shap", 0, budget=100, hierarchy="flat")


@pytest.mark.parametrize("hierarchy", [None, "flat", np.arange(20) // 10])
def test_a_row_has_the_same_bits_in_any_company(hierarchy):
    model, rng = trained("german_credit_mlp"), np.random.default_rng(0)
    x = rng.normal(size=(5, 20)).astype(np.float32)
    method = PartitionShap(hierarchy=hierarchy, budget=600, baseline=Baseline.background(x[1:4] / 2))
    together = xaionnx.explain(model, x, method)
    alone = [xaionnx.explain(model, x[n : n + 1], method) for n in range(len(x))]
    np.testing.assert_array_equal(np.concatenate([one.feature_values for one in alone]), together.feature_values)
    if together.standard_error is not None:
        np.testing.assert_array_equal(np.concatenate([one.standard_error for one in alone]), together.standard_error)
