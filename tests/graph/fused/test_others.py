"""Ops that ONNX has too, or that are a few of its ops, compute the same in plain ops."""

import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.fused.unfused import compare, of_op, reason, run, seeded, written
from tests.tolerances import Tolerance, assert_close

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("shift", [None, -1, 2])
def test_triangles(upper, shift):
    weights = {} if shift is None else {"k": np.array(shift)}
    compare("Trilu", ["x", *weights], {"x": seeded(2, 4, 5)}, weights, upper=upper)


def test_gathered_entries():
    compare("GatherND", ["x", "i"], {"x": seeded(3, 4, 5), "i": np.int64([[0, 1], [2, 3]])})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_padding(mode):
    weights = {"p": np.int64([0, 1, 2, 0]), "v": np.float32(0.5)}
    compare("Pad", ["x", "p", *(["v"] if mode == "constant" else [])], {"x": seeded(3, 4)}, weights, mode=mode)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [0, 1])
def test_sampling(mode, padding, corners):
    feeds = {"x": seeded(2, 3, 5, 4), "g": np.tanh(seeded(2, 3, 3, 2)) * 1.3}
    compare(
        "GridSample", ["x", "g"], feeds, mode=mode, padding_mode=padding, align_corners=corners,
        tolerance=Tolerance.ORDER_ONE,
    )  # fmt: skip


@pytest.mark.parametrize("step", [None, 2.0])
def test_ranges(step):
    weights = {"a": np.float32(1), "b": np.float32(6)} | ({} if step is None else {"d": np.float32(step)})
    proto = of_op("Range", list(weights), {}, weights)
    np.testing.assert_array_equal(run(written(proto), {}, optimise=False)[0], run(proto, {})[0])


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_distances(metric):
    compare("CDist", ["a", "b"], {"a": seeded(3, 4), "b": seeded(5, 4)}, metric=metric, tolerance=Tolerance.LAYERS)


def test_other_distances_are_refused():
    feeds = {"a": seeded(3, 4), "b": seeded(5, 4)}
    assert reason("CDist", ["a", "b"], feeds, metric="cosine") == "its metric 'cosine' has no plain form"


@pytest.mark.parametrize("op", ["ComplexMul", "ComplexMulConj"])
def test_products_of_complex_numbers(op):
    feeds = {"a": seeded(3, 4, 2), "b": seeded(3, 4, 2, seed=1)}
    a, b = (array[..., 0] + 1j * array[..., 1] for array in feeds.values())
    wanted = a * (b.conj() if op == "ComplexMulConj" else b)
    (y,) = run(written(of_op(op, ["a", "b"], feeds)), feeds, optimise=False)
    assert_close(y, np.stack([wanted.real, wanted.imag], -1), Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize(
    ("op", "stated"),
    [
        ("Affine", {"alpha": 0.5, "beta": 2.0}),
        ("ScaledTanh", {"alpha": 0.5, "beta": 2.0}),
        ("ParametricSoftplus", {"alpha": 0.5, "beta": 2.0}),
        ("ImageScaler", {"scale": 0.5, "bias": [1.0, -1.0, 0.25]}),
    ],
)
def test_ops_that_onnx_once_had(op, stated):
    compare(op, ["x"], {"x": seeded(2, 3, 4, 4)}, domain="", version=9, tolerance=Tolerance.SIGNED_SUMS, **stated)
