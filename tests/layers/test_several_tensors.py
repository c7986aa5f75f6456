"""Layers with several outputs, with the batch axis elsewhere, several at once, and the output and input as layers."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.internal_influence import InternalInfluence

METHODS = ("saliency", "input_x_gradient", "integrated_gradients", "conductance", "internal_influence", "deep_lift")
# A recurrent net over time first, whose states are summed over time, split and ranked.
TEXT = """g (float[N, 6, 3] x) => (float[N, 2] y) {
  t = Transpose<perm = [1, 0, 2]>(x)  all, last = LSTM<hidden_size = 4>(t, W, R)
  steps = Squeeze(all, second)  rows = ReduceSum<keepdims = 0>(steps, first)
  a, b = Split<axis = 1>(rows)  best, at = TopK(rows, k)
  joined = Concat<axis = 1>(a, b, best)  y = MatMul(joined, K) }"""
WEIGHTS = {"W": normal(1, 16, 3), "R": normal(1, 16, 4), "K": normal(6, 2)}
K = WEIGHTS["K"].astype(np.float64)
X = normal(2, 6, 3)


@pytest.fixture(scope="module")
def recurrent():
    whole = {"first": np.array([0]), "second": np.array([1]), "k": np.array([2])}
    return loaded(TEXT, **WEIGHTS, **whole)


@pytest.mark.parametrize(("layer", "rows"), [("a", slice(0, 2)), ("b", slice(2, 4)), ("best", slice(4, 6))])
def test_each_output_of_a_node_is_a_layer(recurrent, layer, rows):
    held = recurrent.with_outputs([layer]).run({"x": X}, [layer])[layer]
    assert_close(xaionnx.explain(recurrent, X, "layer_activation", layer=layer).values, held, Tolerance.DEEP)
    slope = xaionnx.explain(recurrent, X, "saliency", 1, layer=layer, absolute=False).values
    assert_close(slope, np.tile(K[rows, 1], (2, 1)), Tolerance.DEEP)
    product = xaionnx.explain(recurrent, X, "input_x_gradient", 1, layer=layer).values
    assert_close(product, held * K[rows, 1], Tolerance.DEEP)


def test_a_layer_whose_batch_axis_is_not_the_first_has_it_moved(recurrent):
    """All states, (T, 1, N, H), have a row each of (T, 1, H); their slopes are those of the sum over time."""
    found = xaionnx.explain(recurrent, X, "layer_activation", layer="all").values
    assert found.shape == (2, 6, 1, 4)
    one = recurrent.with_outputs(["all"])
    for n in range(2):
        assert_close(
            found[n : n + 1], one.run({"x": X[n : n + 1]}, ["all"])["all"].transpose(2, 0, 1, 3), Tolerance.DEEP
        )
    slope = xaionnx.explain(recurrent, X, "saliency", 0, layer="all", absolute=False)
    rows = xaionnx.explain(recurrent, X, "saliency", 0, layer="rows", absolute=False).values
    assert_close(slope.values[:, :, 0], np.repeat(rows[:, None], 6, axis=1), Tolerance.DEEP)
    assert slope.provenance["layer"]["name"] == "all"
    with pytest.raises(UnsupportedModelError, match="'y\\[0\\]' of sample 0 does not depend on layer 'last'"):
        xaionnx.explain(recurrent, X, "saliency", 0, layer="last")


@pytest.mark.parametrize("method", METHODS)
def test_the_output_and_the_input_are_layers(recurrent, method):
    """By hand: the slope of a score at the scores is one at its own place."""
    one = np.tile([0.0, 1.0], (2, 1))
    at = xaionnx.explain(recurrent, X, method, 1, layer="output")
    assert at.provenance["layer"]["name"] == "y"
    assert_close(at.values, xaionnx.explain(recurrent, X, method, 1, layer="y").values, Tolerance.DEEP)
    if method in ("saliency", "internal_influence"):
        assert_close(at.values, one, Tolerance.DEEP)
    elif method == "input_x_gradient":
        assert_close(at.values, one * at.prediction[:, None], Tolerance.DEEP)
    else:
        assert_close(at.values, one * (at.prediction - at.baseline_prediction)[:, None], Tolerance.LAYERS)
    if method != "deep_lift":
        named = xaionnx.explain(recurrent, X, method, 1, layer="input")
        assert_close(named.values, xaionnx.explain(recurrent, X, method, 1, layer="x").values, Tolerance.DEEP)
    assert xaionnx.explain(recurrent, X, "layer_activation", layer="output").values.shape == (2, 2)


def test_a_probability_is_explained_at_the_scores(recurrent):
    scores = recurrent.run({"x": X})["y"].astype(np.float64)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = xaionnx.explain(recurrent, X, "saliency", Target.probability(0), layer="output", absolute=False).values
    assert_close(found, np.stack([p[:, 0] * p[:, 1], -p[:, 0] * p[:, 1]], axis=1), Tolerance.LAYERS)


@pytest.mark.parametrize("method", [*METHODS, "layer_activation"])
def test_several_layers_have_values_each(recurrent, method):
    layers = ["a", "rows", "y"]
    found = xaionnx.explain(recurrent, X, method, 0, layer=layers)
    assert list(found.values) == layers
    assert found.provenance["parameters"]["layer"] == layers
    assert [one["name"] for one in found.provenance["layer"]["layers"]] == layers
    for layer in layers:
        alone = xaionnx.explain(recurrent, X, method, 0, layer=layer)
        assert_close(found.values[layer], alone.values, Tolerance.DEEP)
        for key in ("completeness_gap", "relative_gap"):
            if key in alone.diagnostics:
                np.testing.assert_allclose(found.diagnostics[f"{key} at {layer}"], alone.diagnostics[key], atol=1e-6)


def test_a_layer_called_output_is_that_layer():
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { output = Relu(x)  y = Tanh(output) }")
    found = InternalInfluence(layer="output").attribute(model, np.float32([[1, -1]]), 0)
    assert found.provenance["layer"]["name"] == "output"
    assert_close(found.values[0, 1], 0, Tolerance.DEEP)
