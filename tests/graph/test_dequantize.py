"""Quantised models as the floats that their integers stand for: weights, pairs, products of integers, rectifiers."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from models import planted
from tests.autodiff.differences import onnxruntime
from tests.tiny import loaded, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.dequantize import dequantise
from xaionnx.graph.quantised import is_quantised, rounds

RNG = np.random.default_rng(5)


def made(nodes, constants, shape=("N", 4), out=None):
    """A model of opset 21 with input x and output y; constants are arrays, or (type, shape, numbers)."""
    weights = [
        numpy_helper.from_array(np.asarray(value), name)
        if not isinstance(value, tuple)
        else helper.make_tensor(name, value[0], value[1], np.ravel(value[2]))
        for name, value in constants.items()
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def pair(name, scale="s", zero="z", last=None):
    """Quantise a tensor and dequantise it again, under the name ``last``."""
    return [
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [last or f"{name}_d"]),
    ]


def ops(model):
    """The ops of the model of floats, without those that only pass a tensor."""
    return [node.op_type for node in dequantise(model).graph.node if node.op_type != "Identity"]


def floats(model, x):
    """The output of the model of floats."""
    return onnxruntime(dequantise(model))({"x": x}, ["y"])[0]


KINDS = {
    "int8": (TensorProto.INT8, -128, 127),
    "uint8": (TensorProto.UINT8, 0, 255),
    "int16": (TensorProto.INT16, -1000, 1000),
    "int4": (TensorProto.INT4, -8, 7),
    "uint4": (TensorProto.UINT4, 0, 15),
}


@pytest.mark.parametrize(
    ("code", "scale"),
    [
        *itertools.product(
            [TensorProto.INT4, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2], ["per axis", "computed"]
        ),
        (TensorProto.INT8, "computed"),
    ],
)
def test_floats_pass_pairs_that_no_rule_could_differentiate(code, scale):
    nodes = [
        helper.make_node("Abs", ["x"], ["m"]),
        helper.make_node("ReduceMax", ["m"], ["s"], keepdims=0),
        helper.make_node("QuantizeLinear", ["x", "t" if scale == "per axis" else "s"], ["q"], output_dtype=code),
        helper.make_node("DequantizeLinear", ["q", "t" if scale == "per axis" else "s"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    w = RNG.normal(size=(4, 6)).astype(np.float32)
    model = made(nodes, {"w": w, "t": np.float32([0.2, 0.3, 0.1, 0.5])})
    x, dy = (RNG.normal(size=(1, size)).astype(np.float32) for size in (4, 6))
    assert_close(gradient(planted.load(model), "y", ["x"]).run({"x": x}, dy)[1]["x"], dy @ w.T, Tolerance.SIGNED_SUMS)


def test_integers_that_numpy_cannot_hold_are_refused_by_type():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=TensorProto.INT4),
        helper.make_node("DequantizeLinear", ["q", "t"], ["y"]),
    ]
    model = made(nodes, {"s": np.float32(0.2), "t": np.float32(0.3)})
    with pytest.raises(UnsupportedModelError, match=r"tensors of type Int4x2, which numpy cannot hold. Use a method"):
        gradient(planted.load(model), "y", ["x"])


@pytest.mark.parametrize("kind", ["int8", "uint4"])
def test_a_record_tells_that_onnxruntime_rounds_what_it_multiplies_by_weights_of_few_bits(kind):
    code, low, high = KINDS[kind]
    numbers = RNG.integers(low, high + 1, (32, 6))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    model = made(nodes, {"w": (code, [32, 6], numbers), "s": np.float32(0.1)}, ("N", 32))
    x = RNG.normal(size=(1, 32)).astype(np.float32)
    found = xaionnx.explain(planted.load(model), x, "saliency", 0)
    exact = float(x[0].astype(float) @ numbers[:, 0] * 0.1)
    assert_close(found.diagnostics["gradient_prediction"][0], exact, Tolerance.SIGNED_SUMS, scale=abs(high))
    assert "neither rounded" in found.provenance["arithmetic"]


@pytest.mark.parametrize("way", ["tensor", "axis 0", "axis -1", "blocks"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_their_numbers_times_their_scale(kind, way):
    code, low, high = KINDS[kind]
    numbers = RNG.integers(low, high + 1, (4, 6))
    shape, attributes = {
        "tensor": ([], {}), "axis 0": ([4], {"axis": 0}), "axis -1": ([6], {"axis": -1}),
        "blocks": ([2, 6], {"axis": 0, "block_size": 2}),
    }[way]  # fmt: skip
    scale = RNG.uniform(0.01, 0.1, shape).astype(np.float32)
    zero = RNG.integers(max(low, -3), 4, shape)
    column = {"axis 0": (slice(None), None), "blocks": ...}.get(way, ...)
    wide = [np.repeat(p, 2, axis=0) if way == "blocks" else p[column] for p in (scale.astype(float), zero)]
    weights = (numbers - wide[1]) * wide[0]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], **attributes),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    model = made(nodes, {"w": (code, [4, 6], numbers), "s": scale, "z": (code, shape, zero)})
    assert is_quantised(model)
    # onnxruntime rounds the other operand, too, where it has a kernel for such weights.
    assert rounds(model) == (way in ("tensor", "axis -1") and kind != "int16")
    assert ops(model) == ["MatMul"]
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert_close(floats(model, x), x @ weights, Tolerance.SIGNED_SUMS)
    dy = RNG.normal(size=(3, 6)).astype(np.float32)
    found = gradient(planted.load(model), "y", ["x"])
    assert found.approximations == ()
    assert_close(found.run({"x": x}, dy)[1]["x"], dy @ weights.T, Tolerance.SIGNED_SUMS)


def test_weights_of_narrow_floats_and_of_nodes_that_quantise_them():
    """A Constant of float8, and weights that the graph quantises at every run, as training for quantisation writes."""
    eight = onnx.helper.make_tensor("e", TensorProto.FLOAT8E4M3FN, [4, 2], [0.5, -1, 2, 0.25, 1.5, -3, 0, 4])
    kernel = RNG.normal(size=(4, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["e"], value=eight),
        helper.make_node("DequantizeLinear", ["e", "s"], ["f"]),
        helper.make_node("QuantizeLinear", ["k", "t", "z"], ["kq"], axis=1),
        helper.make_node("DequantizeLinear", ["kq", "t", "z"], ["h"], axis=1),
        helper.make_node("Add", ["f", "h"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    constants = {
        "s": np.float32(0.5), "k": kernel, "t": np.float32([0.01, 0.1]), "z": (TensorProto.INT8, [2], [0, 3]),
    }  # fmt: skip
    model = made(nodes, constants)
    assert ops(model) == ["Constant", "Add", "MatMul"] or ops(model) == ["Add", "MatMul"]
    zero = np.array([0, 3])
    steps = np.clip(np.rint(kernel / np.float32([0.01, 0.1])) + zero, -128, 127) - zero
    weights = 0.5 * np.array([[0.5, -1], [2, 0.25], [1.5, -3], [0, 4]]) + steps * [0.01, 0.1]
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert_close(floats(model, x), x @ weights, Tolerance.SIGNED_SUMS)


def logits(scale, softmax=False):
    """A quantised layer whose output has a range of [-128, 127] steps; optionally a quantised Softmax after it."""
    nodes = [
        *pair("x", "sx", "zx"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"]),
        helper.make_node("MatMul", ["x_d", "wd"], ["l"]),
        *pair("l", "sl", "zl", "d" if softmax else "y"),
    ]
    if softmax:
        nodes += [helper.make_node("Softmax", ["d"], ["p"], axis=1), *pair("p", "sp", "zp", "y")]
    constants = {
        "sx": np.float32(0.05), "zx": np.int8(0), "sw": np.float32(0.02), "zw": np.int8(0),
        "w": np.int8([[50, -10], [30, 20], [-20, 40], [10, 5]]), "sl": np.float32(scale), "zl": np.int8(3),
        "sp": np.float32(1 / 256), "zp": np.uint8(0),
    }  # fmt: skip
    return made(nodes, {name: value for name, value in constants.items() if softmax or name not in ("sp", "zp")})


W = 0.02 * np.array([[50, -10], [30, 20], [-20, 40], [10, 5]])


@pytest.mark.parametrize("scale", [0.02, 0.005])
def test_a_target_at_the_edge_of_its_range_is_explained(scale):
    """The layer's output is 3.3, and the greatest number of its range 2.48, or 0.62."""
    model = planted.load(logits(scale))
    x = np.float32([[2, 1, -1, 1.5]])
    found = xaionnx.explain(model, x, "saliency", 0, absolute=False)
    edge = scale * (127 - 3)
    assert_close(found.prediction, [edge], Tolerance.OPERATIONS)
    assert_close(found.values, W[:, 0][None], Tolerance.OPERATIONS)
    assert_close(found.diagnostics["gradient_prediction"], x @ W[:, 0], Tolerance.OPERATIONS)
    assert found.provenance["arithmetic"].startswith("floats in place of integers")
    assert found.provenance["approximations"] == [
        "DequantizeLinear: straight through (2 nodes)", "QuantizeLinear: straight through (2 nodes)",
    ]  # fmt: skip
    assert any(f"The gradient saw 3.3 where the model answers {edge:.4g}" in text for text in found.warnings)
    for method in ("lrp", "deep_lift", "integrated_gradients"):
        options = {"composite": "epsilon"} if method == "lrp" else {"baseline": 0.0}
        values = xaionnx.explain(model, x, method, 0, **options).values
        assert_close(values, x * W[:, 0], Tolerance.QUOTIENTS)


