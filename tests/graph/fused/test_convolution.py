"""Convolutions with an activation and a sum compute the same in plain ops."""

import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.fused.unfused import compare, of_op, run, seeded, written
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.fused_op import NHWC

X, W, B = seeded(2, 4, 7, 6), seeded(6, 4, 3, 3), seeded(6)
ACTIVATIONS = [
    ("", []),
    ("Relu", []),
    ("Sigmoid", []),
    ("Tanh", []),
    ("LeakyRelu", [0.2]),
    ("Clip", [-0.5, 0.75]),
    ("Clip", [0.0, 6.0]),
    ("Clip", [float(np.finfo(np.float32).min), 1.0]),
    ("HardSigmoid", [0.3, 0.4]),
]


@pytest.mark.parametrize(("name", "parameters"), ACTIVATIONS)
@pytest.mark.parametrize("has_residual", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_conv_with_an_activation_and_a_residual(name, parameters, has_residual, has_bias):
    stated = {"activation": name} if name else {}
    stated |= {"activation_params": parameters} if parameters else {}
    inputs = ["x", "w", "b" if has_bias else "", *(["z"] if has_residual else [])]
    feeds = {"x": X} | ({"z": seeded(2, 6, 7, 6)} if has_residual else {})
    weights = {"w": W} | ({"b": B} if has_bias else {})
    compare("FusedConv", inputs, feeds, weights, pads=[1, 1, 1, 1], tolerance=Tolerance.SIGNED_LAYERS, **stated)


@pytest.mark.parametrize(
    "stated",
    [
        {"strides": [2, 1], "pads": [0, 1, 2, 1]},
        {"dilations": [2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"group": 2},
    ],
)
def test_conv_keeps_its_window(stated):
    weights = {"w": W[:, :2] if "group" in stated else W}
    compare("FusedConv", ["x", "w"], {"x": X}, weights, activation="Relu", tolerance=Tolerance.SIGNED_LAYERS, **stated)


def test_a_residual_that_the_graph_computes_is_added_ahead_of_the_activation():
    nodes = [
        node("Relu", ["x"], ["z"]),
        node("FusedConv", ["x", "w", "", "z"], ["y"], name="c", domain="com.microsoft", activation="Relu"),
    ]
    ends = [tensor("x", ["N", 4, 5, 5])], [tensor("y", None)]
    proto = model(nodes, *ends, {"w": seeded(4, 4, 1, 1)}, domains={"com.microsoft": 1})
    plain = written(proto)
    assert [each.op_type for each in plain.graph.node] == ["Relu", "Conv", "Add", "Relu"]
    x = seeded(2, 4, 5, 5)
    assert_close(run(plain, {"x": x}, optimise=False)[0], run(proto, {"x": x})[0], Tolerance.SIGNED_LAYERS)


def test_channels_as_the_last_axis():
    x, z = np.moveaxis(X, 1, -1), seeded(2, 7, 6, 6)
    wanted = np.moveaxis(
        run(of_op("FusedConv", ["x", "w", "b", "z"], {"x": X, "z": np.moveaxis(z, -1, 1)}, {"w": W, "b": B},
                  pads=[1] * 4, activation="Relu"), {"x": X, "z": np.moveaxis(z, -1, 1)})[0], 1, -1
    )  # fmt: skip
    given = {"x": np.ascontiguousarray(x), "z": z}
    proto = of_op("NhwcFusedConv", ["x", "w", "b", "z"], given, {"w": W, "b": B}, pads=[1] * 4, activation="Relu")
    assert_close(run(written(proto), given, optimise=False)[0], wanted, Tolerance.SIGNED_LAYERS)
    last = {"w": np.ascontiguousarray(np.moveaxis(W, 1, -1)), "b": B}
    proto = of_op("NhwcConv", ["x", "w", "b"], {"x": given["x"]}, last, pads=[1] * 4)
    plain = of_op("FusedConv", ["x", "w", "b"], {"x": X}, {"w": W, "b": B}, pads=[1] * 4)
    (ours,), (theirs,) = run(written(proto), {"x": given["x"]}, optimise=False), run(plain, {"x": X})
    assert_close(ours, np.moveaxis(theirs, 1, -1), Tolerance.SIGNED_LAYERS)


def test_max_pool_with_channels_as_the_last_axis():
    x = np.random.default_rng(0).integers(-128, 128, (1, 7, 7, 3), dtype=np.int8)
    compare(
        "NhwcMaxPool", ["x"], {"x": x}, outputs=[("y", TensorProto.INT8)],
        kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("op", "stated"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("GlobalAveragePool", {}),
        ("Conv", {"activation": "Relu"}),
    ],
)
def test_ops_of_the_layout_with_channels_last(op, stated):
    x = np.ascontiguousarray(np.moveaxis(X, 1, -1))
    weights = {"w": W} if op == "Conv" else {}
    proto = of_op(op, ["x", *weights], {"x": x}, weights, domain=NHWC, **stated)
    ordinary = of_op(
        "FusedConv" if op == "Conv" else op, ["x", *weights], {"x": X}, weights,
        domain="com.microsoft" if op == "Conv" else "", **stated,
    )  # fmt: skip
    (ours,), (theirs,) = run(written(proto), {"x": x}, optimise=False), run(ordinary, {"x": X})
    assert_close(ours, np.moveaxis(theirs, 1, -1), Tolerance.SIGNED_LAYERS)
