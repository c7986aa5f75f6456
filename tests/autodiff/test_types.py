"""Gradients through casts: the gradient of a tensor has its type, and integers pass none."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from models import planted
from tests.autodiff.differences import error, onnxruntime, single, slopes
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient


def through(*kinds, start=np.float32):
    """x^2, cast to each type and squared again; finally cast back to the type of x."""
    nodes, last = [], "x"
    for number, kind in enumerate(kinds):
        nodes.append(helper.make_node("Cast", [last], [f"c{number}"], to=kind))
        nodes.append(helper.make_node("Mul", [f"c{number}", f"c{number}"], [f"m{number}"]))
        last = f"m{number}"
    model = single("Cast", [last], {"x": np.zeros((2, 3), start)}, to=helper.np_dtype_to_tensor_dtype(np.dtype(start)))
    model.graph.input[0].name = "x"
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


@pytest.mark.parametrize("start", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(
    "kinds",
    [
        (TensorProto.FLOAT16,),
        (TensorProto.DOUBLE,),
        (TensorProto.FLOAT16, TensorProto.DOUBLE),
        (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.FLOAT),
    ],
)
def test_chains_of_casts(kinds, start):
    x = np.random.default_rng(0).uniform(0.5, 1.2, (2, 3)).astype(start)
    # Half precision is computed in single, cotangents included.
    dy = np.random.default_rng(1).uniform(0.5, 1.5, (2, 3)).astype(np.float32 if start == np.float16 else start)
    dx = slopes(through(*kinds, start=start), {"x": x}, dy, evaluate=onnxruntime)
    # What half precision would round to zero is kept in single.
    assert dx.dtype == (np.float32 if start == np.float16 else start)
    power = 2 ** len(kinds)
    narrow = TensorProto.FLOAT16 in kinds or start == np.float16
    exact = dy * power * x.astype(float) ** (power - 1)
    # In half precision relative to the largest value, because powers of small numbers lose digits.
    assert_close(dx, exact, Tolerance.FLOAT16 if narrow else Tolerance.OPERATIONS, np.abs(exact).max())


def test_casts_that_widen_agree_with_central_differences():
    feeds = [{"x": np.random.default_rng(0).uniform(0.5, 1.2, (2, 3))}]
    assert_close(error(through(TensorProto.DOUBLE, start=np.float64), feeds), 0, Tolerance.DIFFERENCES)


def test_like_another():
    feeds = {"x": np.random.default_rng(0).uniform(0.5, 1.2, (2, 3)), "z": np.ones((2, 3), np.float32)}
    model = single("CastLike", ["x", "z"], feeds)
    dx = slopes(model, feeds, np.full((2, 3), 0.25, np.float32))
    assert dx.dtype == np.float64
    np.testing.assert_array_equal(dx, np.full((2, 3), 0.25))


def test_what_became_an_integer_has_no_slope():
    """The path through int64 is a step function; the gradient flows through the other one."""
    model = loaded("""g (float[N, 2] x) => (float[N, 2] y) {
          i = Cast<to = 7>(x)  f = Cast<to = 1>(i)  y = Mul(f, x) }""")
    x = np.float32([[2.5, -1.7]])
    _, found = gradient(model, "y", ["x"]).run({"x": x}, np.ones_like(x))
    np.testing.assert_array_equal(found["x"], [[2, -1]])


def test_floats_of_8_bits_with_unlike_scales():
    """y = x / 0.1 * 0.2 up to rounding; numpy sees floats of 8 bits as bytes, among which a slope would be lost."""
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "fine", "zero"], ["q"]),
        helper.make_node("Reshape", ["q", "sizes"], ["u"]),
        helper.make_node("DequantizeLinear", ["u", "coarse", "zero"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    tensors = [
        helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], [0.0]),
        *(numpy_helper.from_array(np.float32(scale), name) for name, scale in (("fine", 0.1), ("coarse", 0.2))),
        numpy_helper.from_array(weight, "w"),
        numpy_helper.from_array(np.array([-1, 4]), "sizes"),
    ]
    ends = [helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", 4), ("y", 3))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    model = planted.load(proto, device="cpu")
    x = np.float32([[1, 2, 3, -1]])
    found = xaionnx.explain(model, x, "saliency", 0, absolute=False)
    assert_close(found.values, [2 * weight[:, 0]], Tolerance.OPERATIONS)
    # Beyond 448 steps the numbers are cut.
    far = xaionnx.explain(model, np.float32([[50, 2, 3, -1]]), "saliency", 0, absolute=False)
    assert_close(far.values, [[0, *(2 * weight[1:, 0])]], Tolerance.OPERATIONS)
