"""Gradients with respect to weights: initializers and constants, summed over the samples."""

import numpy as np
import onnx
import pytest

from models import planted
from tests.tiny import loaded, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient, jacobian_product
from xaionnx.errors import MemoryLimitError, UnknownNameError, UnsupportedModelError
from xaionnx.runtime.model import Model

# The step of central differences, as a share of the weight's norm.
STEP = 1e-3
# Relative errors of the slope along the gradient itself: float32, and units that switch within the step.
SLOPES = {"mnist_cnn": 0.05, "mnist_vit": 0.02, "mnist_vae_decoder": 0.02}
# Smooth models, one for each way in which an op reads a weight.
SMOOTH = {
    "conv": """g (float[N, 2, 5, 5] x) => (float[N, 4, 3, 3] y) <float[4, 1, 3, 3] w, float[4] b>
      { h = Conv <group = 2, strides = [2, 2], pads = [1, 1, 1, 1]> (x, w, b)  y = Tanh(h) }""",
    "transposed conv": """g (float[N, 2, 3, 3] x) => (float[N, 3, 6, 6] y) <float[2, 3, 2, 2] w, float[3] b>
      { h = ConvTranspose <strides = [2, 2]> (x, w, b)  y = Sigmoid(h) }""",
    "gemm": """g (float[N, 3] x) => (float[N, 4] y) <float[4, 3] w, float[4] b>
      { h = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b)  y = Tanh(h) }""",
    "batch norm": """g (float[N, 3, 4] x) => (float[N, 3, 4] y) <float[3] s, float[3] b, float[3] m, float[3] v>
      { a = Abs(v)  h = BatchNormalization(x, s, b, m, a)  y = Tanh(h) }""",
    "layer norm": """g (float[N, 3, 4] x) => (float[N, 3, 4] y) <float[4] s, float[4] b>
      { h = LayerNormalization(x, s, b)  y = Tanh(h) }""",
    "instance and group norm": """g (float[N, 4, 6] x) => (float[N, 4, 6] y) <float[4] s, float[4] b, float[4] t>
      { h = InstanceNormalization(x, s, b)  k = Tanh(h)  y = GroupNormalization <num_groups = 2> (k, t, b) }""",
    "attention": """g (float[N, 3, 4] x) => (float[N, 3, 4] y) <float[4, 4] q, float[4, 4] k, float[4, 4] v, float[4] b>
      { a = MatMul(x, q)  c = MatMul(x, k)  e = MatMul(x, v)  f = Add(e, b)  d = Transpose <perm = [0, 2, 1]> (c)
        s = MatMul(a, d)  p = Softmax(s)  y = MatMul(p, f) }""",
    "recurrent": """g (float[N, 3, 2] x) => (float[N, 4] y) <float[1, 16, 2] w, float[1, 16, 4] r, float[1, 32] b>
      { t = Transpose <perm = [1, 0, 2]> (x)  a, h, c = LSTM <hidden_size = 4> (t, w, r, b)
        axis = Constant <value_ints = [0]> ()  y = Squeeze(h, axis) }""",
    "broadcast": """g (float[N, 3, 4] x) => (float[N, 3, 4] y) <float[3, 1] w, float[1] b, float c>
      { h = Mul(x, w)  k = Div(h, c)  m = Add(k, b)  y = Tanh(m) }""",
}


