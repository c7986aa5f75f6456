"""Guided backpropagation and deconvnets against their papers' equations, for every activation with a kink."""

import numpy as np
import pytest

import xaionnx
from tests.oracles import lrp as oracle
from tests.tiny import node, opened
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.guided import DECONVNET, GUIDED, REDIRECTED

X = np.random.default_rng(0).normal(scale=3, size=(3, 40)).astype(np.float32)
SIGNAL = np.random.default_rng(1).normal(size=(3, 40)).astype(np.float32)


def model(nodes, weights=None, shape=(40,), out=(40,), opset=20):
    return opened(nodes, shape, out, weights, opset)


def one(op, *operands, **attributes):
    return [node(op, ["x", *operands], ["y"], **attributes)]


def inside(low, high):
    return lambda x: ((x > low) & (x < high)).astype(float)


LIMITS = {"zero": np.float32(0), "six": np.float32(6), "slope": np.float32([0.3])}
# The nodes and the derivative of each activation.
RECTIFIERS = {
    "Relu": (one("Relu"), lambda x: (x > 0).astype(float)),
    "LeakyRelu": (one("LeakyRelu", alpha=0.2), lambda x: np.where(x < 0, 0.2, 1)),
    "PRelu": (one("PRelu", "slope"), lambda x: np.where(x < 0, 0.3, 1)),
    "ThresholdedRelu": (one("ThresholdedRelu", alpha=1.5), lambda x: (x > 1.5).astype(float)),
    "Elu": (one("Elu", alpha=0.5), lambda x: np.where(x < 0, 0.5 * np.exp(x), 1)),
    "Celu": (one("Celu", alpha=2.0), lambda x: np.where(x < 0, np.exp(x / 2), 1)),
    "Selu": (one("Selu", alpha=1.5, gamma=2.0), lambda x: np.where(x < 0, 3 * np.exp(x), 2)),
    "Clip": (one("Clip", "zero", "six"), inside(0, 6)),
    "HardSwish": (one("HardSwish"), lambda x: np.where(x > 3, 1, np.where(x > -3, x / 3 + 0.5, 0))),
    "Max": (one("Max", "zero"), lambda x: (x > 0).astype(float)),
    "Min": (one("Min", "six"), lambda x: (x < 6).astype(float)),
}
SMOOTH = {
    "Sigmoid": (one("Sigmoid"), lambda x: 1 / (1 + np.exp(-x)) / (1 + np.exp(x))),
    "Tanh": (one("Tanh"), lambda x: 1 - np.tanh(x) ** 2),
    "HardSigmoid": (one("HardSigmoid", alpha=0.2, beta=0.5), lambda x: 0.2 * inside(-2.5, 2.5)(x)),
    "swish": (
        [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])],
        lambda x: (1 + np.exp(-x) + x * np.exp(-x)) / (1 + np.exp(-x)) ** 2,
    ),
}


def back(nodes, table):
    found = gradient(model(nodes, LIMITS), "y", ["x"], table)
    return found.run({"x": X}, SIGNAL)[1]["x"]


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_rectifier_rectifies_the_signal(name):
    nodes, slope = RECTIFIERS[name]
    positive = np.maximum(SIGNAL, 0)
    assert_close(back(nodes, GUIDED), slope(X) * positive, Tolerance.SIGNED_SUMS)
    assert_close(back(nodes, DECONVNET), positive, Tolerance.OPERATIONS)


@pytest.mark.parametrize("table", [GUIDED, DECONVNET], ids=["guided", "deconvnet"])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_activation_and_a_gate_keep_their_derivative(name, table):
    nodes, slope = SMOOTH[name]
    assert_close(back(nodes, table), slope(X) * SIGNAL, Tolerance.SIGNED_LAYERS)


def test_the_larger_of_two_signals_is_no_rectifier():
    nodes = [node("Neg", ["x"], ["n"]), node("Max", ["x", "n"], ["y"])]
    for table in (GUIDED, DECONVNET):
        assert_close(back(nodes, table), np.sign(X) * SIGNAL, Tolerance.OPERATIONS)


