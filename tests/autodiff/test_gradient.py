"""Gradients of whole models, through the public engine."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded, normal, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError, UnsupportedModelError

MODELS = Path(__file__).parents[2] / "models"
# Steps of central differences in float32: small enough to avoid most kinks of ReLU nets, and above rounding.
STEP = 1e-3
# Relative to the size of the derivative; the error comes from units that switch on or off within the step.
TOLERANCE = {
    "digits_cnn": 0.05,
    "efficientnet_lite0": 0.15,
    "german_credit_mlp": 0.02,
    "mnist_cnn": 0.1,
    "mnist_vae_decoder": 0.02,
    "mnist_vit": 0.02,
    "selfie_segmentation": 0.05,
}
# The mask of noise is exactly 0, so the tensor before its Sigmoid is taken.
INNER = {"selfie_segmentation": "v136"}


@pytest.mark.parametrize("name", TOLERANCE)
def test_models_agree_with_central_differences(name):
    model = Model.load(MODELS / f"{name}.onnx", device="cpu")
    x, out = model.input().name, INNER.get(name, model.output().name)
    model = model.with_outputs([out])
    rng = np.random.default_rng(0)
    samples = rng.uniform(0, 1, (3, *model.input().shape[1:])).astype(np.float32)
    answers = model.run({x: samples})[out]
    cotangent = rng.standard_normal(answers.shape).astype(np.float32)
    found = gradient(model, out, [x])

    forward, slopes = found.run({x: samples}, cotangent)
    assert_close(forward, answers, Tolerance.SIGNED_LAYERS)
    assert slopes[x].shape == samples.shape
    assert gradient(model, out, [x]).model is found.model

    # One sample at a time gives the same rows.
    rows = [found.run({x: samples[i : i + 1]}, cotangent[i : i + 1])[1][x] for i in range(3)]
    assert_close(np.concatenate(rows), slopes[x], Tolerance.PROPAGATION, np.abs(slopes[x]).max())

    # Along the gradient itself the derivative is largest, so rounding matters least.
    direction = slopes[x] / np.linalg.norm(slopes[x].reshape(3, -1), axis=1).reshape([3] + [1] * (samples.ndim - 1))
    direction = direction + 0.1 * rng.standard_normal(samples.shape).astype(np.float32) / np.sqrt(samples[0].size)
    direction = direction.astype(np.float32)
    above, below = (model.run({x: samples + s * STEP * direction})[out].astype(np.float64) for s in (1, -1))
    expected = ((above - below) * cotangent).reshape(3, -1).sum(axis=1) / (2 * STEP)
    along = (slopes[x].astype(np.float64) * direction).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(along, expected, rtol=TOLERANCE[name])


@pytest.mark.parametrize("name", TOLERANCE)
def test_graphs_pass_the_checker_in_full(name):
    model = Model.load(MODELS / f"{name}.onnx", device="cpu")
    graph = gradient(model, model.output().name, [model.input().name]).model.graph
    onnx.checker.check_model(graph, full_check=True)
    shapes = [[d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in graph.graph.output]
    assert shapes == [list(model.output().shape), list(model.input().shape)]


def test_several_tensors_at_once_and_inner_ones():
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  e = Exp(h)  y = Mul(e, h) }")
    x = np.float32([[0.5, -1.0], [0.1, 0.2]])
    h = x * x
    _, slopes = gradient(model, "y", ["h", "x"]).run({"x": x}, np.ones_like(x))
    assert_close(slopes["h"], np.exp(h) * (1 + h), Tolerance.SUMS)
    assert_close(slopes["x"], np.exp(h) * (1 + h) * 2 * x, Tolerance.SUMS)
    _, slopes = gradient(model, "e", ["h"]).run({"x": x}, np.ones_like(x))
    assert_close(slopes["h"], np.exp(h), Tolerance.SUMS)


def test_a_swapped_rule_is_used_and_kept_apart():
    def guided(g, node, cotangents, needed):
        positive = g.op("Relu", cotangents[0])
        return STANDARD["Relu"](g, node, [positive], needed)

    model = loaded("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }")
    x = np.float32([[1, 2, -1]])
    cotangent = np.float32([[-1, 1, 1]])
    plain = gradient(model, "y", ["x"]).run({"x": x}, cotangent)[1]["x"]
    swapped = gradient(model, "y", ["x"], STANDARD | {"Relu": guided}).run({"x": x}, cotangent)[1]["x"]
    np.testing.assert_array_equal(plain, [[-1, 1, 0]])
    np.testing.assert_array_equal(swapped, [[0, 1, 0]])


def test_shapes_that_follow_the_batch():
    """A broadcast over samples, a Reshape with the batch size, and a concatenated row of weights."""
    model = loaded(
        """g (float[N, 4] x) => (float[N, 2] y)
        <float[1, 4] w = {1, 2, 3, 4}, int64[2] tail = {2, 2}, int64[1] zero = {0}, int64[1] two = {2}> {
          n = Shape <start = 0, end = 1> (x)  s = Concat <axis = 0> (n, tail)
          a = Mul(x, w)  r = Reshape(a, s)  m = Mul(r, r)  y = ReduceSum <keepdims = 0> (m, two) }""",
    )
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    weights = np.float32([[1, 2, 3, 4]])
    for count in (1, 2, 5):
        slopes = gradient(model, "y", ["x"]).run({"x": x[:count]}, np.ones((count, 2), np.float32))[1]["x"]
        assert_close(slopes, 2 * weights**2 * x[:count], Tolerance.SUMS)


def test_what_the_gradient_does_not_need_is_left_out():
    """Nodes and weights after the explained tensor are left out; a repeated number is summed without being repeated
    first.
    """
    model = loaded(
        """g (float[N, 3, 2, 2] x) => (float[N, 3, 1, 1] y) <float[3, 1, 1] w = {1, 2, 3}> {
          m = GlobalAveragePool(x)  s = Sigmoid(m)  h = Mul(x, s)  z = Exp(h)  p = GlobalAveragePool(z)  y = Mul(p, w)
        }""",
    )
    found = gradient(model, "h", ["x"])
    kinds = [node.op_type for node in found.model.graph.graph.node]
    assert not {"Exp", "Expand", "Shape"} & set(kinds)
    assert "w" not in {tensor.name for tensor in found.model.graph.graph.initializer}
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 2)).astype(np.float32)
    s = 1 / (1 + np.exp(-x.mean(axis=(2, 3), keepdims=True)))
    slopes = found.run({"x": x}, np.ones_like(x))[1]["x"]
    assert_close(slopes, s + x.mean(axis=(2, 3), keepdims=True) * s * (1 - s) + 0 * x, Tolerance.SUMS)


def test_a_model_declared_for_one_sample():
    model = loaded("g (float[1, 2] x) => (float[1, 2] y) { y = Mul(x, x) }")
    x = np.float32([[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(gradient(model, "y", ["x"]).run({"x": x}, np.ones_like(x))[1]["x"], 2 * x)


def test_a_shape_for_one_sample_that_would_fold_others_into_another_axis():
    """Run on two samples, the Reshape still gives one, of twice the size: the graph is built for one."""
    w = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    model = loaded(
        """g (float[1, 4] x) => (float[1, 3, 2] y) {
            h = MatMul(x, w)
            shape = Constant <value = int64[3] {1, 3, -1}> ()
            y = Reshape(h, shape) }""",
        w=w,
    )
    x = np.float32([[1, -2, 0.5, 3]])
    for name in ("saliency", "deep_lift"):
        settings = {"absolute": False} if name == "saliency" else {"baseline": 0}
        found = xaionnx.explain(model, x, name, Target.index((2, 1)), **settings)
        assert found.diagnostics["gradient"] == "graph"
        assert_close(found.values[0], w[:, 5] * (1 if name == "saliency" else x[0]), Tolerance.LAYERS)


def test_missing_rules_are_named_with_their_path():
    model = loaded(
        """g (float[N, 4] x) => (float[N, 4] y) {
          h = Exp(x)  a = Unique(h)  s = ReduceSum<keepdims = 0>(a)  y = Mul(h, s) }""",
    )
    with pytest.raises(UnsupportedModelError, match=r"No rule for ONNX op 'Unique' .* from 'x' to 'y'.*occlusion"):
        gradient(model, "y", ["x"])


def test_what_cannot_be_asked():
    model = loaded("g (float[N, 2] x, float[N, 2] z) => (float[N, 2] y) { u = Exp(z)  y = Exp(x) }")
    with pytest.raises(UnsupportedModelError, match="'y' does not depend on 'z'"):
        gradient(model, "y", ["x", "z"])
    with pytest.raises(UnknownNameError, match="No tensor named 'yy'"):
        gradient(model, "yy", ["x"])
    with pytest.raises(ParameterError, match="at least one tensor"):
        gradient(model, "y", [])
    free = loaded("g (float[N, T] x) => (float[N, T] y) { y = Softmax(x) }")
    with pytest.raises(InputMismatchError, match="of free size"):
        gradient(free, "y", ["x"])
    x = np.float32([[1, 2, 3]])
    slopes = gradient(free, "y", ["x"], sample={"x": x}).run({"x": x}, np.float32([[1, 1, 1]]))[1]["x"]
    assert_close(slopes, 0, Tolerance.ORDER_ONE)


def test_gradients_of_published_nets():
    """Net A: y1 = sum ReLU(h) - 1 with h = (s-10, s+1, s+1, s+1); at s = 0.6 three units are on."""
    model = planted.load(planted.net_a())
    x = np.float32([[0.1, 0.2, 0.3], [-1, -1, -1]])
    slopes = gradient(model, "y", ["x"]).run({"x": x}, np.float32([[1, 0], [1, 0]]))[1]["x"]
    assert_close(slopes, [[3, 3, 3], [0, 0, 0]], Tolerance.OPERATIONS)


def test_a_spectrogram_is_differentiated_to_its_signal(tmp_path):
    """The first layers of audio models: windowed frames, power, mel bands, logarithm."""
    size, length, step, bands = 400, 64, 24, 8
    model = parsed(
        f"""g (float[N, {size}] x) => (float[N, F] y)
        <int64[3] as_signal = {{0, {size}, 1}}, int64 step = {{{step}}}, int64 length = {{{length}}},
         int64 bands = {{{bands}}}, int64 rate = {{8000}}, float low = {{0}}, float high = {{4000}},
         int64[1] last = {{-1}}, int64[2] flat = {{0, -1}}, float tiny = {{0.001}}> {{
          s = Reshape(x, as_signal)  w = HannWindow(length)  f = STFT(s, step, w, length)  p = Mul(f, f)
          power = ReduceSum <keepdims = 0> (p, last)  mel = MelWeightMatrix(bands, length, rate, low, high)
          b = MatMul(power, mel)  above = Add(b, tiny)  l = Log(above)  y = Reshape(l, flat) }}""",
        opset=20,
        ir=9,
    )
    onnx.save(model, tmp_path / "mel.onnx")
    mel = Model.load(tmp_path / "mel.onnx", device="cpu")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, size)).astype(np.float32)
    y = mel.run({"x": x})["y"]
    dy = rng.standard_normal(y.shape).astype(np.float32)
    _, slopes = gradient(mel, "y", ["x"]).run({"x": x}, dy)
    # Differences are coarse in float32, and largest along the gradient.
    direction = slopes["x"] / np.linalg.norm(slopes["x"], axis=1, keepdims=True)
    above, below = (mel.run({"x": x + s * STEP * direction})["y"].astype(np.float64) for s in (1, -1))
    expected = ((above - below) * dy).sum(axis=1) / (2 * STEP)
    np.testing.assert_allclose((slopes["x"] * direction).sum(axis=1), expected, rtol=5e-3)


def test_a_graph_for_one_sample_where_other_inputs_are_for_one():
    """States whose batch is not their first axis fit one sample only."""
    text = """g (float[N, T, 2] x, float[1, M, 3] h) => (float[N, 3] y) <int64[1] zero = {0}> {
      t = Transpose <perm = [1, 0, 2]> (x)
      s, last = RNN <hidden_size = 3> (t, w, r, , , h)
      y = Squeeze(last, zero) }"""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(1, 3, 2)), "r": rng.normal(size=(1, 3, 3))}
    model = loaded(text, opset=20, **weights)
    feeds = {name: rng.normal(size=size).astype(np.float32) for name, size in (("x", (1, 1, 2)), ("h", (1, 1, 3)))}
    y, slopes = gradient(model, "y", ["x"], sample=feeds).run(feeds, np.ones((1, 3), np.float32))
    z = feeds["x"][0] @ weights["w"][0].T + feeds["h"][0] @ weights["r"][0].T
    assert_close(y, np.tanh(z), Tolerance.OPERATIONS)
    assert_close(slopes["x"][0], (1 - np.tanh(z) ** 2) @ weights["w"][0], Tolerance.SIGNED_SUMS)


def test_a_number_without_a_batch_axis_is_that_of_one_sample():
    """As exporters write a score that is squeezed: of shape () for one sample, whatever the batch is declared as."""
    w = normal(4, 1)
    text = """g (float[N, 4] x) => (float y) { a = MatMul(x, w)  b = Tanh(a)  y = Squeeze(b) }"""
    model = loaded(text, w=w)
    x = normal(1, 4)
    found = xaionnx.explain(model, x, "saliency", Target.sum(), absolute=False)
    assert_close(found.values, (1 - np.tanh(x @ w) ** 2) * w.T, Tolerance.LAYERS)
    gap = xaionnx.explain(model, x, "deep_lift", Target.sum(), baseline=0.0)
    assert_close(gap.values.sum(), np.tanh(x @ w)[0, 0], Tolerance.SUMS)
