"""Ops on integers that stand for floats are written as ops on floats, whose results round to the same integers."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests.graph.fused.unfused import of_op, reason, run, seeded, written
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.cut import count_ops

KINDS = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
FLOAT = TensorProto.FLOAT


def whole(*shape, kind=np.uint8, seed=0):
    info = np.iinfo(kind)
    return np.random.default_rng([seed, *shape]).integers(info.min, info.max + 1, shape).astype(kind)


def scaled(name, scale, zero, kind=np.uint8):
    """Weights for a scale and a zero point."""
    return {f"{name}s": np.float32(scale), f"{name}z": np.asarray(zero).astype(kind)}


def compare(op, inputs, feeds, weights, kind=np.uint8, **options):
    """Check that plain ops give the integers of an op, up to one where a float lies between two."""
    out = FLOAT if kind is None else KINDS[kind]
    proto = of_op(op, inputs, feeds, weights, outputs=[("y", out)], **options)
    plain = written(proto)
    assert not [name for name in count_ops(plain) if "." in name or name.startswith("QLinear")], plain.graph.node
    (ours,), (theirs,) = run(plain, feeds, optimise=False), run(proto, feeds)
    assert ours.dtype == theirs.dtype
    if kind is None:
        assert_close(ours, theirs, Tolerance.SIGNED_LAYERS)
        return
    apart = np.abs(ours.astype(int) - theirs.astype(int))
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.9
    assert theirs.min() < theirs.max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_sums_and_products(op, kind):
    zero = 100 if kind is np.uint8 else -3
    weights = scaled("a", 0.02, zero, kind) | scaled("b", 0.03, 7, kind) | scaled("c", 0.05, zero, kind)
    feeds = {"a": whole(2, 3, 8, kind=kind), "b": whole(1, 8, kind=kind, seed=1)}
    compare(op, ["a", "as", "az", "b", "bs", "bz", "cs", "cz"], feeds, weights, kind)


def test_zero_points_may_be_missing():
    for kind in KINDS:
        weights = scaled("x", 0.02, 0, kind) | scaled("y", 1 / 128, 0, kind)
        compare("QLinearSigmoid", ["x", "xs", "", "ys", ""], {"x": whole(3, 16, kind=kind)}, weights, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("op", "stated"), [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2}), ("QLinearLeakyRelu", {})]
)
def test_functions_of_one_number(op, stated, kind):
    weights = scaled("x", 0.03, 50, kind) | scaled("y", 1 / 128, 0, kind)
    compare(op, ["x", "xs", "xz", "ys", "yz"], {"x": whole(3, 16, kind=kind)}, weights, kind, **stated)


@pytest.mark.parametrize(("opset", "axis"), [(13, -1), (13, 1), (11, 1), (11, 2)])
def test_softmax(opset, axis):
    weights = scaled("x", 0.03, 50) | scaled("y", 1 / 256, 0)
    compare("QLinearSoftmax", ["x", "xs", "xz", "ys", "yz"], {"x": whole(2, 3, 5)}, weights, opset=opset, axis=axis)


@pytest.mark.parametrize(("axes", "kept"), [([1], 1), ([2, 3], 0), ([-1], 1)])
def test_means_have_no_kernel_and_follow_their_text(axes, kept):
    weights = scaled("x", 0.03, 50) | scaled("y", 0.02, 60)
    feeds = {"x": whole(2, 3, 4, 5)}
    proto = of_op(
        "QLinearReduceMean", ["x", "xs", "xz", "ys", "yz"], feeds, weights, outputs=[("y", TensorProto.UINT8)],
        axes=axes, keepdims=kept,
    )  # fmt: skip
    mean = (0.03 * (feeds["x"].astype(float) - 50)).mean(tuple(axes), keepdims=bool(kept))
    wanted = np.clip(np.rint(mean / 0.02) + 60, 0, 255)
    assert np.abs(run(written(proto), feeds, optimise=False)[0] - wanted).max() <= 1


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(
    ("op", "stated"),
    [
        ("QLinearGlobalAveragePool", {}),
        ("QLinearAveragePool", {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 1]}),
        ("QLinearAveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ],
)
def test_pools(op, stated, last):
    weights = scaled("x", 0.03, 50) | scaled("y", 0.02, 60)
    feeds = {"x": whole(2, 6, 5, 3)}
    compare(op, ["x", "xs", "xz", "ys", "yz"], feeds, weights, channels_last=last, **stated)


@pytest.mark.parametrize("axis", [1, -1])
def test_joins(axis):
    weights = scaled("a", 0.02, 100) | scaled("b", 0.03, 7) | scaled("c", 0.04, 90)
    feeds = {"a": whole(2, 3, 4), "b": whole(2, 3, 4, seed=1)}
    compare("QLinearConcat", ["cs", "cz", "a", "as", "az", "b", "bs", "bz"], feeds, weights, axis=axis)


def test_choices():
    weights = scaled("a", 0.02, 100) | scaled("b", 0.03, 7) | scaled("c", 0.04, 90)
    feeds = {"k": seeded(2, 4) > 0, "a": whole(2, 4), "b": whole(2, 4, seed=1)}
    compare("QLinearWhere", ["k", "a", "as", "az", "b", "bs", "bz", "cs", "cz"], feeds, weights)


@pytest.mark.parametrize(
    ("per_filter", "has_bias", "last"), list(itertools.product((True, False), (True, False), (0, 1)))
)
def test_convolutions(per_filter, has_bias, last):
    channels, filters = 4, 6
    scales = np.linspace(0.01, 0.03, filters) if per_filter else 0.02
    weights = {"w": whole(filters, channels, 3, 3, kind=np.int8)} | scaled("x", 0.02, 120) | scaled("y", 0.25, 128)
    weights |= {"ws": np.float32(scales), "wz": np.zeros_like(scales, dtype=np.int8)}
    weights |= {"b": np.arange(-3000, 3000, 1000, dtype=np.int32)} if has_bias else {}
    feeds = {"x": whole(2, 5, 6, channels) if last else whole(2, channels, 5, 6)}
    inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", *(["b"] if has_bias else [])]
    stated = {"pads": [1, 0, 1, 1], "strides": [2, 1]}
    compare("QLinearConv", inputs, feeds, weights, channels_last=last, **stated)
    if not last:
        compare("QLinearConv", inputs, feeds, weights, domain="", **stated)


@pytest.mark.parametrize("per_column", [True, False])
def test_products_of_matrices(per_column):
    scales = np.linspace(0.01, 0.03, 6) if per_column else 0.02
    weights = scaled("a", 0.02, 120) | scaled("y", 0.2, 128) | {"b": whole(5, 6, kind=np.int8)}
    weights |= {"bs": np.float32(scales), "bz": np.zeros_like(scales, dtype=np.int8)}
    compare("QLinearMatMul", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], {"a": whole(2, 3, 5)}, weights, domain="")


@pytest.mark.parametrize(("transposed", "has_bias", "per_column"), list(itertools.product((0, 1), (0, 1), (0, 1))))
@pytest.mark.parametrize("stays", [True, False])
def test_gemm(transposed, has_bias, per_column, stays):
    scales = np.linspace(0.01, 0.03, 6) if per_column else 0.02
    weights = scaled("a", 0.02, 120) | scaled("y", 0.2, 128)
    weights |= {"b": whole(*((6, 5) if transposed else (5, 6)), kind=np.int8)}
    weights |= {"bs": np.float32(scales), "bz": np.zeros_like(scales, dtype=np.int8)}
    weights |= {"c": np.arange(-3000, 3000, 1000, dtype=np.int32)} if has_bias else {}
    inputs = ["a", "as", "az", "b", "bs", "bz", "c" if has_bias else "", *([] if stays else ["ys", "yz"])]
    compare("QGemm", inputs, {"a": whole(3, 5)}, weights, None if stays else np.uint8, transB=transposed)


@pytest.mark.parametrize(("per_column", "has_bias"), list(itertools.product((True, False), repeat=2)))
def test_products_of_integers_that_become_floats(per_column, has_bias):
    scales = np.linspace(0.01, 0.03, 6) if per_column else 0.02
    weights = {"b": whole(5, 6), "bs": np.float32(scales), "bz": np.full_like(scales, 100, dtype=np.uint8)}
    weights |= {"c": seeded(6)} if has_bias else {}
    more = ["c"] if has_bias else []
    held = weights | scaled("a", 0.02, 120)
    compare("MatMulIntegerToFloat", ["a", "b", "as", "bs", "az", "bz", *more], {"a": whole(2, 3, 5)}, held, None)
    compare("DynamicQuantizeMatMul", ["a", "b", "bs", "bz", *more], {"a": seeded(2, 3, 5)}, weights, None)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
def test_integers_of_8_and_16_bits(kind):
    of = {np.uint16: TensorProto.UINT16, np.int16: TensorProto.INT16, **KINDS}[kind]
    weights, x = scaled("y", 0.01, 3, kind), {"x": seeded(4, 5)}
    proto = of_op("QuantizeLinear", ["x", "ys", "yz"], x, weights, outputs=[("y", of)])
    np.testing.assert_array_equal(run(written(proto), x, optimise=False)[0], run(proto, x)[0])
    q = {"q": run(proto, x)[0]}
    proto = of_op("DequantizeLinear", ["q", "ys", "yz"], q, weights)
    np.testing.assert_array_equal(run(written(proto), q, optimise=False)[0], run(proto, q)[0])


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_attention(kind):
    weights = {"w": whole(6, 48, kind=kind), "ws": np.float32(0.01), "wz": np.array(3, dtype=kind), "b": seeded(48)}
    weights |= {"xs": np.float32(0.02), "xz": np.array(120, dtype=np.uint8)}
    feeds = {"x": whole(2, 5, 6), "m": np.int32([[1] * 5, [1] * 3 + [0] * 2])}
    inputs = ["x", "w", "b", "xs", "ws", "m", "xz", "wz"]
    compare("QAttention", inputs, feeds, weights, None, num_heads=2)


def test_embeddings():
    names = ("word", "place", "part", "g", "b")
    weights = {name: whole(*((9, 8) if at < 3 else (8,)), seed=at) for at, name in enumerate(names)}
    for at, name in enumerate(names):
        weights |= scaled(name, 0.01 * (at + 1), 100 + at)
    feeds = {"ids": np.int32([[1, 4, 8], [0, 2, 2]]), "kinds": np.int32([[0, 0, 1], [1, 1, 1]])}
    inputs = ["ids", "kinds", *names, "", *(f"{name}s" for name in names), *(f"{name}z" for name in names)]
    proto = of_op("QEmbedLayerNormalization", inputs, feeds, weights, outputs=[("y", 1), ("m", 6)], epsilon=1e-5)
    assert_close(run(written(proto), feeds, optimise=False)[0], run(proto, feeds)[0], Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize(
    ("bits", "zeros"),
    [(4, "none"), (4, "packed"), (4, "floats"), (8, "none"), (8, "packed"), (2, "none"), (2, "packed")],
)
@pytest.mark.parametrize("inputs", [32, 40])
def test_weights_of_few_bits(bits, zeros, inputs):
    outputs, size = 5, 16
    blocks = -(-inputs // size)
    weights = {"w": whole(outputs, blocks, size * bits // 8), "s": np.abs(seeded(outputs, blocks)) / 20}
    if zeros == "packed":
        weights["z"] = whole(outputs, -(-blocks * bits // 8))
    if zeros == "floats":
        weights["z"] = np.random.default_rng(0).integers(0, 2**bits, (outputs, blocks)).astype(np.float32)
    stated = {"bits": bits, "block_size": size, "N": outputs, "K": inputs}
    names = ["a", "w", "s", *(["z"] if zeros != "none" else [])]
    compare("MatMulNBits", names, {"a": seeded(2, 3, inputs)}, weights, None, **stated)


@pytest.mark.parametrize("has_zeros", [False, True])
@pytest.mark.parametrize("kind", ["int4", "uint4", "4 bits", "8 bits"])
@pytest.mark.parametrize("columns", [32, 40])
def test_rows_of_a_table_of_few_bits(kind, has_zeros, columns):
    rows, size = 7, 16
    blocks = -(-columns // size)
    bits = 8 if kind == "8 bits" else 4
    if kind in ("int4", "uint4"):
        low, packed = (-8 if kind == "int4" else 0), 1
        of_kind = np.dtype(getattr(ml_dtypes, kind))
    else:
        low, packed, of_kind = 0, 8 // bits, np.dtype(np.uint8)
    span = 16 if packed == 1 and bits == 4 else 256
    draw = np.random.default_rng(0).integers
    weights = {"w": draw(low, low + span, (rows, columns // packed)).astype(of_kind)}
    weights["s"] = np.abs(seeded(rows, blocks)) / 20
    if has_zeros:
        weights["z"] = draw(low, low + span, (rows, -(-blocks // packed))).astype(of_kind)
    stated = {"bits": bits, "block_size": size, "gather_axis": 0, "quantize_axis": 1, "version": 21}
    names, feeds = ["w", "i", "s", *(["z"] if has_zeros else [])], {"i": np.int64([[0, 6, 3], [2, 2, 5]])}
    compare("GatherBlockQuantized", names, feeds, weights, None, **stated)


def test_tokens_are_explained_at_a_table_of_few_bits():
    table = np.random.default_rng(0).integers(-8, 8, (6, 16))
    weights = {
        "t": table.astype(ml_dtypes.int4),
        "s": np.abs(seeded(6, 1)) / 4,
        "one": np.int64([1]),
        "w": seeded(16, 2),
    }
    nodes = [
        node("GatherBlockQuantized", ["t", "i", "s"], ["e"], domain="com.microsoft", block_size=16, quantize_axis=1),
        node("ReduceMean", ["e", "one"], ["m"], keepdims=0),
        node("MatMul", ["m", "w"], ["y"]),
    ]
    ends = [tensor("i", ["N", "T"], TensorProto.INT64)], [tensor("y", ["N", 2])]
    proto = model(nodes, *ends, weights, opset=21, domains={"com.microsoft": 1})
    ids = np.int64([[1, 4, 5, 2]])
    found = xaionnx.explain(planted.load(proto), ids, "input_x_gradient", 1)
    rows = (table * weights["s"])[ids[0]]
    assert_close(found.values[0], rows * weights["w"][:, 1] / 4, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_recurrent_layer_with_quantised_weights(direction, columns, kind):
    """Up to the rounding of hidden states, which onnxruntime does at each step."""
    count, size, hidden = 1 + (direction == "bidirectional"), 3, 4
    scale, zero = (count, 4 * hidden) if columns else (count,), 0 if kind is np.int8 or columns else 120
    kind = np.int8 if columns else kind
    rng = np.random.default_rng(0)
    weights = {
        "w": whole(count, size, 4 * hidden, kind=kind),
        "r": whole(count, hidden, 4 * hidden, kind=kind, seed=1),
        "b": seeded(count, 8 * hidden),
        **{f"{name}s": rng.uniform(0.002, 0.006, scale).astype(np.float32) for name in "wr"},
        **{f"{name}z": np.full(scale, zero, dtype=kind) for name in "wr"},
    }
    inputs = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"]
    outputs, feeds = [("y", FLOAT), ("h", FLOAT), ("c", FLOAT)], {"x": seeded(6, 2, size)}
    stated = {"direction": direction, "hidden_size": hidden, "outputs": outputs}
    proto = of_op("DynamicQuantizeLSTM", inputs, feeds, weights, **stated)
    plain = written(proto)
    assert [name for name in count_ops(plain) if "." in name] == []
    for ours, theirs in zip(run(plain, feeds, optimise=False), run(proto, feeds), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 0.02  # six steps of hidden states in 1/128
        assert theirs.std() > 0.1


def test_computed_weights_of_a_recurrent_layer_stay():
    feeds = {"x": seeded(6, 2, 3), "w": whole(1, 3, 16, kind=np.int8)}
    weights = {"r": whole(1, 4, 16, kind=np.int8), "s": np.float32([0.01]), "z": np.int8([0])}
    inputs = ["x", "w", "r", "", "", "", "", "", "s", "z", "s", "z"]
    assert "computed by the model" in reason("DynamicQuantizeLSTM", inputs, feeds, weights, hidden_size=4)
