"""The explanation of the mean of a target over a batch."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features, Target
from xaionnx.errors import ParameterError

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
LABELS = np.array([0, 1, 1, 0])


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(1)
    return loaded(
        "g (float[N, 3] x) => (float[N, 2] y) { a = MatMul(x, w)  h = Tanh(a)  y = MatMul(h, v) }",
        w=rng.normal(size=(3, 5)), v=rng.normal(size=(5, 2)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    """The same net with all rows as one sample, and the mean of class 1 over them as its output."""
    rng = np.random.default_rng(1)
    return loaded(
        """g (float[N, 4, 3] x) => (float[N, 1] y) {
        a = MatMul(x, w)  h = Tanh(a)  b = MatMul(h, v)  c = Gather<axis = 2>(b, one)
        y = ReduceMean<axes = [1], keepdims = 0>(c) }""",
        w=rng.normal(size=(3, 5)), v=rng.normal(size=(5, 2)), one=np.array([1]),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["feature_ablation", "exact_shapley", "banzhaf"])
def test_columns_removed_in_all_rows_at_once(net, whole, method):
    found = xaionnx.explain(net, X, method, 1).mean()
    columns = np.tile(np.arange(3), (4, 1))
    owed = xaionnx.explain(whole, X[None], method, Target.sum(), features=columns)
    assert_close(found.feature_values, owed.feature_values, Tolerance.SUMS)
    assert_close(found.prediction, owed.prediction, Tolerance.SUMS)
    assert found.samples == 1
    assert found.target.tolist() == ["mean of y[1] over 4 samples"]


def test_gradients_of_the_mean_are_those_of_the_rows(net, whole):
    rows = xaionnx.explain(net, X, "integrated_gradients", 1)
    owed = xaionnx.explain(whole, X[None], "integrated_gradients", Target.sum())
    assert_close(rows.values / 4, owed.values[0], Tolerance.SUMS)
    found = rows.mean()
    assert_close(found.values, owed.values.sum(axis=1), Tolerance.SUMS)
    gap = found.values.sum() - (found.prediction - found.baseline_prediction)[0]
    assert_close(found.diagnostics["completeness_gap"], [gap], Tolerance.ORDER_ONE)
    assert found.diagnostics["evaluations"] == [sum(rows.diagnostics["evaluations"])]
    assert "relative_gap" not in found.diagnostics


def test_several_targets_and_a_saved_record(net, tmp_path):
    found = xaionnx.explain(net, X, "kernel_shap", [0, Target.loss(LABELS)]).mean()
    assert found.values.shape == (2, 1, 3)
    assert found.target[1, 0].startswith("mean of cross-entropy against y[0] and cross-entropy against y[1] over 4")
    again = xaionnx.Explanation.load(found.save(tmp_path / "mean.npz"))
    np.testing.assert_array_equal(again.values, found.values)
    assert again.diagnostics == found.diagnostics
    assert found.plot().mode == "RGB"
    assert "Explanation by kernel_shap" in repr(found)


def test_features_that_differ_have_no_mean():
    model = planted.load(planted.pooled([[1.0]], [[1.0], [2.0]], (12, 12)))
    pictures = np.random.default_rng(0).normal(size=(2, 1, 12, 12)).astype(np.float32)
    with pytest.raises(ParameterError, match="different features, whose values have no mean"):
        xaionnx.explain(model, pictures, "feature_ablation", 0, features="superpixels:5").mean()
    found = xaionnx.explain(model, pictures, "feature_ablation", 0, features=Features.grid(2)).mean()
    assert found.feature_values.shape == (1, 4)
