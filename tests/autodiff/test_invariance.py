"""Implementation invariance: networks that compute the same function have the same gradients and attributions.

Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017, arXiv:1703.01365, section 2.2.
"""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import xaionnx
from models import planted
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients

CHANNELS, SIZE = 4, 5
ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Softplus", "Elu", "Mish", "Abs", "HardSwish", "Erf"]
BLOCKS = ["conv", "pointwise", "grouped", "activation", "residual", "gate", "pool", "normalise", "softmax"]


@st.composite
def networks(draw):
    """Random blocks on a picture, pooling, and a Gemm with two outputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, weights, tensors = [], {}, ["x"]

    def weight(*shape):
        name = f"w{len(weights)}"
        weights[name] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return name

    def add(op, inputs, **attributes):
        tensors.append(f"t{len(nodes)}")
        nodes.append(node(op, inputs, [tensors[-1]], name=f"n{len(nodes)}", **attributes))

    # Each rewrite must have something to rewrite.
    blocks = ["pointwise", "grouped", *draw(st.lists(st.sampled_from(BLOCKS), max_size=5))]
    for block in draw(st.permutations(blocks)):
        last = tensors[-1]
        if block == "conv":
            add("Conv", [last, weight(CHANNELS, CHANNELS, 3, 3), weight(CHANNELS)], pads=[1, 1, 1, 1])
        elif block == "pointwise":
            add("Conv", [last, weight(CHANNELS, CHANNELS, 1, 1)])
        elif block == "grouped":
            add("Conv", [last, weight(CHANNELS, CHANNELS // 2, 3, 3)], pads=[1, 1, 1, 1], group=2)
        elif block == "activation":
            add(draw(st.sampled_from(ACTIVATIONS)), [last])
        elif block == "residual":
            add("Add", [last, draw(st.sampled_from(tensors))])
        elif block == "gate":
            add("Sigmoid", [draw(st.sampled_from(tensors))])
            add("Mul", [last, tensors[-1]])
        elif block == "pool":
            add("AveragePool", [last], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        elif block == "normalise":
            add("InstanceNormalization", [last, weight(CHANNELS), weight(CHANNELS)], epsilon=0.1)
        else:
            add("Softmax", [last], axis=1)
    # The mean of normalised values would be constant.
    add("Tanh", [tensors[-1]])
    add("GlobalAveragePool", [tensors[-1]])
    add("Flatten", [tensors[-1]])
    nodes.append(node("Gemm", [tensors[-1], weight(2, CHANNELS), weight(2)], ["y"], name="head", transB=1, alpha=2.0))
    shape = ["N", CHANNELS, SIZE, SIZE]
    return model(nodes, [tensor("x", shape)], [tensor("y", ["N", 2])], weights, opset=20)


def rewritten(proto, replace):
    """The model with each node replaced by the nodes that ``replace(node, weights)`` returns; None keeps the node."""
    form = onnx.ModelProto()
    form.CopyFrom(proto)
    weights = {w.name: numpy_helper.to_array(w) for w in form.graph.initializer}
    found = [made for own in form.graph.node for made in (replace(own, weights) or [own])]
    del form.graph.node[:]
    form.graph.node.extend(found)
    del form.graph.initializer[:]
    form.graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    onnx.checker.check_model(form)
    return form


def gemm_as_product_and_sum(own, weights):
    if own.op_type != "Gemm":
        return None
    a, w, b = own.input
    weights[f"{w}_t"] = 2 * weights.pop(w).T
    return [node("MatMul", [a, f"{w}_t"], ["product"], name="product"), node("Add", ["product", b], ["y"], name="sum")]


def negated_twice(own, weights):
    if own.output[0] == "y":
        return None
    (name,) = own.output
    own.output[0] = f"{name}_raw"
    return [own, node("Neg", [f"{name}_raw"], [f"{name}_neg"]), node("Neg", [f"{name}_neg"], [name])]


def with_identities(own, weights):
    (name,) = own.output
    own.output[0] = f"{name}_raw"
    return [own, node("Identity", [f"{name}_raw"], [f"{name}_same"]), node("Identity", [f"{name}_same"], [name])]


def with_weights_unfolded(own, weights):
    """Each weight written as a sum, transposed twice, so that constant folding has something to do."""
    before = []
    for index, name in enumerate(own.input):
        if name in weights and f"{name}_half" not in weights:
            half = np.float32(weights[name] * 0.5)
            weights[f"{name}_half"], weights[f"{name}_rest"] = half.T.copy(), weights[name] - half
            turned, whole = f"{own.name}_{index}_turned", f"{own.name}_{index}_whole"
            before.append(node("Transpose", [f"{name}_half"], [turned]))
            before.append(node("Add", [turned, f"{name}_rest"], [whole]))
            own.input[index] = whole
    return [*before, own]


def pointwise_as_product(own, weights):
    if own.op_type != "Conv" or weights[own.input[1]].shape[2:] != (1, 1):
        return None
    x, w = own.input
    (y,) = own.output
    weights[f"{w}_t"] = weights.pop(w)[:, :, 0, 0].T.copy()
    return [
        node("Transpose", [x], [f"{y}_last"], perm=[0, 2, 3, 1]),
        node("MatMul", [f"{y}_last", f"{w}_t"], [f"{y}_product"]),
        node("Transpose", [f"{y}_product"], [y], perm=[0, 3, 1, 2]),
    ]


def groups_as_one(own, weights):
    if own.op_type != "Conv" or not any(a.name == "group" for a in own.attribute):
        return None
    small = weights[own.input[1]]
    outer, inner = len(small) // 2, small.shape[1]
    wide = np.zeros((2 * outer, 2 * inner, *small.shape[2:]), np.float32)
    for group in range(2):
        at = slice(group * outer, (group + 1) * outer)
        wide[at, group * inner : (group + 1) * inner] = small[at]
    weights[own.input[1]] = wide
    return [node("Conv", own.input, own.output, name=own.name, pads=[1, 1, 1, 1])]


REWRITES = {
    "Gemm": gemm_as_product_and_sum,
    "Neg": negated_twice,
    "Identity": with_identities,
    "folding": with_weights_unfolded,
    "1x1": pointwise_as_product,
    "groups": groups_as_one,
}


def found(proto, x):
    own = planted.load(proto, device="cpu", threads=1)
    cotangent = np.tile(np.float32([1.0, -0.5]), (len(x), 1))
    y, slopes = gradient(own, "y", ["x"]).run({"x": x}, cotangent)
    return y, slopes["x"], xaionnx.explain(own, x, IntegratedGradients(steps=4), 0).values


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("rewrite", REWRITES)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(proto=networks(), seed=st.integers(0, 2**32 - 1))
def test_a_rewrite_that_keeps_the_function_keeps_the_gradient(rewrite, proto, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (2, CHANNELS, SIZE, SIZE)).astype(np.float32)
    for ours, theirs in zip(found(proto, x), found(rewritten(proto, REWRITES[rewrite]), x), strict=True):
        assert_close(ours, theirs, Tolerance.REWRITES, np.abs(ours).max() + 1e-2)


def test_the_networks_are_not_constant():
    """Most random networks have gradients large enough to reveal a wrong rule."""
    steep = []

    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @given(proto=networks())
    def collect(proto):
        x = np.random.default_rng(0).uniform(-1, 1, (1, CHANNELS, SIZE, SIZE)).astype(np.float32)
        steep.append(np.abs(found(proto, x)[1]).max() > 1e-3)

    collect()
    assert np.mean(steep) > 0.7
