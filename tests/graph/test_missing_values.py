"""What models do with NaN, by their graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.tiny import model, node, parsed, tensor, tree
from xaionnx.graph.missing_values import nan_handling
from xaionnx.graph.view import GraphView

ML = {"ai.onnx.ml": 3}


def handling(nodes, weights=None):
    return nan_handling(GraphView(model(nodes, [tensor("x", ["N", 2])], [tensor("y", None)], weights, domains=ML)), "x")


def imputer(replaced):
    return node("Imputer", ["x"], ["f"], domain="ai.onnx.ml", imputed_value_floats=[0.0], replaced_value_float=replaced)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([tree([1, 0, 0])], "routed"),
        ([tree([0, 0, 0])], "compared"),
        ([tree(None)], "compared"),
        (
            [node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]), tree([1, 0, 0], "s")],
            "routed",
        ),
        ([imputer(float("nan")), node("Softmax", ["f"], ["y"])], "routed"),
        ([imputer(-1.0), node("Softmax", ["f"], ["y"])], None),
        ([imputer(-1.0), tree([1, 0, 0], "f")], "routed"),
        ([node("Identity", ["x"], ["y"])], None),
        # One of two ways mixes the columns.
        ([tree([1, 0, 0]), node("Softmax", ["x"], ["z"])], None),
        (
            [node("Cast", ["x"], ["i"], to=onnx.TensorProto.INT64), node("Cast", ["i"], ["z"], to=1), tree([1], "z")],
            None,
        ),
    ],
)
def test_trees_and_imputers(nodes, expected):
    assert handling(nodes) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("n = IsNaN(x)  f = Where(n, z, x)  y = Softmax(f)", "routed"),
        ("n = IsNaN(x)  k = Not(n)  f = Where(k, x, z)  y = Softmax(f)", "routed"),
        ("a = Mul(x, z)  b = Relu(a)  n = IsNaN(b)  f = Where(n, z, b)  y = Softmax(f)", "routed"),
        ("n = Less(x, z)  y = Cast<to = 1>(n)", "compared"),
        ("n = IsNaN(x)  c = Cast<to = 1>(n)  s = Add(c, x)  y = Softmax(s)", None),
        ("y = Softmax(x)", None),
        ("s = Shape(x)  y = Expand(z, s)", None),
    ],
)
def test_plain_ops(body, expected):
    text = f"g (float[N,2] x) => (float[N,2] y) <float z = {{0}}> {{ {body} }}"
    assert nan_handling(GraphView(parsed(text)), "x") == expected


def test_a_code_for_nan():
    keys = {"keys_floats": [1.0, float("nan")], "values_floats": [5.0, 6.0]}
    coded = node("LabelEncoder", ["x"], ["f"], domain="ai.onnx.ml", **keys)
    assert handling([coded, node("Softmax", ["f"], ["y"])]) == "routed"
    keys["keys_floats"] = [1.0, 2.0]
    coded = node("LabelEncoder", ["x"], ["f"], domain="ai.onnx.ml", **keys)
    assert handling([coded, node("MatMul", ["f", "w"], ["y"])], {"w": np.eye(2, dtype=np.float32)}) == "compared"
