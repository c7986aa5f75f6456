"""Linear models of ai.onnx.ml compute the same in plain ops, and pass gradients."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import xaionnx
from tests.graph.fused.unfused import run, seeded, written
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model

KINDS = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE, np.int64: TensorProto.INT64}
W, B = seeded(3, 4), seeded(3, seed=1)
NODES = {
    "scaler": ("Scaler", {"offset": [1.0, 2.0, 0.5, -1.0], "scale": [0.5, 2.0, 1.0, 3.0]}),
    "one scale": ("Scaler", {"offset": [1.0], "scale": [0.5]}),
    "regressor": ("LinearRegressor", {"coefficients": W.ravel().tolist(), "intercepts": B.tolist(), "targets": 3}),
    "no intercept": ("LinearRegressor", {"coefficients": W[0].tolist()}),
    "largest": ("Normalizer", {"norm": "MAX"}),
    "L1": ("Normalizer", {"norm": "L1"}),
    "L2": ("Normalizer", {"norm": "L2"}),
}  # fmt: skip


def of(op, kind=np.float32, outputs=(("y", TensorProto.FLOAT),), **settings):
    made = node(op, ["x"], [name for name, _ in outputs], domain="ai.onnx.ml", **settings)
    ends = [tensor(name, None, each) for name, each in outputs]
    return model([made], [tensor("x", ["N", 4], KINDS[kind])], ends, domains={"ai.onnx.ml": 3})


def agrees(proto, x):
    plain = written(proto)
    assert all(each.domain != "ai.onnx.ml" for each in plain.graph.node)
    for found, expected in zip(run(plain, {"x": x}, optimise=False), run(proto, {"x": x}), strict=True):
        if expected.dtype.kind == "f":
            assert_close(found, expected, Tolerance.SIGNED_SUMS)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NODES)
def test_the_same_numbers(name, kind):
    op, settings = NODES[name]
    if op == "LinearRegressor" and kind is not np.float32:
        pytest.skip("onnxruntime runs it on float32 alone")
    x = (3 * np.abs(seeded(5, 4)) + 1).astype(kind)
    agrees(of(op, kind, **settings), x)


@pytest.mark.parametrize("missing", [np.nan, -1.0])
@pytest.mark.parametrize("filled", [[1.0, 2.0, 3.0, 4.0], [5.0]])
def test_missing_numbers_are_replaced(missing, filled):
    x = seeded(3, 4)
    x[0, 1] = x[2, 3] = missing
    agrees(of("Imputer", imputed_value_floats=filled, replaced_value_float=float(missing)), x)


def test_a_row_of_zeros_stays():
    for norm in ("MAX", "L1", "L2"):
        agrees(of("Normalizer", norm=norm), np.float32([[0, 0, 0, 0], [1, 2, 0, 3]]))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("labels", [{"classlabels_ints": [7, 3, 5]}, {"classlabels_strings": ["a", "b", "c"]}])
def test_a_classifier(labels, transform):
    kind = TensorProto.INT64 if "classlabels_ints" in labels else TensorProto.STRING
    proto = of(
        "LinearClassifier",
        outputs=(("label", kind), ("p", TensorProto.FLOAT)),
        coefficients=W.ravel().tolist(),
        intercepts=B.tolist(),
        post_transform=transform,
        **labels,
    )
    agrees(proto, seeded(6, 4))


def test_a_function_that_onnxruntime_leaves_out_is_not_written():
    proto = of("LinearRegressor", coefficients=W[0].tolist(), post_transform="LOGISTIC")
    assert [each.op_type for each in written(proto).graph.node] == ["LinearRegressor"]


def test_one_score_for_two_labels_is_kept():
    proto = of(
        "LinearClassifier",
        outputs=(("label", TensorProto.INT64), ("p", TensorProto.FLOAT)),
        coefficients=W[0].tolist(),
        intercepts=[0.5],
        classlabels_ints=[0, 1],
    )
    assert [each.op_type for each in written(proto).graph.node] == ["LinearClassifier"]


def test_a_scaled_linear_model_has_slopes_relevance_and_differences(tmp_path):
    offset, scale = [1.0, 2.0, 0.5, -1.0], [0.5, 2.0, 1.0, 3.0]
    nodes = [
        node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=offset, scale=scale),
        node("LinearRegressor", ["s"], ["y"], domain="ai.onnx.ml", targets=3, coefficients=W.ravel().tolist()),
    ]
    path = tmp_path / "model.onnx"
    onnx.save(model(nodes, [tensor("x", ["N", 4])], [tensor("y", ["N", 3])], domains={"ai.onnx.ml": 3}), path)
    opened, x = Model.load(path), seeded(2, 4)
    by_column = W[1] * np.float32(scale)
    slopes = xaionnx.explain(opened, x, "saliency", 1, absolute=False)
    assert slopes.diagnostics["gradient"] == "graph"
    assert_close(slopes.values, np.broadcast_to(by_column, x.shape), Tolerance.SIGNED_SUMS)
    assert_close(xaionnx.explain(opened, x, "deep_lift", 1, baseline=0).values, x * by_column, Tolerance.SIGNED_SUMS)
    relevance = xaionnx.explain(opened, x, "lrp", 1, composite="epsilon")
    # Offsets are biases, which get none.
    assert_close(relevance.values, x * by_column, Tolerance.QUOTIENTS)