def filled(text, seed=0):
    """A model of the text with random weights, which the text declares alone."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')
    rng = np.random.default_rng(seed)
    for value in list(proto.graph.value_info):
        shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
        array = rng.uniform(0.4, 1.2, shape) * rng.choice([-1, 1], shape)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(array), value.name))
    return proto


def slope(found, feeds, cotangent, name, size=STEP):
    """The slope along the gradient of a weight by differences, and the norm of the gradient."""
    own = found.weights[name]
    gradients = found.run(feeds, cotangent)[1]
    norm = float(np.linalg.norm(gradients[name].astype(np.float64)))
    step = size * max(0.01, float(np.linalg.norm(own))) * gradients[name] / norm
    above, below = (found.run({**feeds, name: own + sign * step}, cotangent)[0].astype(np.float64) for sign in (1, -1))
    return float(((above - below) * cotangent).sum() / (2 * np.linalg.norm(step))), norm


@pytest.mark.parametrize("case", SMOOTH)
def test_each_op_agrees_with_central_differences(case):
    proto = filled(SMOOTH[case])
    model = planted.load(proto, device="cpu")
    info = model.input()
    feeds = {"x": np.random.default_rng(1).uniform(-1, 1, (3, *info.shape[1:])).astype(np.float32)}
    weights = [tensor.name for tensor in proto.graph.initializer]
    found = gradient(model, "y", weights)
    assert found.weights.keys() == set(weights)
    forward = model.run(feeds)["y"]
    cotangent = np.random.default_rng(2).standard_normal(forward.shape).astype(np.float32)
    out, gradients = found.run(feeds, cotangent)
    assert_close(out, forward, Tolerance.SIGNED_LAYERS)
    for name in weights:
        assert gradients[name].shape == found.weights[name].shape
        expected, norm = slope(found, feeds, cotangent, name, 3e-3)
        np.testing.assert_allclose(norm, expected, rtol=5e-3, err_msg=name)
    # The gradient of a weight is the sum of those of the samples.
    each = [found.run({"x": feeds["x"][n : n + 1]}, cotangent[n : n + 1])[1] for n in range(3)]
    for name in weights:
        scale = np.abs(gradients[name]).max()
        assert_close(sum(one[name] for one in each), gradients[name], Tolerance.SIGNED_LAYERS, scale)


@pytest.mark.parametrize("name", SLOPES)
def test_all_weights_of_models_agree_with_central_differences(name):
    model = trained(name)
    rng = np.random.default_rng(0)
    feeds = {model.input().name: rng.uniform(0, 1, (4, *model.input().shape[1:])).astype(np.float32)}
    weights = [tensor.name for tensor in model.graph.graph.initializer if tensor.data_type == 1 and tensor.dims]
    out = model.output().name
    found = gradient(model, out, weights)
    cotangent = rng.standard_normal(model.run(feeds)[out].shape).astype(np.float32)
    errors = []
    for weight in weights:
        expected, norm = slope(found, feeds, cotangent, weight)
        errors.append(abs(norm - expected) / norm)
    assert len(errors) == len(weights) >= 8
    assert max(errors) < SLOPES[name]


def test_numbers_by_hand_and_the_input_beside_them():
    # y = (x w + b) c: dy/dw = x' g c, dy/db = sum of g c, dy/dc = sum of g (x w + b), dy/dx = g c w'.
    model = loaded(
        """g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {3, -1}, float[1] b = {0.5}>
        { c = Constant <value_floats = [2.0]> ()  h = MatMul(x, w)  k = Add(h, b)  y = Mul(k, c) }"""
    )
    x = np.float32([[1, 2], [3, 5], [0, 1]])
    g = np.float32([[1], [10], [100]])
    out, found = gradient(model, "y", ["w", "x", "b", "c"]).run({"x": x}, g)
    inner = x @ np.float32([[3], [-1]]) + 0.5
    np.testing.assert_array_equal(out, 2 * inner)
    np.testing.assert_array_equal(found["w"], 2 * x.T @ g)
    np.testing.assert_array_equal(found["b"], [2 * g.sum()])
    np.testing.assert_array_equal(found["c"], [(g * inner).sum()])
    np.testing.assert_array_equal(found["x"], 2 * g * [[3, -1]])


def test_other_values_are_fed_without_another_graph():
    model = loaded("g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1, 1}> { h = MatMul(x, w)  y = Mul(h, h) }")
    found = gradient(model, "y", ["w"])
    x, w, one = np.float32([[1, 2]]), np.float32([[2], [-3]]), np.ones((1, 1), np.float32)
    out, gradients = found.run({"x": x, "w": w}, one)
    np.testing.assert_array_equal(out, [[16]])
    np.testing.assert_array_equal(gradients["w"], 2 * -4 * x.T)
    np.testing.assert_array_equal(found.run({"x": x}, one)[0], [[9]])
    assert gradient(model, "y", ["w"]).model is found.model


def test_several_cotangents_give_each_its_gradient():
    model = trained("mnist_cnn")
    x = np.random.default_rng(0).uniform(0, 1, (3, 1, 28, 28)).astype(np.float32)
    names, cotangents = ["0.weight", "9.bias"], np.random.default_rng(1).standard_normal((3, 2, 10)).astype(np.float32)
    _, together = gradient(model, "logits", names, several=True).run({"pixels": x}, cotangents)
    alone = gradient(model, "logits", names)
    for u in range(2):
        _, expected = alone.run({"pixels": x}, cotangents[:, u])
        for name in names:
            assert_close(together[name][u], expected[name], Tolerance.REWRITES, np.abs(expected[name]).max())


def test_a_file_for_single_samples_and_its_batches_add_up():
    text = """g (float[B, 3] x) => (float[B, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}, float[B, 3] bias = {BIAS}>
      { h = Add(x, bias)  k = MatMul(h, w)  y = Tanh(k) }"""
    x = np.random.default_rng(0).uniform(-0.2, 0.2, (5, 3)).astype(np.float32)
    g = np.random.default_rng(1).standard_normal((5, 2)).astype(np.float32)
    fixed = loaded(text.replace("float[B, 3] x", "float[1, 3] x").replace("B, 2", "1, 2").replace("B, 3] b", "1, 3] b")
                   .replace("BIAS", "0.1, 0.2, 0.3"))  # fmt: skip
    found = gradient(fixed, "y", ["w", "bias"]).run({"x": x}, g)[1]
    w, bias = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([[0.1, 0.2, 0.3]])
    inner = g * (1 - np.tanh((x + bias) @ w) ** 2)
    assert_close(found["w"], (x + bias).T @ inner, Tolerance.SIGNED_SUMS)
    assert_close(found["bias"], (inner @ w.T).sum(axis=0, keepdims=True), Tolerance.SIGNED_SUMS)


def test_a_batch_that_does_not_fit_is_divided(monkeypatch):
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}> { h = Mul(x, w)  y = Mul(h, h) }")
    found = gradient(model, "y", ["w"])
    x = np.random.default_rng(0).uniform(0, 1, (7, 2)).astype(np.float32)
    expected = found.run({"x": x}, np.ones_like(x))
    sizes, run_once = [], Model.run_once

    def small(self, feeds, fetch):
        if len(feeds["x"]) > 2:
            raise MemoryLimitError("too large")
        sizes.append(len(feeds["x"]))
        return run_once(self, feeds, fetch)

    monkeypatch.setattr(Model, "run_once", small)
    out, gradients = found.run({"x": x}, np.ones_like(x))
    assert sizes == [2, 2, 2, 1]
    assert_close(out, expected[0], Tolerance.OPERATIONS)
    assert_close(gradients["w"], expected[1]["w"], Tolerance.SUMS)


def test_what_is_no_float_weight_is_refused():
    model = loaded(
        """g (float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}, float[2] unused = {0, 0}, int64[1] axis = {1}>
        { s = ReduceSum(x, axis)  h = Mul(x, w)  y = Add(h, s) }"""
    )
    with pytest.raises(UnsupportedModelError, match=r"'axis' of .* is not a float tensor"):
        gradient(model, "y", ["axis"])
    with pytest.raises(UnsupportedModelError, match="does not depend on 'unused'"):
        gradient(model, "y", ["unused"])
    with pytest.raises(UnknownNameError, match="nothing"):
        gradient(model, "y", ["nothing"])
    zero = gradient(model, "y", ["w", "unused"], independent=True).run(
        {"x": np.ones((3, 2), np.float32)}, np.ones((3, 2), np.float32)
    )[1]
    np.testing.assert_array_equal(zero["unused"], [0, 0])
    np.testing.assert_array_equal(zero["w"], [3, 3])
    with pytest.raises(UnsupportedModelError, match="'w'"):
        jacobian_product(model, "y", ["w"])
