"""Reveal-cancel after ops that keep the parts of a difference: concatenations, averages, factors, and data movement."""

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.oracles import deep_lift as oracle
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.explainers.deep_lift import DeepLift

OPS = {"relu": "Relu", "tanh": "Tanh"}
LABEL = "rescale in place of reveal-cancel"
SHAPE = (2, 4, 4)


def opened(path, nodes, shape, out, weights):
    weights = {
        name: np.asarray(w, np.float32 if np.asarray(w).dtype.kind == "f" else None) for name, w in weights.items()
    }
    return Model.load(
        tiny.saved(path, nodes, [tensor("x", ["N", *shape])], [tensor("y", ["N", *out])], weights, opset=20), "cpu"
    )


def ends(rng, *shape):
    x, b = (rng.normal(size=(2, *shape)).astype(np.float32) for _ in range(2))
    # Entries that equal the baseline contribute nothing but are still multiplied.
    x[0].flat[1] = b[0].flat[1]
    return x, b


def equal(model, steps, x, b, rule="reveal_cancel"):
    """Compare with the oracle and with the change; return the labels, and the values of rescale."""
    found = xaionnx.explain(model, x, DeepLift(rule=rule, baseline=b), [0, 2])
    for t, target in enumerate((0, 2)):
        for n in range(len(x)):
            expected = oracle.explained(steps, x[n], b[n], target, rule)
            assert_close(found.values[t, n].ravel(), expected, Tolerance.DIFFERENCE_QUOTIENTS)
    sums = found.values.reshape(2, len(x), -1).sum(axis=2, dtype=np.float64)
    assert_close(sums, found.prediction - found.baseline_prediction, Tolerance.DIFFERENCE_QUOTIENTS)
    return found


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


