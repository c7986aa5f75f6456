"""Prediction and gradients of the samples come out of one run, and are what two runs give."""

from pathlib import Path

import numpy as np
import pytest

from tests.counting import rows_run
from tests.tiny import loaded
from xaionnx import Model, Target, discovery, explain
from xaionnx.explainers._gradients.gradient import GradientExplainer
from xaionnx.request import Request

MODELS = Path(__file__).parents[2] / "models"
METHODS = ("saliency", "input_x_gradient", "guided_backprop", "deconvnet", "lrp", "deep_lift")
TARGETS = {
    "top": None,
    "class": 3,
    "one class a sample": np.array([1, 2, 3]),
    "margin": Target.margin(1, 2),
    "classes": [1, 5],
    "top 3": Target.top(3),
    "probability of the top": Target.probability(),
    "probability": Target.probability(4),
    "squared error": Target.loss(np.arange(10, dtype=np.float32), "squared_error"),
    "cross-entropy": Target.loss(np.array([1, 2, 3])),
    "sum of the region": Target.region(threshold=0.0),
    "top and class": [None, 3],
}
# The others are found in the graph or fed: a region is known from the outputs alone, and the last are of both kinds.
TWO_RUNS = {"sum of the region", "top and class"}


@pytest.fixture(scope="module")
def digits():
    model = Model.load(MODELS / "mnist_cnn.onnx", device="cpu", batch_size=1)
    return model, np.random.default_rng(0).uniform(0, 1, (3, *model.input().shape[1:])).astype(np.float32)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sampled(percent=50)
def test_one_run_gives_what_two_give(monkeypatch, digits, method, target):
    model, x = digits
    explain(model, x, method, TARGETS[target])  # opens the sessions, for which the model is probed
    counted = rows_run(monkeypatch)
    found = explain(model, x, method, TARGETS[target])
    assert sum(counted) == sum(found.diagnostics["evaluations"])
    monkeypatch.setattr(GradientExplainer, "_run", lambda self, request, rules: None)
    other = explain(model, x, method, TARGETS[target])
    np.testing.assert_array_equal(found.target, other.target)
    np.testing.assert_allclose(found.prediction, other.prediction, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.values, other.values, rtol=0, atol=1e-5 * np.abs(other.values).max())
    assert found.diagnostics["gradients"] == other.diagnostics["gradients"]
    if method == "deep_lift":
        np.testing.assert_allclose(found.baseline_prediction, other.baseline_prediction, rtol=1e-5, atol=1e-6)
    else:
        assert found.diagnostics["evaluations"] == ([2, 2, 2] if target in TWO_RUNS else [1, 1, 1])


def test_deep_lift_takes_the_baseline_from_the_same_run(digits):
    model, x = digits
    assert explain(model, x, "deep_lift", 3).diagnostics["evaluations"] == [1, 1, 1]
    # Two baselines are two points, behind a run for the prediction; and their own values are asked for.
    drawn = explain(model, x, "deep_lift", 3, baseline="uniform:2")
    assert drawn.diagnostics["evaluations"] == [5, 5, 5]


def test_targets_that_were_foreseen_wrongly_are_asked_again():
    # Whether these scores are probabilities is seen at the first sample, and the second has others.
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { y = Mul(x, x) }")
    ones, others = np.float32([[0.6, 0.8]]), np.float32([[3, 4]])
    assert explain(model, ones, "saliency", Target.probability(0)).diagnostics["evaluations"] == [1]
    found = explain(model, others, "saliency", Target.probability(0))
    alone = explain(
        loaded("g (float[N, 2] x) => (float[N, 2] y) { y = Mul(x, x) }"), others, "saliency", Target.probability(0)
    )
    assert found.diagnostics["evaluations"] == [2]
    np.testing.assert_allclose(found.values, alone.values, rtol=1e-6)


def test_scores_in_double_precision_are_compared_outside_the_graph():
    model = loaded("g (double[N, 2] x) => (double[N, 2] y) { y = Mul(x, x) }")
    x = np.array([[1.0, 1.0 + 1e-12]])
    found = explain(model, x, "saliency")
    np.testing.assert_allclose(found.values, [[0, 2]], rtol=1e-6)


def test_what_a_report_reads_elsewhere_is_asked_for(digits):
    model, x = digits
    inner = next(node.output[0] for node in model.graph.graph.node if node.op_type == "Relu")
    assert Request(model, x, 3, [Target.top()]).is_pending
    assert not Request(model, x, 3, [Target.sum(output=inner)]).is_pending
    method = discovery.method("saliency")()
    request = method.request(model, x, 3, [Target.sum(output=inner)])
    assert method.explain(request).diagnostics["evaluations"] == [2, 2, 2]