def test_through_a_quantised_softmax_too():
    model = planted.load(logits(0.005, softmax=True))
    x = np.float32([[2, 1, -1, 1.5]])
    found = xaionnx.explain(model, x, "saliency", 0, absolute=False)
    z = x @ W
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    slope = p[0, 0] * (W[:, 0] - W @ p[0])
    assert_close(found.values[0], slope, Tolerance.LAYERS)
    plain = loaded(
        "g (float[N, 4] x) => (float[N, 2] y) { l = MatMul(x, w)  y = Softmax<axis = 1>(l) }", w=np.float32(W)
    )
    for method, options in (("deep_lift", {"baseline": 0.0}), ("lrp", {"composite": "epsilon"})):
        ours, theirs = (xaionnx.explain(one, x, method, 0, **options).values for one in (model, plain))
        assert_close(ours, theirs, Tolerance.QUOTIENTS)


def test_what_is_near_is_not_warned_of():
    found = xaionnx.explain(planted.load(logits(0.1)), np.float32([[2, 1, -1, 1.5]]), "saliency", 0)
    assert abs(found.diagnostics["gradient_prediction"][0] - found.prediction[0]) < 0.05
    assert not any("The gradient saw" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("scale", "zero", "op"),
    [(0.1, -128, "Relu"), (6 / 255, -128, "Clip"), (0.1, -127, None), (0.1, 0, None)],
)
def test_a_rectifier_that_the_range_replaces_comes_back(scale, zero, op):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), *pair("a", last="b"),
             helper.make_node("MatMul", ["b", "v"], ["y"])]  # fmt: skip
    constants = {
        "w": RNG.normal(size=(4, 5)).astype(np.float32), "v": RNG.normal(size=(5, 2)).astype(np.float32),
        "s": np.float32(scale), "z": np.int8(zero),
    }  # fmt: skip
    model = made(nodes, constants)
    assert ops(model) == (["MatMul", "MatMul"] if op is None else ["MatMul", op, "MatMul"])
    x = (4 * RNG.normal(size=(3, 4))).astype(np.float32)
    inner = x @ constants["w"]
    wanted = {None: inner, "Relu": np.maximum(inner, 0), "Clip": np.clip(inner, 0, 6)}[op]
    assert_close(floats(model, x), wanted @ constants["v"], Tolerance.SIGNED_SUMS)
    # After an input or an activation a range from zero on is not a rectifier.
    nodes = [helper.make_node("Sigmoid", ["x"], ["a"]), *pair("a", last="y")]
    assert ops(made(nodes, {"s": np.float32(scale), "z": np.int8(zero)})) == ["Sigmoid"]


