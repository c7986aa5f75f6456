"""Games of many short rows played together: the same as one by one, with equal inputs run once."""

import time

import numpy as np
import pytest
from xaionnx_kernels.masks import window_corners

import xaionnx
from models import planted
from tests.tiny import linear, loaded
from xaionnx import Baseline, Features, Model
from xaionnx.data.sample import Sample
from xaionnx.explainers.occlusion import Occlusion
from xaionnx.graph.roles import Role
from xaionnx.runtime.rows import rows_to_compare
from xaionnx.runtime.session import Session

METHODS = {
    "kernel_shap": {"budget": 60},
    "lime": {"budget": 40},
    "banzhaf": {"budget": 40},
    "shapley_sampling": {"budget": 60},
    "exact_shapley": {},
    "feature_ablation": {},
    "feature_permutation": {"donors": np.arange(20, dtype=np.float32).reshape(4, 5) / 10},
    "occlusion": {"window": 2, "stride": 1},
    "sobol": {"budget": 400},
    "shapley_interactions": {"budget": 30},
    "partition_shap": {"hierarchy": [0, 0, 1, 1, 1]},
}
X = np.round(np.random.default_rng(0).uniform(-2, 2, (40, 5))).astype(np.float32)
ROWS = np.round(np.random.default_rng(1).uniform(-2, 2, (7, 5))).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return planted.load(planted.second_order())


@pytest.fixture
def runs(monkeypatch):
    counted, run = [], Session.run

    def counting(self, fetch, feeds, *rest):
        counted.append(max(len(array) for array in feeds.values()))
        return run(self, fetch, feeds, *rest)

    monkeypatch.setattr(Session, "run", counting)
    return counted


@pytest.mark.parametrize("targets", [0, [0, 0]], ids=["one target", "two targets"])
@pytest.mark.parametrize("method", METHODS)
def test_a_row_has_the_same_bits_alone_and_among_others(model, method, targets):
    settings = {**METHODS[method], **({} if method == "feature_permutation" else {"baseline": 0.5})}
    many = xaionnx.explain(model, X, method, targets, **settings)
    axis = np.asarray(many.feature_values).ndim - 2
    for n in (0, 17, 39):
        one = xaionnx.explain(model, X[n : n + 1], method, targets, **settings)
        np.testing.assert_array_equal(one.feature_values.take(0, axis), many.feature_values.take(n, axis))
        if one.standard_error is not None:
            np.testing.assert_array_equal(one.standard_error.take(0, axis), many.standard_error.take(n, axis))
        for name, found in one.diagnostics.items():
            if name not in ("seconds", "equal_inputs"):
                assert found[0] == many.diagnostics[name][n], name


CURVED = {(0,): 1, (1, 2): 2, (0, 1, 3): 3, (2, 3, 4): -2, (0, 2, 4, 5): 5, (1, 5): 0.1, (6, 7, 8): 2, (0, 6, 8): 1}
STOPS = {
    "kernel_shap": {"budget": 400, "tolerance": 0.05},
    "banzhaf": {"budget": 400, "tolerance": 0.05},
    "shapley_sampling": {"budget": 400, "tolerance": 0.1},
    "shapley_interactions": {"budget": 400, "tolerance": 0.2},
    "lime": {"budget": 400, "tolerance": 0.05},
    "sobol": {"budget": 24_000, "replicates": 4, "tolerance": 0.05},
}


