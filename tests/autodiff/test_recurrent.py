"""Recurrent layers against central differences: directions, optional inputs, and which outputs are used."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.autodiff.differences import error, onnxruntime, single
from xaionnx.errors import UnsupportedModelError

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
TIME, FEATURES, HIDDEN = 5, 3, 4
# onnxruntime's recurrent kernels know float32 alone, so the step is large and its curvature shows.
STEP, TOLERANCE = 3e-3, 3e-3


def layer(op, direction="forward", out="y", bias=True, states=True, time=TIME, layout=0, **attributes):
    """A batch-first model around a layer, which is time first itself."""
    rng = np.random.default_rng(4)
    count = 2 if direction == "bidirectional" else 1
    width = GATES[op] * HIDDEN
    weights = {
        "w": rng.standard_normal((count, width, FEATURES)),
        "r": rng.standard_normal((count, width, HIDDEN)),
        "b": rng.standard_normal((count, 2 * width)),
    }
    names = ["t", "w", "r", "b" if bias else "", "", "h" if states else "", "c" if states and op == "LSTM" else ""]
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
    model = single("Identity", ["x"], feeds[0], opset=20)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32) / 2, n) for n, a in weights.items())
    return model, feeds


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
@pytest.mark.parametrize(("out", "wrt"), [("y", "x"), ("h", "x"), ("y", "h0"), ("h", "h0")])
def test_directions(op, attributes, direction, out, wrt):
    model, feeds = layer(op, direction, out, **attributes)
    assert error(model, feeds, wrt, evaluate=onnxruntime, step=STEP) < TOLERANCE


@pytest.mark.parametrize(("out", "wrt"), [("c", "x"), ("c", "c0"), ("c", "h0"), ("y", "c0")])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_cell_of_an_lstm(out, wrt, direction):
    model, feeds = layer("LSTM", direction, out)
    assert error(model, feeds, wrt, evaluate=onnxruntime, step=STEP) < TOLERANCE


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("time", [1, 2])
def test_without_bias_and_states(op, time):
    model, feeds = layer(op, "bidirectional", bias=False, states=False, time=time)
    assert error(model, feeds, "x", evaluate=onnxruntime, step=STEP) < TOLERANCE


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "its activations are sigmoid, relu, tanh"),
        ({"clip": 1.0}, "it clips its gates"),
        ({"input_forget": 1}, "coupled"),
    ],
)
def test_what_has_no_rule_is_named(attributes, reason):
    model, feeds = layer("LSTM", **attributes)
    with pytest.raises(UnsupportedModelError, match=reason):
        error(model, feeds, "x", evaluate=onnxruntime)


def test_default_activations_may_be_written_out():
    model, feeds = layer("LSTM", "bidirectional", activations=["Sigmoid", "Tanh", "Tanh"] * 2)
    assert error(model, feeds, "x", evaluate=onnxruntime, step=STEP) < TOLERANCE