def test_a_slope_that_the_model_computes_is_no_signal_to_reconstruct():
    """PRelu(x, sigmoid(x)): guided backpropagation differentiates both, a deconvnet goes back through x alone."""
    nodes = [node("Sigmoid", ["x"], ["s"]), node("PRelu", ["x", "s"], ["y"])]
    positive, s = np.maximum(SIGNAL, 0), 1 / (1 + np.exp(-X))
    assert_close(back(nodes, DECONVNET), positive, Tolerance.OPERATIONS)
    slope = np.where(X < 0, s + X * s * (1 - s), 1)
    assert_close(back(nodes, GUIDED), slope * positive, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("table", [GUIDED, DECONVNET], ids=["guided", "deconvnet"])
def test_a_quantiser_that_ends_at_zero_rectifies_as_the_relu_that_it_replaced(table, kind):
    rng = np.random.default_rng(6)
    w, v = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(size=(6, 40)).astype(np.float32)
    scale, ends = np.float32(0.02), np.iinfo(kind)
    weights = {"w": w, "v": v, "scale": scale, "least": kind(ends.min), "middle": kind((ends.min + ends.max + 1) // 2)}
    rectified = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "v"], ["y"])]

    def quantised(zero):
        return [
            node("MatMul", ["x", "w"], ["h"]),
            node("QuantizeLinear", ["h", "scale", zero], ["q"]),
            node("DequantizeLinear", ["q", "scale", zero], ["r"]),
            node("MatMul", ["r", "v"], ["y"]),
        ]

    x = (X / 40).astype(np.float32)
    assert (np.abs(x @ w) < scale).sum() == 0  # nothing is rounded to zero
    assert np.abs(x @ w).max() < 255 * scale
    found = []
    for nodes in (rectified, quantised("least"), quantised("middle")):
        net = model(nodes, weights)
        found.append(gradient(net, "y", ["x"], table).run({"x": x}, SIGNAL)[1]["x"])
    assert_close(found[1], found[0], Tolerance.SIGNED_LAYERS)
    # A quantiser with its zero point in the middle of the range clips no sign.
    inside = (x @ w > -128.5 * scale) & (x @ w < 127.5 * scale)
    assert_close(found[2], (SIGNAL @ v.T * inside) @ w.T, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_random_nets_layer_by_layer(method):
    """Convolution, leaky rectifier, max pooling, convolution, rectifier, layer; from a class and from a feature map."""
    rng = np.random.default_rng(4)
    kernels = [rng.normal(size=s).astype(np.float32) for s in ((4, 2, 3, 3), (3, 4, 2, 2))]
    biases = [rng.normal(size=s).astype(np.float32) for s in (4, 3)]
    (first, b1, _), shape = oracle.unrolled(kernels[0], biases[0], (2, 8, 8), pad=1, stride=2)
    windows, pooled = oracle.windows(shape, 2)
    (second, b2, _), _ = oracle.unrolled(kernels[1], biases[1], pooled)
    w = rng.normal(size=(3, 2)).astype(np.float32)
    nodes = [
        node("Conv", ["x", "k0", "b0"], ["h1"], pads=[1] * 4, strides=[2, 2]),
        node("LeakyRelu", ["h1"], ["r1"], alpha=0.1),
        node("MaxPool", ["r1"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p", "k1", "b1"], ["h2"]),
        node("Relu", ["h2"], ["r2"]),
        node("Flatten", ["r2"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    weights = {"k0": kernels[0], "k1": kernels[1], "b0": biases[0], "b1": biases[1], "w": w}
    net = model(nodes, weights, (2, 8, 8), (2,))
    x = rng.normal(size=(4, 2, 8, 8)).astype(np.float32)

    def from_second(row, signal):
        """Backpropagation from the output of the second rectifier."""
        h1 = row.ravel() @ first + b1
        r1 = np.where(h1 < 0, 0.1 * h1, h1)
        winners = [max(window, key=lambda i: r1[i]) for window in windows]
        h2 = r1[winners] @ second + b2
        positive = np.maximum(signal, 0)
        signal = second @ (positive * (h2 > 0) if method == "guided_backprop" else positive)
        spread = np.zeros(len(r1))
        for winner, value in zip(winners, signal, strict=True):
            spread[winner] += value
        positive = np.maximum(spread, 0)
        return first @ (positive * np.where(h1 < 0, 0.1, 1) if method == "guided_backprop" else positive), h2

    by_class = xaionnx.explain(net, x, method, 1).values
    by_channel = xaionnx.explain(net, x, method, Target.channel("r2", 2)).values
    by_neuron = xaionnx.explain(net, x, method, Target.neuron("r2", (2, 0, 0))).values
    by_peak = xaionnx.explain(net, x, method, Target.channel("r2", peak=True)).values
    for n, row in enumerate(x):
        assert_close(by_class[n].ravel(), from_second(row, w[:, 1])[0], Tolerance.QUOTIENTS)
        expected, h2 = from_second(row, np.eye(3)[2])
        # A map of one position: its mean, its peak and its only neuron are the same.
        for found in (by_channel, by_neuron):
            assert_close(found[n].ravel(), expected, Tolerance.QUOTIENTS)
        strongest = from_second(row, np.eye(3)[np.maximum(h2, 0).argmax()])[0]
        assert_close(by_peak[n].ravel(), strongest, Tolerance.QUOTIENTS)


def test_a_quantiser_of_a_scale_for_each_channel_keeps_its_derivative():
    """Its limits differ between channels, so it is not an activation."""
    rng = np.random.default_rng(7)
    w, scale = rng.normal(size=(40, 40)).astype(np.float32), rng.uniform(0.1, 0.2, 40).astype(np.float32)
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("QuantizeLinear", ["h", "scale", "zero"], ["q"], axis=1),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1),
    ]
    net, x = model(nodes, {"w": w, "scale": scale, "zero": np.zeros(40, np.uint8)}), (X / 40).astype(np.float32)
    passed = (x @ w > -0.5 * scale) & (x @ w < 255.5 * scale)
    for table in (GUIDED, DECONVNET):
        found = gradient(net, "y", ["x"], table).run({"x": x}, SIGNAL)[1]["x"]
        assert_close(found, (SIGNAL * passed) @ w.T, Tolerance.DEEP)


@pytest.mark.parametrize(("op", "x", "signal", "expected"), [
    ("Relu", [-1.0, -2.0, 0.0], [1.0, -1.0, 0.0], [1.0, 0.0, 0.0]),
    ("Relu", [-1.0, -2.0, 1.0], [1.0, -1.0, 2.0], [0.0, 0.0, 2.0]),
    ("Clip", [-1.0, 7.0, 8.0], [1.0, 1.0, -1.0], [1.0, 0.0, -1.0]),
    ("Max", [-1.0, -2.0, -3.0], [-1.0, 3.0, 0.0], [0.0, 3.0, 0.0]),
    ("Min", [7.0, 8.0, 9.0], [-1.0, 3.0, 0.0], [-1.0, 0.0, 0.0]),
    ("LeakyRelu", [-1.0, -2.0, -3.0], [1.0, -1.0, 0.0], [0.2, -0.2, 0.0]),
])  # fmt: skip
def test_a_signal_that_nothing_lets_through_passes_where_it_opens(op, x, signal, expected):
    """Beside a sample that lets all of it through, which changes nothing."""
    nodes, _ = RECTIFIERS[op]
    found = gradient(model(nodes, LIMITS, (3,), (3,)), "y", ["x"], REDIRECTED)
    inner = [5.0, 5.0, 5.0]
    _, back = found.run({"x": np.float32([x, inner])}, np.float32([signal, [1, 2, 3]]))
    np.testing.assert_allclose(back["x"], [expected, [1, 2, 3]], rtol=1e-6)
