"""Straight-through gradients equal those of the model without quantisation, and are 0 where a number was clipped."""

import logging

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

import xaionnx
from models import planted
from tests.autodiff.differences import in_numpy, onnxruntime, single
from tests.oracles.convolution import Conv
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient
from xaionnx.autodiff.backward import APPROXIMATIONS, COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.rules.quantization import STRAIGHT_THROUGH, carries_floats
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.probe import probe


def slopes(nodes, constants, x):
    weights = [helper.make_tensor(n, kind, shape, np.ravel(numbers)) for n, (kind, shape, numbers) in constants.items()]
    declared = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *x.shape[1:]])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [declared], [answer], weights)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    form = model  # as rules see what cannot be written as floats
    # The scale of a block includes the batch axis, and so fixes its size.
    feeds = [{"x": x}] if len(x) == 1 else [{"x": x[:1]}, {"x": np.repeat(x[:1], 2, axis=0)}]
    facts = probe(form, feeds, lambda shown, values, names: onnxruntime(shown)(values, names))
    run = onnxruntime(differentiate(form, facts, "y", ["x"], STANDARD))
    y = onnxruntime(model)({"x": x}, ["y"])[0]
    dy = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    _, dx = run({"x": x, COTANGENT: dy}, ["y", gradient_name("x")])
    return dx, dy


def pair(*between, **attributes):
    """Quantise, optionally move the numbers, then dequantise."""
    last = between[-1].output[0] if between else "q"
    return [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        *between,
        helper.make_node("DequantizeLinear", [last, "s", "z"], ["y"], **attributes),
    ]


@pytest.mark.parametrize(
    ("kind", "zero", "low", "high"),
    [(TensorProto.INT8, 0, -128, 127), (TensorProto.UINT8, 100, 0, 255), (TensorProto.INT16, 0, -32768, 32767)],
)
def test_one_scale(kind, zero, low, high):
    scale = 0.1
    x = np.random.default_rng(1).uniform(-1, 1, (5, 40)).astype(np.float32) * scale * (high - low)
    dx, dy = slopes(pair(), {"s": (TensorProto.FLOAT, [], [scale]), "z": (kind, [], [zero])}, x)
    inside = (x / scale + zero > low - 0.5) & (x / scale + zero < high + 0.5)
    assert 0.2 < inside.mean() < 0.8
    assert_close(dx, np.where(inside, dy, 0), Tolerance.SUMS)


def test_a_scale_for_each_channel():
    x = np.random.default_rng(1).uniform(-20, 20, (4, 3, 5)).astype(np.float32)
    scale = np.float32([0.05, 0.1, 0.2])
    constants = {"s": (TensorProto.FLOAT, [3], scale), "z": (TensorProto.INT8, [3], [0, 10, -20])}
    dx, dy = slopes(pair(axis=1), constants, x)
    steps = x / scale[:, None] + np.float32([0, 10, -20])[:, None]
    assert_close(dx, np.where((steps > -128.5) & (steps < 127.5), dy, 0), Tolerance.SUMS)
    same, again = slopes(pair(axis=-2), constants, x)
    np.testing.assert_array_equal(same, dx)
    np.testing.assert_array_equal(again, dy)


def test_a_scale_for_each_block():
    x = np.random.default_rng(1).uniform(-20, 20, (1, 4, 6)).astype(np.float32)
    scale = np.random.default_rng(2).uniform(0.05, 0.2, (1, 4, 3)).astype(np.float32)
    constants = {"s": (TensorProto.FLOAT, [1, 4, 3], scale), "z": (TensorProto.INT8, [1, 4, 3], np.zeros(12))}
    nodes = pair(axis=2, block_size=2)
    form_scale = np.repeat(scale, 2, axis=2)
    dx, dy = slopes(nodes, constants, x)
    assert_close(dx, np.where(np.abs(x / form_scale + 0.5) < 128, dy, 0), Tolerance.SUMS)


def test_quantised_numbers_may_be_moved():
    x = np.random.default_rng(1).uniform(-15, 15, (3, 2, 4)).astype(np.float32)
    turn = helper.make_node("Transpose", ["q"], ["t"], perm=[0, 2, 1])
    dx, dy = slopes(pair(turn), {"s": (TensorProto.FLOAT, [], [0.1]), "z": (TensorProto.INT8, [], [0])}, x)
    inside = np.abs(x / 0.1 + 0.5) < 128
    assert_close(dx, np.where(inside, dy.transpose(0, 2, 1), 0), Tolerance.SUMS)