def test_what_cannot_be_negative_is_not_rectified():
    """1 + erf(x), as a Gelu is written out, and a sum of squares."""
    constants = {"s": np.float32(0.1), "z": np.uint8(0), "one": np.float32(1)}
    erf = helper.make_node("Erf", ["x"], ["e"])
    plus_one = helper.make_node("Add", ["e_d", "one"], ["a"])
    gate = helper.make_node("Mul", ["x", "b"], ["y"])
    nodes = [erf, *pair("e", "t", "u"), plus_one, *pair("a", last="b"), gate]
    assert ops(made(nodes, {**constants, "t": np.float32(0.01), "u": np.uint8(128)})) == ["Erf", "Add", "Mul"]
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["q"]),
        helper.make_node("Add", ["q", "one"], ["a"]),
        *pair("a", last="y"),
    ]
    assert ops(made(nodes, constants)) == ["Mul", "Add"]


def test_integers_that_are_moved_stand_for_floats_that_are_moved():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Reshape", ["q", "to"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("Pad", ["t", "pads", "fill"], ["p"]),
        helper.make_node("MaxPool", ["p"], ["m"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Split", ["m"], ["a", "b"], axis=3, num_outputs=2),
        helper.make_node("Concat", ["b", "a"], ["c"], axis=1),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]
    constants = {
        "s": np.float32(0.1), "z": np.uint8(100), "to": np.int64([-1, 1, 2, 2]),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 0, 2]), "fill": np.uint8(120),
    }  # fmt: skip
    model = made(nodes, constants)
    assert ops(model) == ["Reshape", "Transpose", "Pad", "MaxPool", "Split", "Concat"]
    x = RNG.integers(-60, 60, (3, 4)).astype(np.float32) / 10
    assert_close(floats(model, x), onnxruntime(model)({"x": x}, ["y"])[0], Tolerance.SIGNED_SUMS)
    # Without a number to fill in, the integer is 0, which stands for -10.
    nodes[3].input.pop()
    assert_close(floats(model, x), onnxruntime(model)({"x": x}, ["y"])[0], Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_products_of_integers_are_products_of_floats(op, columns):
    """As dynamic quantisation writes a layer: the scale of x times that of the weights, after a cast."""
    conv = op == "ConvInteger"
    kernel = RNG.integers(0, 256, (5, 2, 3) if conv else (4, 5)).astype(np.uint8)
    scale = RNG.uniform(0.01, 0.02, ((1, 5, 1) if conv else 5) if columns else ()).astype(np.float32)
    zero = np.uint8(120)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node(op, ["q", "w", "z", "wz"], ["i"], **({"pads": [1, 1]} if conv else {})),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["both"]),
        helper.make_node("Mul", ["f", "both"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    bias = RNG.normal(size=(1, 5, 1) if conv else 5).astype(np.float32)
    model = made(nodes, {"w": kernel, "wz": zero, "ws": scale, "b": bias}, ("N", 2, 6) if conv else ("N", 4))
    layer = "Conv" if conv else "MatMul"
    assert ops(model) == [layer, "Add"]
    weights = (kernel.astype(np.float32) - 120) * (scale.reshape(-1, 1, 1) if conv and columns else scale)
    plain = loaded(
        f"g (float[{'N, 2, 6' if conv else 'N, 4'}] x) => (float[N, {'5, 6' if conv else '5'}] y) {{ "
        + ("m = Conv <pads = [1, 1]> (x, w)" if conv else "m = MatMul(x, w)")
        + "  y = Add(m, b) }",
        w=weights.astype(np.float32), b=bias,
    )  # fmt: skip
    x = RNG.normal(size=(3, 2, 6) if conv else (3, 4)).astype(np.float32)
    assert_close(floats(model, x), plain.run({"x": x})["y"], Tolerance.SIGNED_SUMS)
    ours = planted.load(model)
    target = xaionnx.Target.neuron("y", (2, 3) if conv else (2,))
    for method, options in (("lrp", {}), ("lrp", {"composite": "epsilon_plus_flat"}), ("deep_lift", {"baseline": 0.1})):
        found, wanted = (xaionnx.explain(one, x, method, target, **options).values for one in (ours, plain))
        assert_close(found, wanted, Tolerance.QUOTIENTS)


@pytest.mark.parametrize("same", [True, False])
def test_a_bias_in_the_integers_of_a_product_is_a_bias_of_floats(same):
    """As older tools write it: the bias over the scale of the product, rounded, is added to the integers."""
    kernel, bias = RNG.integers(0, 256, (5, 2, 3)).astype(np.uint8), RNG.normal(size=5).astype(np.float32)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("Mul", ["s", "ws" if same else "other"], ["divisor"]),
        helper.make_node("Div", ["b", "divisor"], ["d"]),
        helper.make_node("Floor", ["d"], ["r"]),
        helper.make_node("Cast", ["r"], ["bi"], to=TensorProto.INT32),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["i"]),
        helper.make_node("Reshape", ["bi", "to"], ["bs"]),
        helper.make_node("Add", ["i", "bs"], ["a"]),
        helper.make_node("Cast", ["a"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["both"]),
        helper.make_node("Mul", ["f", "both"], ["y"]),
    ]
    weights = {"w": kernel, "wz": np.uint8(120), "ws": np.float32(0.02), "other": np.float32(0.03), "b": bias,
               "to": np.int64([1, 5, 1])}  # fmt: skip
    model = made(nodes, weights, ("N", 2, 6))
    if not same:
        assert "ConvInteger" in ops(model)
        return
    assert ops(model) == ["Conv", "Add"]
    x = RNG.normal(size=(3, 2, 6)).astype(np.float32)
    # The bias was rounded down by up to one integer, and x to 255 of them.
    apart = np.abs(floats(model, x) - onnxruntime(model)({"x": x}, ["y"])[0]).max()
    assert apart < 0.02 * 6 * 255 / 2 * np.ptp(x) / 255


def test_products_of_two_activations():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        *pair("x", "t", "u"),
        helper.make_node("Transpose", ["x_q"], ["r"], perm=[0, 2, 1]),
        helper.make_node("MatMulInteger", ["q", "r", "z", "u"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["t", "s"], ["both"]),
        helper.make_node("Mul", ["both", "f"], ["y"]),
    ]
    model = made(nodes, {"t": np.float32(0.02), "u": np.uint8(128)}, ("N", 2, 3))
    assert ops(model) == ["Transpose", "MatMul"]
    x = RNG.uniform(-2, 2, (2, 2, 3)).astype(np.float32)
    assert_close(floats(model, x), x @ x.transpose(0, 2, 1), Tolerance.SIGNED_SUMS)


def test_named_tensors_stay_and_pass_the_gradient():
    model = planted.load(logits(0.005))
    x = np.float32([[2, 1, -1, 1.5]])
    for name, wanted in (("l", [[1, 0]]), ("x_d", W[:, :1].T)):
        found = gradient(model, "y", [name])
        assert_close(found.run({"x": x}, np.float32([[1, 0]]))[1][name], wanted, Tolerance.OPERATIONS)
    form = canonicalize(model.graph, ["x_d", "x_q"], None)
    assert {"x_d", "x_q", "y"} <= {value.name for value in form.graph.output}
    onnxruntime(form)


def test_a_range_from_zero_rectifies_behind_a_rearrangement():
    """onnxruntime lays channels last, and a convolution with channels first is followed by a Transpose."""
    kernel = RNG.normal(size=(3, 2, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        *pair("t", "s", "z"),
        helper.make_node("Flatten", ["t_d"], ["y"]),
    ]
    model = made(nodes, {"w": kernel, "s": np.float32(0.02), "z": np.uint8(0)}, ("N", 2, 6))
    assert "Relu" in ops(model)
    x = RNG.normal(size=(3, 2, 6)).astype(np.float32)
    plain = loaded(
        "g (float[N, 2, 6] x) => (float[N, 18] y) { c = Conv <pads = [1, 1]> (x, w)"
        "  t = Transpose <perm = [0, 2, 1]> (c)  r = Relu(t)  y = Flatten(r) }",
        w=kernel,
    )  # fmt: skip
    assert_close(floats(model, x), plain.run({"x": x})["y"], Tolerance.SIGNED_SUMS)


def test_maps_read_activations_that_are_not_rounded():
    """Gradients are those of floats; the steps of 8 bits in the activations would move a map by percents."""
    kernel, weights = RNG.normal(size=(3, 1, 3, 3)).astype(np.float32), RNG.normal(size=(3, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        *pair("c", "s", "z"),
        helper.make_node("Sigmoid", ["c_d"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    model = made(nodes, {"w": kernel, "v": weights, "s": np.float32(0.2), "z": np.int8(0)}, ("N", 1, 8, 8))
    ours = planted.load(model)
    plain = loaded(
        "g (float[N, 1, 8, 8] x) => (float[N, 2] y) { c = Conv(x, w)  c_d = Identity(c)  g = Sigmoid(c_d)"
        "  p = GlobalAveragePool(g)  f = Flatten(p)  y = MatMul(f, v) }",
        w=kernel, v=weights,
    )  # fmt: skip
    x = RNG.normal(size=(2, 1, 8, 8)).astype(np.float32)
    for layer in ("c_d", "g"):
        found, wanted = (xaionnx.explain(one, x, "grad_cam", 1, layer=layer).values for one in (ours, plain))
        assert_close(found, wanted, Tolerance.SIGNED_LAYERS, np.abs(wanted).max())
    # Slopes that the user asks of the file itself are taken where the file is.
    own = xaionnx.explain(ours, x, "grad_cam", 1, layer="c_d", gradient="finite_differences")
    assert own.values.shape == x.shape
    assert np.abs(own.values - wanted).max() > 0


def test_what_has_no_floats_stays():
    """A scale for each channel of an activation."""
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])]  # fmt: skip
    model = made(nodes, {"s": np.float32([0.1] * 4), "z": np.int8([0] * 4)})
    assert [node.op_type for node in dequantise(model).graph.node] == [node.op_type for node in nodes]


def test_a_plain_model_is_returned():
    model = parsed("g (float[N, 3] x) => (float[N, 3] y) { y = Exp(x) }")
    assert dequantise(model) is model