K = numbers(1, 2, 1, 1)
# Nodes from h, of (2, 4, 4), to o, in its shape or another, with their constants.
KEEPING = {
    "concat": ([node("Shape", ["h"], ["s"]), node("Expand", ["c", "s"], ["e"]),
                node("Concat", ["h", "e", "h"], ["o"], axis=1)], {"c": numbers(2, 1, 1, 4, 4)}),
    "split": ([node("Split", ["h"], ["p", "q"], axis=2, num_outputs=2), node("Concat", ["q", "p"], ["o"], axis=1)], {}),
    "half of a split": ([node("Split", ["h"], ["p", "o"], axis=3, num_outputs=2)], {}),
    "slice": ([node("Slice", ["h", "s", "e", "a", "t"], ["o"])],
              {"s": np.int64([3, 0]), "e": np.int64([0, 3]), "a": np.int64([2, 3]), "t": np.int64([-1, 2])}),
    "pad": ([node("Pad", ["h", "p", "v"], ["o"])], {"p": np.int64([0, 0, 1, 0, 0, 0, 0, 2]), "v": 3.0}),
    "reflect": ([node("Pad", ["h", "p"], ["o"], mode="reflect")], {"p": np.int64([0, 0, 1, 2, 0, 0, 1, 0])}),
    "transpose": ([node("Transpose", ["h"], ["o"], perm=[0, 2, 3, 1])], {}),
    "reshape": ([node("Reshape", ["h", "s"], ["o"])], {"s": np.int64([0, 8, -1])}),
    "unsqueeze": ([node("Unsqueeze", ["h", "a"], ["u"]), node("Squeeze", ["u", "a"], ["o"])], {"a": np.int64([2])}),
    "gather": ([node("Gather", ["h", "i"], ["o"], axis=3)], {"i": np.int64([2, 0, 2])}),
    "tile": ([node("Tile", ["h", "r"], ["o"])], {"r": np.int64([1, 2, 1, 1])}),
    "expand": ([node("Reshape", ["h", "s"], ["u"]), node("Expand", ["u", "w"], ["o"])],
               {"s": np.int64([0, 2, 1, 4, 4]), "w": np.int64([1, 1, 3, 1, 1])}),
    "space to depth": ([node("SpaceToDepth", ["h"], ["o"], blocksize=2)], {}),
    "where": ([node("Where", ["m", "h", "c"], ["o"])], {"m": numbers(3, 2, 4, 4) > 0, "c": -1e30}),
    "trilu": ([node("Trilu", ["h"], ["o"], upper=1)], {}),
    "average pool": ([node("AveragePool", ["h"], ["o"], kernel_shape=[2, 3], strides=[2, 1], pads=[1] * 4)], {}),
    "padded average": ([node("AveragePool", ["h"], ["o"], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)], {}),
    "global average": ([node("GlobalAveragePool", ["h"], ["o"])], {}),
    "sum over an axis": ([node("ReduceSum", ["h", "a"], ["o"], keepdims=0)], {"a": np.int64([2])}),
    "mean over axes": ([node("ReduceMean", ["h", "a"], ["o"])], {"a": np.int64([1, 3])}),
    "cumulated": ([node("CumSum", ["h", "a"], ["o"])], {"a": np.int64(2)}),
    "mean": ([node("Mean", ["h", "c"], ["o"])], {"c": numbers(4, 1, 2, 4, 4)}),
    "average of a pad": ([node("Pad", ["h", "p", "v"], ["e"]),
                          node("AveragePool", ["e"], ["o"], kernel_shape=[3, 3])],
                         {"p": np.int64([0, 0, 1, 0, 0, 0, 0, 2]), "v": 3.0}),
    "sum of a choice": ([node("Where", ["m", "h", "c"], ["e"]), node("ReduceSum", ["e", "a"], ["o"])],
                        {"m": numbers(3, 2, 4, 4) > 0, "c": 0.4, "a": np.int64([1])}),
    "sum of a joint": ([node("Shape", ["h"], ["s"]), node("Expand", ["c", "s"], ["e"]),
                        node("Concat", ["h", "e"], ["j"], axis=1), node("ReduceSum", ["j", "a"], ["o"])],
                       {"c": numbers(2, 1, 1, 4, 4), "a": np.int64([1])}),
    "enlarged": ([node("Resize", ["h", "", "r"], ["o"], mode="linear")], {"r": np.float32([1, 1, 2, 1.5])}),
    "nearest": ([node("Resize", ["h", "", "r"], ["o"], mode="nearest")], {"r": np.float32([1, 1, 2, 2])}),
    "broadcast bias": ([node("ReduceMean", ["h", "a"], ["u"]), node("Add", ["c", "u"], ["o"])],
                       {"a": np.int64([3]), "c": numbers(4, 1, 1, 1, 3)}),
    "bias": ([node("Sub", ["h", "c"], ["o"])], {"c": K}),
    "turned bias": ([node("Sub", ["c", "h"], ["o"])], {"c": K}),
    "negative": ([node("Neg", ["h"], ["o"])], {}),
    "factor": ([node("Mul", ["c", "h"], ["o"])], {"c": -0.7}),
    "factors": ([node("Mul", ["h", "c"], ["o"])], {"c": numbers(5, 2, 4, 1)}),
    "broadcast factors": ([node("ReduceMean", ["h", "a"], ["u"]), node("Mul", ["u", "c"], ["o"])],
                          {"a": np.int64([3]), "c": numbers(6, 2, 1, 3)}),
    "divisor": ([node("Div", ["h", "c"], ["o"])], {"c": 2.0}),
    "divisors": ([node("Div", ["h", "c"], ["o"])], {"c": K}),
    "batch norm": ([node("BatchNormalization", ["h", "g", "c", "m", "v"], ["o"])],
                   {"g": np.float32([1.5, -0.6]), "c": numbers(7, 2), "m": numbers(8, 2), "v": np.float32([0.5, 2])}),
}  # fmt: skip
ADDING = {
    "average pool", "padded average", "global average", "sum over an axis", "mean over axes", "cumulated", "enlarged",
    "average of a pad", "sum of a choice", "sum of a joint", "broadcast bias", "broadcast factors",
}  # fmt: skip


def matrix(path, nodes, constants):
    """The matrix W and bias b of linear nodes on h, found by running each unit, and the output shape."""
    renamed = [node("Identity", ["x"], ["h"]), *nodes, node("Identity", ["o"], ["y"])]
    model = opened(path, renamed, SHAPE, [None] * 3, constants)
    units = np.concatenate([np.zeros((1, 32)), np.eye(32)]).reshape(33, *SHAPE).astype(np.float32)
    answers = model.run({"x": units})["y"]
    rows = answers.reshape(33, -1).astype(np.float64)
    # In float32 a unit is lost next to the constant of "where".
    return ("kept", np.where(np.abs(rows[0]) > 1e20, 0, rows[1:] - rows[0]).T, rows[0]), answers.shape[1:]