@pytest.mark.parametrize("method", STOPS)
def test_rows_stop_by_themselves_where_their_errors_are_small_enough(method, runs):
    model = planted.load(planted.polynomial(9, CURVED))
    x = np.random.default_rng(0).uniform(-2, 2, (30, 9)).astype(np.float32)
    many = xaionnx.explain(model, x, method, 0, **STOPS[method])
    # Batches of many rows, not of one, by what most evaluations are in: runs that tune the batch are small.
    assert np.average(runs, weights=runs) > 200
    assert len(set(many.diagnostics["evaluations"])) > 1
    assert "tolerance" in many.diagnostics["stopped_by"]
    for n in range(0, 30, 4):
        one = xaionnx.explain(model, x[n : n + 1], method, 0, **STOPS[method])
        np.testing.assert_array_equal(one.feature_values[0], many.feature_values[n])
        np.testing.assert_array_equal(one.standard_error[0], many.standard_error[n])
        for name in ("evaluations", "stopped_by"):
            assert one.diagnostics[name][0] == many.diagnostics[name][n]


@pytest.mark.parametrize("reduction", ["sample", "kmeans"])
@pytest.mark.parametrize("method", ["kernel_shap", "lime", "feature_ablation", "occlusion"])
def test_background_rows_among_others(model, method, reduction):
    settings = {**METHODS[method], "background": ROWS, "background_size": 4, "background_reduction": reduction}
    settings |= {"budget": 4 * settings["budget"]} if "budget" in settings else {}
    many = xaionnx.explain(model, X, method, 0, **settings)
    one = xaionnx.explain(model, X[17:18], method, 0, **settings)
    np.testing.assert_array_equal(one.feature_values[0], many.feature_values[17])


def test_each_row_has_a_target_and_a_baseline_of_its_own(tmp_path):
    model = Model.load(linear(tmp_path / "m.onnx", [[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]]))
    classes = [n % 2 for n in range(len(X))]
    found = xaionnx.explain(model, X, "feature_ablation", np.array(classes), baseline=np.ones_like(X) * X[:1])
    slopes = np.arange(1, 6) * np.where(np.array(classes) == 1, 10, 1)[:, None]
    np.testing.assert_allclose(found.values, (X - X[0]) * slopes, rtol=1e-5)


def test_the_target_of_each_row_is_its_top_class(tmp_path):
    model = Model.load(linear(tmp_path / "m.onnx", [[1, -1], [2, -2], [3, -3], [4, -4], [5, -5]]))
    found = xaionnx.explain(model, X, "kernel_shap")
    sign = np.where(X @ np.arange(1, 6) >= 0, 1, -1)
    np.testing.assert_allclose(found.values, X * np.arange(1, 6) * sign[:, None], rtol=1e-4, atol=1e-5)


def test_equal_inputs_run_once_and_count_as_evaluations(model, runs):
    x, row = np.float32([[1, 2, 3, 4, 5]]), np.float32([[1, 2, 3, 0, 0]])
    # All sets of features are evaluated at this budget, also those that differ in players without an effect.
    found = xaionnx.explain(model, x, "lime", 0, baseline=row, kernel="uniform", alpha=0, budget=32)
    ran = sum(runs)
    other = np.float32([[-1, -2, -3, 0, 0]])
    alike = xaionnx.explain(model, x, "lime", 0, baseline=other, kernel="uniform", alpha=0, budget=32)
    assert found.diagnostics["evaluations"] == alike.diagnostics["evaluations"] == [32]
    # Only the last two columns change anything: 4 inputs, besides the sample and the empty coalition.
    assert found.diagnostics["equal_inputs"] == 32 - 2 - 4 == 32 - ran
    assert "equal_inputs" not in alike.diagnostics
    np.testing.assert_allclose(found.values[0, :3], 0, atol=1e-6)


def test_inputs_that_differ_in_no_player_but_in_their_target_are_told_apart(tmp_path):
    model = Model.load(linear(tmp_path / "m.onnx", [[1, 10], [1, 10], [1, 10], [1, 10], [1, 10]]))
    x = np.ones((2, 5), np.float32)
    found = xaionnx.explain(model, x, "feature_ablation", np.array([0, 1]), features=np.zeros(5, int))
    np.testing.assert_allclose(found.feature_values, [[5], [50]])


