"""Players that are equal in the sample and in all baselines: 0 without a share of the budget."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.oracles import games
from tests.oracles.owen import owen
from tests.tiny import loaded

METHODS = ["kernel_shap", "shapley_sampling", "banzhaf", "exact_shapley", "shapley_interactions", "partition_shap"]
VARYING = [1, 4, 5, 11, 17]
PLAYERS = 18


@pytest.fixture(scope="module")
def known():
    """A network of 18 columns of which a row and its baseline differ in five, and the Shapley values of these."""
    model = games.loaded(PLAYERS, seed=3)
    x = np.random.default_rng(3).normal(size=(1, PLAYERS)).astype(np.float32)
    row = x.copy()
    row[0, VARYING] = 0.5
    labels = np.full(PLAYERS, len(VARYING))
    labels[VARYING] = np.arange(len(VARYING))
    few = xaionnx.explain(model, x, "exact_shapley", 0, baseline=row, features=labels)
    return model, x, row, np.asarray(few.feature_values)[0, : len(VARYING)]


@pytest.mark.parametrize("method", METHODS)
def test_null_players_get_zero_and_cost_nothing(known, method):
    model, x, row, expected = known
    found = xaionnx.explain(model, x, method, 0, baseline=row)
    values, null = np.asarray(found.feature_values)[0], np.delete(np.arange(PLAYERS), VARYING)
    np.testing.assert_array_equal(values[null], 0)
    np.testing.assert_array_equal(found.standard_error, 0)
    assert found.diagnostics["evaluations"] == [2 ** len(VARYING)]
    assert found.diagnostics["null_players"] == [len(null)]
    assert found.diagnostics["players"] == [PLAYERS]
    if method == "shapley_interactions":
        pairs = found.maps["interactions"][0]
        np.testing.assert_allclose(pairs.sum(), (found.prediction - found.baseline_prediction)[0], rtol=1e-5)
        np.testing.assert_array_equal(pairs[null], 0)
        assert pairs[np.ix_(VARYING, VARYING)].all()
    elif method != "banzhaf":
        np.testing.assert_allclose(values[VARYING], expected, rtol=1e-5, atol=1e-6)


def test_triples_name_players_among_all(known):
    model, x, row, _ = known
    found = xaionnx.explain(model, x, "shapley_interactions", 0, baseline=row, order=3)
    assert {player for entry in found.diagnostics["triples"][0][0] for player in entry[:3]} <= set(VARYING)


@pytest.mark.parametrize("method", METHODS)
def test_rows_with_other_null_players_have_the_same_bits_alone_and_together(method):
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 2, size=(40, 9)) * rng.normal(size=(40, 9))).astype(np.float32) + 0
    x[7], model, settings = 0, games.loaded(9, seed=1), {} if method == "exact_shapley" else {"budget": 150}
    many = xaionnx.explain(model, x, method, 0, baseline=np.zeros((1, 9), np.float32), **settings)
    assert many.diagnostics["null_players"] == (x == 0).sum(axis=1).tolist()
    for n in range(len(x)):
        one = xaionnx.explain(model, x[n : n + 1], method, 0, baseline=np.zeros((1, 9), np.float32), **settings)
        np.testing.assert_array_equal(one.feature_values[0], many.feature_values[n])
        np.testing.assert_array_equal(one.standard_error[0], many.standard_error[n])
        assert one.prediction[0] == many.prediction[n]
        assert one.diagnostics["completeness_gap"][0] == many.diagnostics["completeness_gap"][n]


@pytest.mark.parametrize("budget", [None, 60])
def test_groups_keep_their_other_players(budget):
    rng = np.random.default_rng(2)
    x = (rng.integers(0, 2, size=(12, 8)) * rng.normal(size=(12, 8))).astype(np.float32) + 0
    model, labels = games.loaded(8, seed=1), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    settings = {"baseline": np.zeros((1, 8), np.float32), "hierarchy": labels}
    many = xaionnx.explain(model, x, "partition_shap", 0, budget=budget, **settings)
    for n, row in enumerate(x):
        one = xaionnx.explain(model, x[n : n + 1], "partition_shap", 0, budget=budget, **settings)
        np.testing.assert_array_equal(one.feature_values[0], many.feature_values[n])
        assert one.diagnostics["groups"][0] == many.diagnostics["groups"][n]
        here = np.flatnonzero(row)
        for group, value in many.diagnostics["groups"][n][0]:
            assert set(group) <= set(here)
            np.testing.assert_allclose(many.feature_values[n][group].sum(), value, rtol=1e-5, atol=1e-6)
        if budget is None:
            v = {present: float(value[0]) for present, value in games.values(model, row).items()}
            expected = owen(v, [[0, 1, 2], [3, 4], [5, 6, 7]], 8)
            np.testing.assert_allclose(many.feature_values[n], expected, rtol=1e-4, atol=1e-5)


def test_a_player_that_one_row_of_a_background_changes_is_none():
    x = np.ones((1, 3), np.float32)
    rows = np.float32([[1, 1, 0], [1, 2, 0]])
    found = xaionnx.explain(planted.load(planted.linear([[1.0, 2.0, 4.0]])), x, "kernel_shap", 0, background=rows)
    assert found.diagnostics["null_players"] == [1]
    np.testing.assert_allclose(found.values, [[0, -1, 4]], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, -0.0])
def test_equal_means_equal_bits(value):
    model = loaded(
        "g (float[N,2] x) => (float[N,1] y) { n = IsNaN(x)  z = Constant<value = float {3}>()"
        "  w = Where(n, z, x)  y = ReduceSum<keepdims = 1>(w, a) }",
        a=np.array([1]),
    )
    x, row = np.float32([[value, 2]]), np.float32([[value, 1]])
    found = xaionnx.explain(model, x, "kernel_shap", 0, baseline=row)
    assert found.diagnostics["null_players"] == [1]
    np.testing.assert_array_equal(found.values, [[0, 1]])
    other = xaionnx.explain(model, x, "kernel_shap", 0, baseline=np.float32([[0.0, 1]]))
    assert "null_players" not in other.diagnostics


def test_superpixels_equal_to_the_baseline():
    model = planted.load(planted.quadrants(8, classes=2))
    x = np.zeros((1, 3, 8, 8), np.float32)
    x[:, :, :4, :4] = np.random.default_rng(0).uniform(0.5, 1, size=(3, 4, 4))
    found = xaionnx.explain(model, x, "kernel_shap", 0, features=xaionnx.Features.grid(4, 4), baseline=0.0)
    assert found.diagnostics["null_players"] == [12]
    assert found.diagnostics["evaluations"] == [16]
    np.testing.assert_array_equal(found.values[0, :, 4:], 0)
    np.testing.assert_allclose(
        np.asarray(found.feature_values).sum(), (found.prediction - found.baseline_prediction)[0], rtol=1e-5
    )
