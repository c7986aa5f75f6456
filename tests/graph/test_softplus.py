"""Softplus in the place of rectifiers: against the formula, and near the rectifier where it is sharp."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from xaionnx.graph.softplus import count_rectifiers, with_softplus

X = np.linspace(-8, 9, 35, dtype=np.float32)


def model_of(body: str, constants: str = "") -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) {constants} {{ {body} }}'
    )


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def softplus(x, sharpness):
    return np.logaddexp(0, sharpness * x.astype(np.float64)) / sharpness


CASES = {
    "relu": (model_of("y = Relu(x)"), softplus),
    "abs": (model_of("y = Abs(x)"), lambda x, s: softplus(x, s) + softplus(-x, s)),
    "leaky": (model_of("y = LeakyRelu<alpha=0.2>(x)"), lambda x, s: 0.2 * x + 0.8 * softplus(x, s)),
    "relu6": (
        model_of("y = Clip(x, lo, hi)", "<float lo = {0}, float hi = {6}>"),
        lambda x, s: softplus(x, s) - softplus(x - 6, s),
    ),
    "low": (model_of("y = Clip(x, lo)", "<float lo = {-2}>"), lambda x, s: -2 + softplus(x + 2, s)),
    "high": (model_of("y = Clip(x, , hi)", "<float hi = {3}>"), lambda x, s: x - softplus(x - 3, s)),
}


@pytest.mark.parametrize("name", CASES)
def test_rectifiers_are_sums_of_softplus(name):
    model, formula = CASES[name]
    assert count_rectifiers(model, {}) == 1
    for sharpness in (1.0, 10.0):
        smooth = with_softplus(model, {}, sharpness)
        onnx.checker.check_model(smooth)
        np.testing.assert_allclose(run(smooth), formula(X, sharpness), rtol=1e-5, atol=2e-6)
    # At most log(2) a kink and sharpness away.
    np.testing.assert_allclose(run(with_softplus(model, {}, 100.0)), run(model), atol=2 * np.log(2) / 100)


def test_bounds_that_the_graph_computes_are_left():
    model = model_of("m = ReduceMin<keepdims=0>(x) y = Clip(x, m)")
    assert count_rectifiers(model, {}) == 0
    assert [node.op_type for node in with_softplus(model, {}, 10.0).graph.node] == ["ReduceMin", "Clip"]


def test_sizes_of_whole_numbers_are_kept_and_not_counted():
    model = model_of("i = Cast<to = 7>(x) a = Abs(i) f = Cast<to = 1>(a) r = Relu(x) y = Add(r, f)")
    types = {"x": onnx.TensorProto.FLOAT, "i": onnx.TensorProto.INT64}
    assert count_rectifiers(model, types) == 1
    kinds = [node.op_type for node in with_softplus(model, types, 2.0).graph.node]
    assert (kinds.count("Abs"), kinds.count("Relu"), kinds.count("Softplus")) == (1, 0, 1)