@pytest.mark.parametrize("features", [Features.columns([[0, 1], [2, 3]]), np.array([0, 0, 1, 2, 2]), "elements"])
def test_groups_of_columns(model, features):
    many = xaionnx.explain(model, X, "kernel_shap", 0, features=features, background=ROWS)
    alone = [xaionnx.explain(model, x[None], "kernel_shap", 0, features=features, background=ROWS) for x in X[:5]]
    np.testing.assert_array_equal(many.feature_values[:5], np.concatenate([one.feature_values for one in alone]))


def test_a_failure_names_the_row_and_the_coalition(tmp_path):
    model = loaded("g (float[N,2] x) => (float[N,2] y) { y = Reciprocal(x) }")
    with pytest.raises(xaionnx.errors.OutputError, match=r"\(coalition 1 of sample 2\)"):
        xaionnx.explain(model, np.float32([[1, 2], [3, 4], [5, 6]]), "feature_ablation", 1,
                        baseline=np.float32([[1, 1], [1, 1], [1, 0]]))  # fmt: skip


def test_the_rows_compared_are_found_in_time_linear_in_their_number():
    rows = {"x": np.zeros((50_000, 2), np.float32)}
    rows["x"][-1] = 1
    began = time.process_time()
    assert rows_to_compare(rows)["x"].sum() == 2
    assert time.process_time() - began < 2
    rows["x"][:] = np.arange(50_000)[:, None]
    began = time.process_time()
    assert rows_to_compare(rows)["x"][:, 0].tolist() == list(range(8))
    assert time.process_time() - began < 0.1


def test_baselines_that_are_rows_agree_with_a_loop(model):
    found = xaionnx.explain(model, X[:3], "feature_ablation", 0, baseline=Baseline.background(ROWS))
    for n in range(3):
        for k in range(5):
            inputs = np.repeat(X[n : n + 1], len(ROWS), axis=0)
            inputs[:, k] = ROWS[:, k]
            (out,) = model.run({model.input().name: inputs}).values()
            np.testing.assert_allclose(found.values[n, k], found.prediction[n] - out[:, 0].mean(), rtol=1e-4, atol=1e-5)


WINDOWS = {
    "channel space space": ((1, 6, 7), 3),
    "space space channel": ((5, 4, 3), (2, 3)),
    "channel space space space": ((2, 4, 3, 5), (2, 1, 3)),
    "time": ((9,), 4),
}


@pytest.mark.parametrize("axes", WINDOWS)
def test_a_window_keeps_the_elements_that_it_does_not_cover(axes):
    shape, window = WINDOWS[axes]
    roles = {"x": tuple(Role(word) for word in axes.split())}
    sample = Sample({"x": np.ones(shape, np.float32)}, "x", roles=roles)
    removal = Occlusion(window=window, baseline=0.0).removal(sample)
    codes = window_corners(removal.plane.extent, removal.window, removal.steps("Occlusion", 1))
    filled = np.ones((len(codes), *shape), np.float32)
    removal.fill(codes, slice(0, 1), {"x": filled})
    kept = removal.kept_elements(codes, "x")
    np.testing.assert_array_equal(kept, filled.reshape(len(codes), -1) == 1)
    assert 0 < kept.mean() < 1


def test_small_pictures_are_occluded_together(runs):
    digits = np.random.default_rng(0).random((30, 1, 28, 28), np.float32)
    model = Model.load("models/mnist_cnn.onnx", threads=1)
    xaionnx.explain(model, digits, "occlusion", 3)
    runs.clear()
    together = xaionnx.explain(model, digits, "occlusion", 3)
    # 9 windows and the prediction of each, in fewer runs than digits.
    assert sum(runs) == 30 * 10
    assert len(runs) < 30
    for n in (0, 29):
        alone = xaionnx.explain(model, digits[n : n + 1], "occlusion", 3)
        np.testing.assert_array_equal(alone.values[0], together.values[n])