@pytest.mark.sampled(percent=20)
@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
@pytest.mark.parametrize("place", ["layer", "activation"])
@pytest.mark.parametrize("name", KEEPING)
def test_parts_are_kept(tmp_path, name, place, rule):
    """After a layer, which passes both parts on, and after an activation, whose output is one part of each number."""
    inner, constants = KEEPING[name]
    kept, shape = matrix(tmp_path / "op.onnx", inner, constants)
    rng = np.random.default_rng(9)
    w = rng.normal(size=(32, 6)), rng.normal(size=32)
    head = rng.normal(size=(3, int(np.prod(shape)))) / 3
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["h0"], transB=1),
        node("Tanh" if place == "activation" else "Identity", ["h0"], ["h1"]), node("Reshape", ["h1", "to"], ["h"]),
        *inner, node("Tanh", ["o"], ["z"]), node("Flatten", ["z"], ["f"]), node("Gemm", ["f", "w1"], ["y"], transB=1),
    ]  # fmt: skip
    weights = {"w0": w[0], "b0": w[1], "w1": head, "to": np.int64([0, *SHAPE]), **constants}
    model = opened(tmp_path / "net.onnx", nodes, [6], [3], weights)
    between = [("tanh",)] if place == "activation" else []
    steps = [("linear", *w), *between, kept, ("tanh",), ("linear", head, np.zeros(3))]
    x, b = ends(rng, 6)
    found = equal(model, steps, x, b, rule)
    told = place == "activation" and rule == "reveal_cancel" and name not in ADDING
    assert found.provenance["approximations"] == ([f"Tanh: {LABEL} (1 node)"] if told else [])
    if rule == "reveal_cancel" and place == "layer":
        plain = equal(model, steps, x, b, "rescale")
        assert np.abs(plain.values - found.values).max() > 1e-2


def norm(rng, count, shape):
    """A batch normalisation of both signs: its constants, and its matrix."""
    g, c, m, v = rng.normal(size=(4, count))
    v = v**2 + 0.3
    slope = np.repeat(g / np.sqrt(v + 1e-5), shape[1] * shape[2])
    return (g, c, m, v), ("kept", np.diag(slope), np.repeat(c, shape[1] * shape[2]) - slope * np.repeat(m, 16))


@pytest.mark.parametrize("activation", OPS)
def test_a_dense_net(tmp_path, activation):
    """Each block normalises first and concatenates its output to all earlier ones: nothing falls back to rescale."""
    rng, op, act = np.random.default_rng(10), OPS[activation], (activation,)
    kernels = [rng.normal(size=s) / 2 for s in ((2, 2, 3, 3), (2, 2, 3, 3), (1, 4, 3, 3))]
    layers = [oracle.convolution(k, np.zeros(len(k)), (k.shape[1], 4, 4), 1)[0] for k in kernels]
    norms = [norm(rng, count, (count, 4, 4)) for count in (2, 4, 5)]
    mean, head = np.kron(np.eye(5), np.full((1, 16), 1 / 16)), rng.normal(size=(3, 5)) * 4
    nodes = [node("Conv", ["x", "k0"], ["f0"], pads=[1] * 4)]
    joint = "f0"
    for k in (1, 2):
        nodes += [
            node("BatchNormalization", [joint, *(f"{n}{k - 1}" for n in "gcmv")], [f"n{k}"]),
            node(op, [f"n{k}"], [f"r{k}"]), node("Conv", [f"r{k}", f"k{k}"], [f"f{k}"], pads=[1] * 4),
            node("Concat", [f"f{i}" for i in range(k + 1)] if k == 2 else [joint, f"f{k}"], [f"j{k}"], axis=1),
        ]  # fmt: skip
        joint = f"j{k}"
    nodes += [
        node("BatchNormalization", [joint, "g2", "c2", "m2", "v2"], ["n3"]), node(op, ["n3"], ["r3"]),
        node("GlobalAveragePool", ["r3"], ["p"]), node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "head"], ["y"]),
    ]  # fmt: skip
    weights = {f"k{i}": k for i, k in enumerate(kernels)} | {"head": head.T}
    weights |= {f"{name}{i}": v for i, (values, _) in enumerate(norms) for name, v in zip("gcmv", values, strict=True)}
    model = opened(tmp_path / "net.onnx", nodes, SHAPE, [3], weights)
    steps = [
        layers[0], ("joined", [[], [norms[0][1], act, layers[1]]]), ("joined", [[], [norms[1][1], act, layers[2]]]),
        norms[2][1], act, ("kept", mean, np.zeros(5)), ("linear", head, np.zeros(3)),
    ]  # fmt: skip
    found = equal(model, steps, *ends(rng, *SHAPE))
    assert found.provenance["approximations"] == []