def test_a_dynamic_scale_counts_as_constant():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    x = np.random.default_rng(1).uniform(-15, 15, (3, 8)).astype(np.float32)
    dx, dy = slopes(nodes, {}, x)
    assert_close(dx, dy, Tolerance.SUMS)


def test_a_network_between_quantised_weights_and_numbers():
    """Its gradient is that of the layer with dequantised weights."""
    rng = np.random.default_rng(3)
    kernel = rng.integers(-127, 128, (6, 4))
    nodes = [
        *pair(),
        helper.make_node("DequantizeLinear", ["w", "s"], ["wide"]),
        helper.make_node("MatMul", ["y", "wide"], ["product"]),
    ]
    nodes[1].output[0] = "back"
    nodes[-1].input[0] = "back"
    nodes[-1].output[0] = "y"
    constants = {
        "s": (TensorProto.FLOAT, [], [0.1]),
        "z": (TensorProto.INT8, [], [0]),
        "w": (TensorProto.INT8, [6, 4], kernel),
    }
    dx, dy = slopes(nodes, constants, rng.uniform(-5, 5, (3, 6)).astype(np.float32))
    assert_close(dx, dy @ (np.float32(0.1) * kernel.astype(np.float32)).T, Tolerance.DEEP)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_scale_that_is_computed_gets_its_slope(per_channel):
    """Quantised weights whose scale depends on the explained tensor: the exact derivative."""
    rng = np.random.default_rng(3)
    kernel = rng.integers(-100, 100, (2, 3, 4))
    shape = [3] if per_channel else []
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "to"], ["s"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wide"], axis=1),
        helper.make_node("Mul", ["wide", "ones"], ["y"]),
    ]
    constants = {
        "axes": (TensorProto.INT64, [1 if per_channel else 2], [0] if per_channel else [0, 1]),
        "to": (TensorProto.INT64, [len(shape)], shape),
        "w": (TensorProto.INT8, [2, 3, 4], kernel),
        "z": (TensorProto.INT8, shape, np.full(shape, 7)),
        "ones": (TensorProto.FLOAT, [1], [1.0]),
    }
    dx, dy = slopes(nodes, constants, rng.uniform(0.1, 1, (1, 3)).astype(np.float32))
    share = (dy * (kernel - 7)).sum(axis=(0, 2))
    expected = share if per_channel else np.full(3, share.sum() / 3)
    assert_close(dx[0], expected, Tolerance.LAYERS)


def test_a_shape_of_quantised_numbers_carries_nothing():
    import onnx_ir as ir

    x = ir.Value(name="x")
    for op in ("Shape", "Size", "Cast", "ArgMax"):
        assert not carries_floats(ir.Node("", op, [x]), 0, lambda value: value is x)
    pool = ir.Node("", "MaxPool", [x], num_outputs=2)
    assert carries_floats(pool, 0, lambda value: value is x)
    assert not carries_floats(pool, 1, lambda value: value is x)


@pytest.mark.parametrize("columns", [False, True])
def test_products_of_integers_have_the_slope_of_the_floats_that_they_stand_for(columns):
    """A layer as dynamic quantisation writes it; the computed scale counts as constant."""
    rng = np.random.default_rng(3)
    kernel, zero = rng.integers(-100, 100, (6, 4)), rng.integers(-5, 5, 4 if columns else ())
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["both"]),
        helper.make_node("Mul", ["wide", "both"], ["y"]),
    ]
    constants = {
        "w": (TensorProto.INT8, [6, 4], kernel),
        "wz": (TensorProto.INT8, list(zero.shape), zero),
        "ws": (TensorProto.FLOAT, [], [0.02]),
    }
    dx, dy = slopes(nodes, constants, rng.uniform(-1, 1, (3, 6)).astype(np.float32))
    assert_close(dx, dy @ (0.02 * (kernel - zero)).T, Tolerance.SIGNED_LAYERS)


