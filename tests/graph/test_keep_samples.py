"""A single sample keeps its axis where a Squeeze without axes would remove it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.keep_samples import keep_samples

RNG = np.random.default_rng(3)
FILES = {
    "last": "g (float[N, 4] x) => (float[K] y) { h = MatMul(x, w)  s = Sigmoid(h)  y = Squeeze(s) }",
    "ahead of a layer": """g (float[N, 4] x) => (float[N, 3] y) {
        u = Unsqueeze(x, one)  z = Squeeze(u)  y = Gemm(z, w) }""",
    "twice": """g (float[N, 4] x) => (float[K] y) {
        u = Unsqueeze(x, one)  z = Squeeze(u)  r = Relu(z)  h = MatMul(r, w)  y = Squeeze(h) }""",
    "after pooling": """g (float[?, 4, H, W] x) => (float[?, ?] y) {
        p = GlobalAveragePool(x)  z = Squeeze(p)  y = MatMul(z, w) }""",
}


def file(name: str) -> onnx.ModelProto:
    return tiny.parsed(FILES[name], w=RNG.normal(size=(4, 3)).astype(np.float32), one=np.array([1]))


def drawn(name: str, count: int) -> np.ndarray:
    return RNG.normal(size=(count, 4, *([5, 6] if name == "after pooling" else []))).astype(np.float32)


@pytest.mark.parametrize("name", FILES)
def test_rows_and_one_row_are_explained_alike(name):
    proto = file(name)
    x = drawn(name, 3)
    own = tiny.run(proto, {"x": x})["y"]
    for method in ("saliency", "feature_ablation", "integrated_gradients"):
        model = planted.load(proto)
        many = xaionnx.explain(model, x, method, 2)
        one = xaionnx.explain(model, x[1:2], method, 2)
        assert_close(many.prediction, own[:, 2], Tolerance.OPERATIONS)
        assert_close(one.prediction, own[1:2, 2], Tolerance.OPERATIONS)
        assert_close(one.values, many.values[1:2], Tolerance.OPERATIONS)


def test_a_single_number_keeps_its_row():
    proto = tiny.parsed(
        "g (float[N, 4] x) => (float[K] y) { h = MatMul(x, w)  y = Squeeze(h) }", w=np.ones((4, 1), "f")
    )
    x = drawn("last", 3)
    for rows in (x, x[:1]):
        found = xaionnx.explain(planted.load(proto), rows, "saliency", absolute=False)
        assert_close(found.prediction, rows.sum(axis=1), Tolerance.OPERATIONS)
        assert_close(found.values, np.ones_like(rows), Tolerance.OPERATIONS)


def test_axes_are_an_attribute_before_opset_13():
    proto = tiny.parsed("g (float[N, 1, 4] x) => (float[K] y) { y = Squeeze(x) }", opset=11)
    x = drawn("last", 1)[:, None]
    assert_close(tiny.run(keep_samples(proto), {"x": x})["y"], x[:, 0], Tolerance.OPERATIONS)


def test_an_axis_of_unknown_size_leaves_the_model_as_it_is():
    proto = tiny.parsed(
        """g (float[N, 4] x, int64[3] sizes) => (float[K] y) { r = Reshape(x, sizes)  y = Squeeze(r) }"""
    )
    assert keep_samples(proto) is proto


def test_a_stated_number_of_axes_is_that_of_the_file():
    model = planted.load(file("last"), axes={"y": "class"})
    assert model.axes.of("y").words() == "class"
    x = drawn("last", 1)
    expected = model.run({"x": x})["y"].ravel()[1:2]
    assert_close(xaionnx.explain(model, x, "saliency", 1).prediction, expected, Tolerance.OPERATIONS)
