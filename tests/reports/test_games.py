"""What people met with KernelSHAP, Shapley interactions and LIME."""

import tomllib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from xaionnx.errors import BudgetError, OutputError, ParameterError

REPORTS = tomllib.loads(Path(__file__).with_name("games.toml").read_text(encoding="utf-8"))["report"]
CURVED = {(0,): 1, (1, 2): 2, (0, 1, 3): 3, (2, 3, 4): -2, (0, 2, 4, 5): 5, (6, 7, 8): 2, (0, 6, 9): 1, (3, 10, 11): 1}

WEIGHTS = np.linspace(0.1, 1, 345, dtype=np.float32)


@pytest.fixture(scope="module")
def curved():
    return planted.load(planted.polynomial(12, CURVED))


@pytest.fixture(scope="module")
def exact(curved):
    return xaionnx.explain(curved, np.ones((1, 12), np.float32), "exact_shapley", 0).feature_values


def test_every_report_has_tests_here():
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


@pytest.mark.parametrize("method", ["kernel_shap", "lime", "shapley_interactions"])
def test_a_second_run_has_the_same_bits(curved, method):
    x = np.ones((1, 12), np.float32)
    one, other = (xaionnx.explain(curved, x, method, 0, budget=400) for _ in range(2))
    np.testing.assert_array_equal(one.feature_values, other.feature_values)


def test_values_of_other_seeds_differ_by_their_standard_errors(curved, exact):
    x = np.ones((1, 12), np.float32)
    for seed in range(20):
        found = xaionnx.explain(curved, x, "kernel_shap", 0, budget=400, seed=seed)
        assert (np.abs(found.feature_values - exact) <= 5 * found.standard_error).all()


@pytest.mark.parametrize("l1", [1, 3, 11])
def test_values_of_some_features_add_up_to_the_change_too(curved, l1):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "kernel_shap", 0, l1=l1, budget=400)
    assert 1 <= np.count_nonzero(found.feature_values) <= l1
    np.testing.assert_allclose(
        found.feature_values.sum(), found.prediction[0] - found.baseline_prediction[0], rtol=1e-6
    )


def test_no_feature_is_left_out_unasked(curved, exact):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "kernel_shap", 0)
    assert np.count_nonzero(found.feature_values) == np.count_nonzero(exact) == 12


def test_three_features_are_exact():
    model = planted.load(planted.polynomial(3, {(0,): 1, (1,): 2, (0, 1): 3, (0, 2): -1, (0, 1, 2): 6}))
    found = xaionnx.explain(model, np.ones((1, 3), np.float32), "kernel_shap", 0)
    np.testing.assert_allclose(found.feature_values, [[4, 5.5, 1.5]], rtol=1e-6)
    assert found.diagnostics["stopped_by"] == ["enumeration"]


@pytest.mark.parametrize("budget", [0, 2, 30])
def test_evaluations_that_determine_nothing_are_refused(budget):
    model = planted.load(planted.linear([[1.0] * 30]))
    with pytest.raises((BudgetError, ParameterError), match=r"budget"):
        xaionnx.explain(model, np.ones((1, 30), np.float32), "kernel_shap", 0, budget=budget)


def test_a_probability_of_one_has_finite_values_and_infinite_log_odds_are_refused_by_name():
    x, row = np.float32([[500, 1], [1, 2]]), np.zeros((1, 2), np.float32)
    model = loaded("g (float[N,2] x) => (float[N,1] p) { s = ReduceSum<keepdims = 1>(x, a)  p = Sigmoid(s) }",
                   a=np.array([1]))  # fmt: skip
    found = xaionnx.explain(model, x, "kernel_shap", 0, baseline=row)
    assert found.prediction[0] == 1
    np.testing.assert_allclose(found.feature_values.sum(axis=1), found.prediction - 0.5, rtol=1e-6)
    odds = loaded(
        "g (float[N,2] x) => (float[N,1] y) { s = ReduceSum<keepdims = 1>(x, a)  p = Sigmoid(s)"
        "  one = Constant<value = float {1}>()  q = Sub(one, p)  r = Div(p, q)  y = Log(r) }",
        a=np.array([1]),
    )
    with pytest.raises(OutputError, match="NaN or infinity"):
        xaionnx.explain(odds, x, "kernel_shap", 0, baseline=row)
    np.testing.assert_allclose(
        xaionnx.explain(odds, x[1:], "kernel_shap", 0, baseline=row).feature_values, [[1, 2]], rtol=1e-5
    )