def test_a_product_of_two_quantised_activations():
    """Both operands depend on x: y = x x' in integers, so the gradient with respect to x comes twice."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "t", "s", "z", "ys", "yz"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "ys", "yz"], ["y"]),
    ]
    constants = {
        "s": (TensorProto.FLOAT, [], [0.01]),
        "z": (TensorProto.UINT8, [], [100]),
        "ys": (TensorProto.FLOAT, [], [0.02]),
        "yz": (TensorProto.UINT8, [], [120]),
    }
    x = np.random.default_rng(3).uniform(-0.6, 0.6, (2, 3, 4)).astype(np.float32)
    dx, dy = slopes(nodes, constants, x)
    steps = np.round(x / 0.01) * 0.01
    assert_close(dx, (dy + dy.transpose(0, 2, 1)) @ steps, Tolerance.QUOTIENTS)
    # Small weights would leave no number inside the range, and no gradient.
    constants["ys"] = (TensorProto.FLOAT, [], [1e-6])
    constants["yz"] = (TensorProto.UINT8, [], [0])
    assert not slopes(nodes, constants, np.abs(x) + 0.1)[0].any()


@pytest.mark.parametrize("op", ["ConvInteger", "QLinearConv"])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_integers(op, group, stride):
    rng = np.random.default_rng(3)
    kernel = rng.integers(0, 200, (4, 4 // group, 3))
    window = {"pads": [1, 0], "strides": [stride], "group": group}
    scales = rng.uniform(0.01, 0.03, 4).astype(np.float32)
    quantized = op == "QLinearConv"
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])]
    if quantized:
        names = ["q", "s", "z", "w", "ws", "wz", "ys", "yz"]
        nodes.append(helper.make_node("QLinearConv", names, ["p"], **window))
        nodes.append(helper.make_node("DequantizeLinear", ["p", "ys", "yz"], ["y"]))
    else:
        nodes.append(helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["p"], **window))
        nodes.append(helper.make_node("Cast", ["p"], ["wide"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["wide", "s"], ["y"]))
    zeros = np.full(4, 90) if quantized else np.array(90)
    constants = {
        "s": (TensorProto.FLOAT, [], [0.01]),
        "z": (TensorProto.UINT8, [], [100]),
        "w": (TensorProto.UINT8, list(kernel.shape), kernel),
        "wz": (TensorProto.UINT8, list(zeros.shape), zeros),
        "ws": (TensorProto.FLOAT, [4], scales),
        "ys": (TensorProto.FLOAT, [], [0.5]),
        "yz": (TensorProto.UINT8, [], [128]),
    }
    x = rng.uniform(-0.9, 0.9, (3, 4, 7)).astype(np.float32)
    dx, dy = slopes(nodes, constants, x)
    weights = (kernel - 90) * (scales[:, None, None] if quantized else 1.0)
    # A convolution is linear, so unit steps of the input give its gradient.
    expected = np.zeros_like(x)
    run = in_numpy(Conv)(single("Conv", ["x", "w"], {"x": x.astype(float), "w": weights}, **window))
    for place in np.ndindex(x.shape[1:]):
        unit = np.zeros((1, *x.shape[1:]))
        unit[(0, *place)] = 1
        expected[(slice(None), *place)] = (dy * run({"x": unit, "w": weights}, ["y"])[0]).sum(axis=(1, 2))
    assert_close(dx, expected, Tolerance.QUOTIENTS)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_quantised_numbers_may_be_resized_taken_and_pooled(mode):
    """Their cotangents are floats, and so are the zeros between them."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Split", ["q"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Gather", ["a", "i"], ["g"], axis=2),
        helper.make_node("MaxPool", ["g"], ["m"], kernel_shape=[2], strides=[2]),
        helper.make_node("DequantizeLinear", ["m", "s", "z"], ["y"]),
    ]
    if mode == "linear":
        nodes[4].output[0] = "f"
        nodes.append(helper.make_node("Resize", ["f", "", "r"], ["y"], mode="linear"))
    constants = {
        "s": (TensorProto.FLOAT, [], [0.1]),
        "z": (TensorProto.INT8, [], [0]),
        "i": (TensorProto.INT64, [4], [3, 0, 3, 2]),
        "r": (TensorProto.FLOAT, [3], [1, 1, 2]),
    }
    x = np.float32([[[1, 9, 2, 3], [0, 0, 0, 0]]])
    dx, dy = slopes(nodes, constants, x)
    pooled = dy @ np.float32([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]) if mode == "linear" else dy
    assert_close(dx[0], [[0, 0, 0, pooled[0, 0].sum()], [0, 0, 0, 0]], Tolerance.SUMS)


