"""Recurrent layers against central differences: directions, optional inputs, and which outputs are used."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.autodiff.differences import error, in_numpy, onnxruntime, single, widened
from tests.autodiff.recurrent_oracle import DEFAULTS, OPS
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.backward import differentiate
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.probe import probe

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
TIME, FEATURES, HIDDEN = 5, 3, 4
# onnxruntime's recurrent kernels support only float32, so the step is large and curvature shows.
STEP = 3e-3


def layer(
    op,
    direction="forward",
    out="y",
    bias=True,
    states=True,
    time=TIME,
    lengths=False,
    peepholes=False,
    scale=0.5,
    **attributes,
):
    """A batch-first model around a time-first layer."""
    rng = np.random.default_rng(4)
    count = 2 if direction == "bidirectional" else 1
    width = GATES[op] * HIDDEN
    weights = {
        "w": rng.standard_normal((count, width, FEATURES)),
        "r": rng.standard_normal((count, width, HIDDEN)),
        "b": rng.standard_normal((count, 2 * width)),
    }
    if peepholes:
        weights["p"] = 3 * rng.standard_normal((count, 3 * HIDDEN))
    cell = "c" if states and op == "LSTM" else ""
    names = ["t", "w", "r", "b" if bias else "", "n" if lengths else "", "h" if states else "", cell]
    names += ["p"] if peepholes else []
    answers = {"y": ["o", "", ""], "h": ["", "o", ""], "c": ["", "", "o"]}[out]
    if op != "LSTM":
        names, answers = names[:6], answers[:2]
    swap = {"y": [2, 0, 1, 3], "h": [1, 0, 2], "c": [1, 0, 2]}[out]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("Transpose", ["h0"], ["h"], perm=[1, 0, 2]),
        helper.make_node("Transpose", ["c0"], ["c"], perm=[1, 0, 2]),
        helper.make_node(op, names, answers, hidden_size=HIDDEN, direction=direction, **attributes),
        helper.make_node("Transpose", ["o"], ["y"], perm=swap),
    ]
    feeds = [
        {
            "x": rng.standard_normal((n, time, FEATURES)).astype(np.float32),
            "h0": rng.standard_normal((n, count, HIDDEN)).astype(np.float32),
            "c0": rng.standard_normal((n, count, HIDDEN)).astype(np.float32),
        }
        for n in (2, 3, 4)
    ]
    if lengths:
        for sample in feeds:
            sample["n"] = rng.permutation([1, time, time - 2, time - 1])[: len(sample["x"])].astype(np.int32)
    model = single("Identity", ["x"], feeds[0], opset=20)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array((scale * a).astype(np.float32), n) for n, a in weights.items()
    )
    return model, feeds


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
@pytest.mark.parametrize(("out", "wrt"), [("y", "x"), ("h", "x"), ("y", "h0"), ("h", "h0")])
def test_directions(op, attributes, direction, out, wrt):
    model, feeds = layer(op, direction, out, **attributes)
    assert_close(error(model, feeds, wrt, evaluate=onnxruntime, step=STEP), 0, Tolerance.DIFFERENCES_OF_FLOAT32)


@pytest.mark.parametrize(("out", "wrt"), [("c", "x"), ("c", "c0"), ("c", "h0"), ("y", "c0")])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_cell_of_an_lstm(out, wrt, direction):
    model, feeds = layer("LSTM", direction, out)
    assert_close(error(model, feeds, wrt, evaluate=onnxruntime, step=STEP), 0, Tolerance.DIFFERENCES_OF_FLOAT32)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("time", [1, 2])
def test_without_bias_and_states(op, time):
    model, feeds = layer(op, "bidirectional", bias=False, states=False, time=time)
    assert_close(error(model, feeds, "x", evaluate=onnxruntime, step=STEP), 0, Tolerance.DIFFERENCES_OF_FLOAT32)


def double(model, feeds):
    """A model of :func:`layer` and its inputs, in float64."""
    return widened(model), [
        {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in f.items()} for f in feeds
    ]


oracle = in_numpy(*OPS)
EVERY = ["Sigmoid", "Tanh", "Relu", "Affine", "Elu", "HardSigmoid", "LeakyRelu", "ScaledTanh", "Softplus", "Softsign"]
OPTIONS = {
    "plain": ("LSTM", {}),
    "peepholes": ("LSTM", {"peepholes": True}),
    "coupled": ("LSTM", {"input_forget": 1}),
    "clip": ("LSTM", {"clip": 0.4}),
    "lengths": ("LSTM", {"lengths": True}),
    "all at once": ("LSTM", {"peepholes": True, "input_forget": 1, "clip": 0.7, "lengths": True}),
    "peepholes and lengths": ("LSTM", {"peepholes": True, "lengths": True}),
    "GRU lengths": ("GRU", {"lengths": True}),
    "GRU lengths after": ("GRU", {"lengths": True, "linear_before_reset": 1}),
    "GRU clip": ("GRU", {"clip": 0.4}),
    "GRU clip after": ("GRU", {"clip": 0.4, "linear_before_reset": 1}),
    "RNN lengths": ("RNN", {"lengths": True}),
    "RNN clip": ("RNN", {"clip": 0.4}),
}
ANSWERS = [("y", "x"), ("h", "x"), ("y", "h0"), ("h", "h0"), ("c", "x"), ("c", "c0"), ("y", "c0")]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.sampled(percent=33)
def test_options_in_float64(option, direction):
    """Against central differences of the formulas; onnxruntime computes the same numbers."""
    op, attributes = OPTIONS[option]
    for out, wrt in ANSWERS if op == "LSTM" else ANSWERS[:4]:
        model, feeds = layer(op, direction, out, **attributes)
        narrow = onnxruntime(model)(feeds[-1], ["y"])[0]
        wide, exact = double(model, feeds)
        assert_close(narrow, oracle(wide)(exact[-1], ["y"])[0], Tolerance.ORDER_ONE)
        assert_close(error(wide, exact, wrt, evaluate=oracle), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("name", [*EVERY, "ThresholdedRelu"])
@pytest.mark.parametrize("op", GATES)
@pytest.mark.sampled(percent=33)
def test_activations_in_float64(op, name):
    """As every activation, with ONNX's default alpha and beta; the second direction has the default activations."""
    count = len(DEFAULTS[op])
    model, feeds = layer(op, "bidirectional", scale=0.2, activations=[name] * count + list(DEFAULTS[op]))
    narrow = onnxruntime(model)(feeds[-1], ["y"])[0]
    wide, exact = double(model, feeds)
    assert_close(narrow, oracle(wide)(exact[-1], ["y"])[0], Tolerance.SIGNED_LAYERS)
    assert_close(error(wide, exact, "x", evaluate=oracle), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("op", GATES)
def test_numbers_of_activations(op):
    names = {
        "LSTM": ["HardSigmoid", "Relu", "LeakyRelu", "Sigmoid", "ScaledTanh", "Affine"],
        "GRU": ["HardSigmoid", "LeakyRelu", "Sigmoid", "ScaledTanh"],
        "RNN": ["Affine", "Elu"],
    }[op]
    model, feeds = layer(
        op, "bidirectional", activations=names, activation_alpha=[0.3, 0.2, 0.7], activation_beta=[0.4, 0.6]
    )
    narrow = onnxruntime(model)(feeds[-1], ["y"])[0]
    wide, exact = double(model, feeds)
    assert_close(narrow, oracle(wide)(exact[-1], ["y"])[0], Tolerance.SIGNED_SUMS)
    assert_close(error(wide, exact, "x", evaluate=oracle), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_batch_first(op, direction):
    """onnxruntime's kernels do not support this layout, so no model uses it yet."""
    model, feeds = layer(op, direction)
    wide, exact = double(model, feeds)
    node = next(node for node in wide.graph.node if node.op_type == op)
    node.attribute.append(helper.make_attribute("layout", 1))
    for turned in wide.graph.node:
        if turned.op_type == "Transpose":
            turned.attribute[0].ints[:] = range(len(turned.attribute[0].ints))
    assert_close(error(wide, exact, "x", evaluate=oracle), 0, Tolerance.DIFFERENCES)
    assert_close(error(wide, exact, "h0", evaluate=oracle), 0, Tolerance.DIFFERENCES)


def test_what_has_no_rule_is_named():
    model, feeds = layer("LSTM")
    model.graph.node[3].attribute.append(helper.make_attribute("activations", ["Sigmoid", "Gelu", "Tanh"]))
    with pytest.raises(UnsupportedModelError, match="its activations are Gelu"):
        differentiate(model, probe(layer("LSTM")[0], feeds, lambda m, v, n: onnxruntime(m)(v, n)), "y", ["x"], STANDARD)


@pytest.mark.parametrize(("op", "nodes"), [("LSTM", 11), ("GRU", 13), ("RNN", 5)])
def test_nodes_grow_with_the_steps_alone(op, nodes):
    """The number of nodes is proportional to the number of steps: a sequence of 200 has a few thousand."""
    counts = []
    for time in (20, 40):
        model, feeds = layer(op, time=time)
        facts = probe(model, feeds[:2], lambda m, v, n: onnxruntime(m)(v, n))
        counts.append(len(differentiate(model, facts, "y", ["x"], STANDARD).graph.node))
    assert (counts[1] - counts[0]) / 20 <= nodes


def test_default_activations_may_be_written_out():
    model, feeds = layer("LSTM", "bidirectional", activations=["Sigmoid", "Tanh", "Tanh"] * 2)
    assert_close(error(model, feeds, "x", evaluate=onnxruntime, step=STEP), 0, Tolerance.DIFFERENCES_OF_FLOAT32)