def test_memory_does_not_grow_with_the_background():
    model, rng = planted.load(planted.linear([WEIGHTS.tolist()])), np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 345)).astype(np.float32)
    tracemalloc.start()
    found = xaionnx.explain(model, rows[:2], "kernel_shap", 0, background=rows, background_size=5, budget=11_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    used = found.feature_values / WEIGHTS
    # Each value is the weight times the difference to the mean of the 5 rows that were used.
    np.testing.assert_allclose((rows[:2] - used)[0], (rows[:2] - used)[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["kernel_shap", "shapley_sampling", "exact_shapley", "partition_shap"])
def test_values_add_up_to_the_change_from_the_baseline_which_is_recorded(curved, method):
    row = np.full((1, 12), 0.5, np.float32)
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), method, 0, baseline=row)
    (at_row,) = curved.run({curved.input().name: row}).values()
    np.testing.assert_allclose(found.baseline_prediction, at_row[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.feature_values.sum(), found.prediction[0] - at_row[0, 0], rtol=1e-6)


def test_values_over_background_rows_are_the_means_of_those_over_each(curved):
    x, rows = np.ones((1, 12), np.float32), np.random.default_rng(0).uniform(-1, 1, (4, 12)).astype(np.float32)
    together = xaionnx.explain(curved, x, "exact_shapley", 0, background=rows)
    each = [xaionnx.explain(curved, x, "exact_shapley", 0, baseline=row[None]).feature_values for row in rows]
    np.testing.assert_allclose(together.feature_values, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [400, 5000])
def test_a_row_of_the_interactions_adds_up_to_the_shapley_value(curved, exact, budget):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "shapley_interactions", 0, budget=budget)
    sums = found.maps["interactions"][0].sum(axis=1)
    np.testing.assert_allclose(sums, exact[0], rtol=1e-6 if budget > 4096 else 0.3, atol=1e-6 if budget > 4096 else 0.3)


def test_interactions_of_many_features_take_no_more_than_the_default_budget():
    terms = {(i,): 1 for i in range(30)} | {(0, 1): 2, (2, 3): -3}
    found = xaionnx.explain(
        planted.load(planted.polynomial(30, terms)), np.ones((1, 30), np.float32), "shapley_interactions", 0
    )
    assert found.diagnostics["evaluations"][0] <= 4096
    matrix = found.maps["interactions"][0]
    np.testing.assert_allclose([matrix[0, 1], matrix[2, 3], matrix[4, 5]], [1, -1.5, 0], atol=1e-4)


def test_a_surrogate_that_does_not_fit_says_so(curved):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "lime", 0, budget=2000, kernel="uniform", alpha=0)
    local, r2 = found.diagnostics["local_prediction"][0][0], found.diagnostics["r2"][0][0]
    assert abs(local - found.prediction[0]) > 1
    assert r2 < 0.9
    linear = xaionnx.explain(
        planted.load(planted.linear([[1.0, 2.0, -3.0]])), np.ones((1, 3), np.float32), "lime", 0, alpha=0
    )
    assert linear.diagnostics["r2"][0][0] == pytest.approx(1)
    assert linear.diagnostics["local_prediction"][0][0] == pytest.approx(0, abs=1e-6)


def test_more_features_keep_the_first_ones(curved):
    x = np.ones((1, 12), np.float32)
    few, more = (
        np.flatnonzero(xaionnx.explain(curved, x, "lime", 0, budget=2000, select=n).feature_values[0]) for n in (3, 6)
    )
    assert (len(few), len(more)) == (3, 6)
    assert set(few) <= set(more)