def test_a_result_says_that_it_passed_an_estimate(tmp_path):
    model = loaded("""g (float[N, 2] x) => (float[N, 2] y)
        <float s = {0.1}, uint8 z = {128}> {
          q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  y = Exp(d)  exact = Mul(x, x) }""")
    built = gradient(model, "y", ["x"])
    assert built.approximations == (
        "DequantizeLinear: straight through (1 node)",
        "QuantizeLinear: straight through (1 node)",
    )
    assert gradient(model, "exact", ["x"]).approximations == ()
    assert gradient(model, "y", ["d"]).approximations == ()
    # The label is kept by the compiled file and by the explanation.
    xaionnx.compile(model, "saliency", 0).save(tmp_path / "compiled.onnx")
    compiled = onnx.load(tmp_path / "compiled.onnx")
    told = {entry.key: entry.value for entry in compiled.metadata_props}
    assert told[APPROXIMATIONS].splitlines() == list(built.approximations)
    x = np.float32([[0.5, 1]])
    found = xaionnx.explain(model, x, "saliency", 0)
    assert found.provenance["approximations"] == list(built.approximations)
    plain = xaionnx.explain(planted.load(planted.net_f()), x, "saliency", 0)
    assert plain.provenance["approximations"] == []


class Calibration(CalibrationDataReader):
    def __init__(self, rows):
        self.rows = iter(rows)

    def get_next(self):
        return next(self.rows, None)


@pytest.mark.parametrize("way", ["dynamic", "static"])
@pytest.mark.parametrize("name", ["german_credit_mlp", "digits_cnn"])
def test_quantised_models_have_nearly_the_gradient_of_the_models_they_were_made_of(name, way, tmp_path):
    source, path = f"models/{name}.onnx", tmp_path / "quantized.onnx"
    plain = Model.load(source, device="cpu")
    x, out = plain.input().name, plain.output().name
    samples = np.random.default_rng(0).uniform(0, 1, (8, *plain.input().shape[1:])).astype(np.float32)
    logging.disable(logging.WARNING)  # it logs advice to preprocess the model
    try:
        if way == "dynamic":
            quantize_dynamic(source, path)
        else:
            quantize_static(source, path, Calibration({x: row[None]} for row in samples))
    finally:
        logging.disable(logging.NOTSET)
    dy = np.zeros_like(plain.run({x: samples})[out])
    dy[:, 0] = 1
    built = gradient(Model.load(path, device="cpu"), out, [x])
    ours, theirs = (g.run({x: samples}, dy)[1][x] for g in (built, gradient(plain, out, [x])))
    # With eight bits, the remaining error is from weights and units that round to the other side of 0.
    assert (ours * theirs).sum() > 0.97 * np.linalg.norm(ours) * np.linalg.norm(theirs)
    assert 0.8 < np.linalg.norm(ours) / np.linalg.norm(theirs) < 1.25
    assert len(built.approximations) >= 2


def test_quantised_ops_of_other_domains_are_named():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearSigmoid", ["q", "s", "z", "s", "z"], ["p"], name="squash", domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    x = np.float32([[0.1, 0.2]])
    with pytest.raises(UnsupportedModelError, match=r"'com.microsoft.QLinearSigmoid' \(node 'squash'\).*before onnxr"):
        slopes(nodes, {"s": (TensorProto.FLOAT, [], [0.1]), "z": (TensorProto.UINT8, [], [0])}, x)


@pytest.mark.parametrize("op", sorted(STRAIGHT_THROUGH))
def test_estimates_have_rules(op):
    assert op in STANDARD


def test_a_dynamic_scale_alone_is_refused():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("Mul", ["s", "ones"], ["y"]),
    ]
    x = np.random.default_rng(1).uniform(-1, 1, (3, 4)).astype(np.float32)
    with pytest.raises(UnsupportedModelError, match="its scale is used without its numbers"):
        slopes(nodes, {"ones": (TensorProto.FLOAT, [3], np.ones(3))}, x)