def test_what_is_taken_off_itself_keeps_both_parts(tmp_path):
    """A tensor minus its own mean: two terms of opposite sign, one of them broadcast."""
    rng = np.random.default_rng(11)
    w, b, head = rng.normal(size=(6, 5)), rng.normal(size=6), rng.normal(size=(3, 6))
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], transB=1), node("ReduceMean", ["h", "a"], ["m"]),
        node("Sub", ["h", "m"], ["d"]), node("Relu", ["d"], ["r"]), node("Gemm", ["r", "head"], ["y"], transB=1),
    ]  # fmt: skip
    model = opened(tmp_path / "net.onnx", nodes, [5], [3], {"w": w, "b": b, "head": head, "a": np.int64([1])})
    mean, none = np.full((6, 6), 1 / 6), np.zeros(6)
    steps = [
        ("linear", w, b), ("joined", [[], [("kept", mean, none)]]), ("kept", np.hstack([np.eye(6), -np.eye(6)]), none),
        ("relu",), ("linear", head, np.zeros(3)),
    ]  # fmt: skip
    assert equal(model, steps, *ends(rng, 5)).provenance["approximations"] == []


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("MaxPool", ["h"], ["o"], kernel_shape=[2, 2])], {}),
        ([node("MaxPool", ["h"], ["p"], kernel_shape=[2, 2]), node("Neg", ["p"], ["o"])], {}),
        ([node("MaxPool", ["h"], ["p"], kernel_shape=[1, 1]), node("Concat", ["p", "h"], ["o"], axis=1)], {}),
        ([node("Resize", ["h", "", "r"], ["o"], mode="cubic")], {"r": np.float32([1, 1, 2, 2])}),
        ([node("Softmax", ["h"], ["o"])], {}),
        ([node("Mul", ["h", "h"], ["o"])], {}),
        ([node("LayerNormalization", ["h", "g"], ["o"])], {"g": np.ones(4)}),
        ([node("Relu", ["h"], ["o"])], {}),
        ([node("Greater", ["h", "c"], ["m"]), node("Where", ["m", "h", "c"], ["o"])], {"c": 0.0}),
    ],
    ids=["pool", "turned pool", "joined pool", "cubic", "softmax", "square", "norm", "activation", "choice"],
)
def test_every_other_op_is_labelled(tmp_path, nodes, constants):
    rng = np.random.default_rng(12)
    whole = [node("Conv", ["x", "k"], ["h"], pads=[1] * 4), *nodes, node("Tanh", ["o"], ["t"]),
             node("ReduceMean", ["t", "axes"], ["y"], keepdims=0)]  # fmt: skip
    weights = {"k": rng.normal(size=(3, 2, 3, 3)), "axes": np.int64([2, 3]), **constants}
    model = opened(tmp_path / "net.onnx", whole, SHAPE, [None], weights)
    x, b = ends(rng, *SHAPE)
    told = xaionnx.explain(model, x, DeepLift(rule="reveal_cancel", baseline=b), 0).provenance["approximations"]
    assert f"Tanh: {LABEL} (1 node)" in told
    plain = xaionnx.explain(model, x, DeepLift(baseline=b), 0).provenance["approximations"]
    assert not any(LABEL in label for label in plain)


def test_an_explained_number_is_one_part(tmp_path):
    """It stays one part when moved, scaled, shifted or passed through a function: rescale applies without a label."""
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("Mul", ["t", "k"], ["m"]),
             node("Add", ["m", "c"], ["a"]), node("Abs", ["a"], ["b"]), node("Tanh", ["b"], ["y"])]  # fmt: skip
    model = opened(tmp_path / "net.onnx", nodes, [2, 3], [3, 2], {"k": numbers(1, 3, 1), "c": 0.3})
    x, b = ends(np.random.default_rng(13), 2, 3)
    found, plain = (
        xaionnx.explain(model, x, DeepLift(rule=rule, baseline=b), Target.sum())
        for rule in ("reveal_cancel", "rescale")
    )
    np.testing.assert_array_equal(found.values, plain.values)
    assert found.provenance["approximations"] == []
