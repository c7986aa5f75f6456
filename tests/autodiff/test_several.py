"""Several cotangents in one run give the same gradients as one at a time."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.counting import rows_run
from tests.tiny import loaded, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target, explain
from xaionnx.autodiff import gradient
from xaionnx.autodiff.composites import Choices, composite
from xaionnx.autodiff.lrp import table
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.gradients import graph

MODELS = Path(__file__).parents[2] / "models"
NAMES = ("digits_cnn", "efficientnet_lite0", "german_credit_mlp", "mnist_cnn", "mnist_vit", "selfie_segmentation")

# Three different nonlinear targets.
CURVED = """g (float[N, 4] x) => (float[N, 3] y) <float[4, 3] w = {1, 2, -1, 0.5, -1, 1, 0.1, 2, 3, -2, 0.3, 0.7}> {
  h = MatMul(x, w)  e = Exp(h)  s = Tanh(x)  v = MatMul(s, w)  y = Add(e, v) }"""


def both(model, wrt, feeds, out=None, rules=None, count=3):
    """Gradients of ``count`` cotangents, (N, U, ...), in one run, and one after the other."""
    out = out or model.output().name
    alone = gradient(model, out, wrt, rules, feeds)
    together = gradient(model, out, wrt, rules, feeds, several=True)
    rows = len(next(array for name, array in feeds.items() if name not in model.shared))
    sizes = alone.model.input(alone.cotangent).shape[1:]
    cotangents = np.random.default_rng(1).standard_normal((rows, count, *sizes)).astype(np.float32)
    forward, found = together.run(feeds, cotangents)
    expected = [alone.run(feeds, cotangents[:, u]) for u in range(count)]
    assert_close(forward, expected[0][0], Tolerance.DEEP)
    return found, {name: np.stack([one[1][name] for one in expected], axis=1) for name in wrt}


def agree(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape
        # Constant folding differs, and so does the order of sums.
        assert_close(found[name], array, Tolerance.REWRITES, np.abs(array).max(initial=1e-30))


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("name", NAMES)
def test_models_give_for_each_cotangent_what_it_gives_alone(name):
    model = trained(name)
    shape = model.input().shape[1:]
    x = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype(np.float32)
    agree(*both(model, [model.input().name], {model.input().name: x}))


@pytest.mark.parametrize("name", NAMES)
def test_their_graphs_pass_the_checker_in_full(name):
    model = trained(name)
    made = gradient(model, model.output().name, [model.input().name], several=True).model.graph
    onnx.checker.check_model(made, full_check=True)


def test_rules_in_place_of_derivatives():
    model = trained("mnist_cnn")
    x = np.random.default_rng(0).uniform(0, 1, (2, *model.input().shape[1:])).astype(np.float32)
    rules = table(composite("epsilon_plus", Choices(1e-6, True, 0.25, None, None), first=True))
    agree(*both(model, [model.input().name], {model.input().name: x}, rules=rules))


def test_recurrence_inner_tensors_and_shared_inputs():
    model = loaded(
        """g (float[N, 3, 2] x, float[2, 2] w) => (float[N, 2] y) <int64 steps = {3}, int64[2] flat = {-1, 2}> {
          h = MatMul(x, w)  e = Tanh(h)  m = ReduceMax <keepdims = 0> (e)  s = Softmax(e)
          axis = Constant <value_ints = [1]> ()  t = ReduceSum <keepdims = 0> (s, axis)  y = Mul(t, t) }"""
    )
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((4, 3, 2)).astype(np.float32), "w": np.float32([[1, 2], [3, -1]])}
    agree(*both(model, ["x", "h"], feeds))


def test_a_gradient_that_is_zero_whatever_the_cotangent():
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { z = Floor(x)  y = Mul(z, z) }")
    found, expected = both(model, ["x"], {"x": np.float32([[1.5, 2.5]])})
    np.testing.assert_array_equal(expected["x"], np.zeros((1, 3, 2)))
    agree(found, expected)


def test_a_model_of_a_fixed_number_of_samples():
    model = loaded("g (float[4, 2] x) => (float[4, 2] y) { z = Exp(x)  y = Mul(z, x) }")
    agree(*both(model, ["x"], {"x": np.float32([[1, 2], [3, 4], [0, 1]])}))


def test_the_forward_part_runs_once_for_all_targets(monkeypatch):
    model = loaded(CURVED)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    explain(model, x, "saliency", [0, 1, 2])
    counted = rows_run(monkeypatch)
    found = explain(model, x, "saliency", [0, 1, 2])
    assert found.diagnostics["gradients"] == [3, 3]
    assert found.diagnostics["evaluations"] == [1, 1]
    assert sum(counted) == 2


def test_targets_whose_gradients_do_not_fit_together_run_in_pieces(monkeypatch):
    model = loaded(CURVED)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    whole = explain(model, x, "integrated_gradients", [0, 1, 2], steps=4)
    monkeypatch.setattr(graph, "RUN_BYTES", 2 * (3 + 4) * 4)
    pieces = explain(model, x, "integrated_gradients", [0, 1, 2], steps=4)
    assert_close(pieces.values, whole.values, Tolerance.OPERATIONS)
    assert pieces.diagnostics["gradients"] == whole.diagnostics["gradients"]
    # Two forward passes at each of the four points instead of one.
    assert pieces.diagnostics["evaluations"] == [spent + 4 for spent in whole.diagnostics["evaluations"]]


def test_targets_that_are_done_stop_while_others_are_refined():
    model = loaded(CURVED)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    method = IntegratedGradients(steps=2, rule="trapezoid", tolerance=0.01, max_steps=200)
    together = method.attribute(model, x, [0, 1, 2])
    alone = [method.attribute(model, x, t) for t in range(3)]
    steps = np.array(together.diagnostics["steps"]).T
    assert len(np.unique(steps)) > 1
    for t, one in enumerate(alone):
        np.testing.assert_array_equal(steps[t], one.diagnostics["steps"])
        assert_close(together.values[t], one.values, Tolerance.SIGNED_SUMS)
    spent = np.sum([one.diagnostics["gradients"] for one in alone], axis=0)
    np.testing.assert_array_equal(together.diagnostics["gradients"], spent)


def test_targets_of_different_tensors_and_squared_distances():
    model = loaded("g (float[N, 3] x) => (float[N, 3] y) { h = Mul(x, x)  e = Tanh(h)  y = Mul(e, x) }")
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    asked = [
        Target.index(0),
        Target.neuron("h", 1),
        Target.loss(np.float32([1, 2, 3]), "squared_error"),
        Target.index(2),
        Target.loss(np.float32([0, 0, 1]), "squared_error"),
    ]
    together = explain(model, x, "input_x_gradient", asked)
    for t, one in enumerate(asked):
        assert_close(together.values[t], explain(model, x, "input_x_gradient", one).values, Tolerance.SUMS)
