"""LRP and DeepLIFT of recurrent layers against a tape in numpy: signals take all relevance, and nothing is lost."""

import numpy as np
import pytest
from onnx import numpy_helper

import xaionnx
from models import planted
from tests.autodiff.test_recurrent import HIDDEN, TIME, layer
from tests.oracles.recurrent import Multipliers, Relevance, propagated
from tests.tiny import node, opened
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.autodiff.deep_lift import TABLES
from xaionnx.autodiff.lrp import GATES, Composite, table
from xaionnx.autodiff.reference import baseline_name
from xaionnx.autodiff.relevance import Epsilon
from xaionnx.autodiff.rescale import PRODUCT
from xaionnx.errors import UnsupportedModelError

CASES = [
    ("LSTM", {}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"clip": 0.6}),
    ("LSTM", {"activations": ["HardSigmoid", "Softsign", "Relu"]}),
    ("LSTM", {"activations": ["Sigmoid", "Sigmoid", "Tanh"]}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"activations": ["Sigmoid", "ScaledTanh"], "activation_alpha": [1.5], "activation_beta": [0.7]}),
    ("GRU", {"clip": 0.6}),
    ("RNN", {}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.3]}),
]  # fmt: skip
# The direction, the output that is explained, and whether samples have lengths of their own.
PLACES = [
    ("forward", "y", False),
    ("reverse", "h", True),
    ("bidirectional", "y", True),
    ("bidirectional", "h", False),
]


def whole(op, options, direction):
    """The options for all directions."""
    twice = {name: value * 2 for name, value in options.items() if name.startswith("activation")}
    return {**options, **(twice if direction == "bidirectional" else {}), "direction": direction}


def settings(given):
    """The options without the direction."""
    return {name: value for name, value in given.items() if name != "direction"}


def weights_of(proto):
    held = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in proto.graph.initializer}
    return held["w"], held["r"], held["b"], held.get("p", np.zeros((len(held["r"]), 3 * HIDDEN)))


def wide(array):
    return array.astype(np.float64)


# The offset of an affine activation takes relevance as a bias does, so that it is no function that passes all of it.
PASSING = [case for case in CASES if case[1].get("activations") != ["Affine"]]
BY_PEEPHOLES = [(*case, False) for case in PASSING] + [(*case, True) for case in PASSING[:2]]


@pytest.mark.sampled(percent=15)
@pytest.mark.parametrize(("direction", "out", "lengths"), PLACES)
@pytest.mark.parametrize(("op", "options", "peepholes"), BY_PEEPHOLES)
def test_relevance_equals_that_of_the_tape(op, options, direction, out, lengths, peepholes):
    given = whole(op, options, direction)
    proto, feeds = layer(op, direction, out, lengths=lengths, peepholes=peepholes, **settings(given))
    model, sample = planted.load(proto, device="cpu"), feeds[0]
    rng = np.random.default_rng(1)
    y = model.run(sample)["y"]
    cotangent = rng.standard_normal(y.shape).astype(np.float32)
    wrt = ["x", "h0", *(["c0"] if op == "LSTM" else [])]
    found = gradient(model, "y", wrt, table(Composite({"*": Epsilon(1e-2)}, Epsilon(1e-2))), sample)
    _, relevance = found.run(sample, cotangent)
    weights = weights_of(proto)
    for n in range(len(y)):
        length = int(sample["n"][n]) if lengths else TIME
        first = [wide(sample[name][n]) for name in ("h0", "c0")]
        tape = Relevance(1e-2)
        expected = propagated(
            tape, op, wide(sample["x"][n]), False, *first, weights, out, cotangent[n].astype(np.float64), length, given
        )
        for name, array in zip(wrt, expected, strict=False):
            assert_close(relevance[name][n], array, Tolerance.QUOTIENTS, np.abs(expected[0]).max())
    labels = [] if op == "RNN" else [f"{op}: {GATES} (1 node)"]
    assert list(found.approximations) == labels


@pytest.mark.sampled(percent=15)
@pytest.mark.parametrize(("direction", "out", "lengths"), PLACES)
@pytest.mark.parametrize(("op", "options"), CASES)
def test_multipliers_equal_those_of_the_tape(op, options, direction, out, lengths):
    given = whole(op, options, direction)
    proto, feeds = layer(op, direction, out, lengths=lengths, **settings(given))
    model, sample = planted.load(proto, device="cpu"), feeds[0]
    rng = np.random.default_rng(1)
    y = model.run(sample)["y"]
    cotangent = rng.standard_normal(y.shape).astype(np.float32)
    wrt = ["x", "h0", *(["c0"] if op == "LSTM" else [])]
    found = gradient(model, "y", wrt, TABLES["rescale"], sample)
    baselines = {name: rng.standard_normal(sample[name].shape).astype(np.float32) for name in wrt}
    fed = {baseline_name(name): array for name, array in baselines.items()}
    outputs = found.model.run({**sample, **fed, found.cotangent: cotangent}, list(found.names.values()))
    weights = weights_of(proto)
    for n in range(len(y)):
        length = int(sample["n"][n]) if lengths else TIME
        pairs = [np.stack([sample[name][n], baselines.get(name, sample[name])[n]]) for name in ("x", "h0", "c0")]
        expected = propagated(
            Multipliers(), op, wide(pairs[0]), True, *map(wide, pairs[1:]), weights, out,
            cotangent[n].astype(np.float64), length, given,
        )  # fmt: skip
        for name, array in zip(wrt, expected, strict=False):
            assert_close(
                outputs[found.names[name]][n], array, Tolerance.DIFFERENCE_QUOTIENTS, np.abs(expected[0]).max()
            )
    # Contributions add up to the change of the target.
    total = sum(
        (outputs[found.names[name]] * (sample[name] - baselines[name]))
        .reshape(len(y), -1)
        .sum(axis=1, dtype=np.float64)
        for name in wrt
    )
    before = model.run({**sample, **baselines})["y"]
    change = (cotangent * (y - before)).reshape(len(y), -1).sum(axis=1, dtype=np.float64)
    assert_close(total, change, Tolerance.DIFFERENCE_QUOTIENTS, np.abs(cotangent * (y - before)).sum() / len(y))
    assert any(label == f"{op}: {PRODUCT} (1 node)" for label in found.approximations) == (op != "RNN")


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_without_biases_relevance_is_conserved(op, direction):
    """States start at zero, so that the input receives all relevance."""
    model, x = classifier(op, direction, bias=False)
    found = xaionnx.explain(model, x, "lrp", [0, 1], composite="epsilon", epsilon=1e-9)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.PROPAGATION)
    assert_close(found.values.sum(axis=(2, 3)), found.prediction, Tolerance.PROPAGATION, np.abs(found.prediction).max())


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_what_biases_take_is_the_gap(op):
    model, x = classifier(op, "forward", bias=True)
    found = xaionnx.explain(model, x, "lrp", 0, composite="epsilon")
    gap = np.ravel(found.diagnostics["conservation_gap"])
    assert_close(gap, found.values.sum(axis=(1, 2)) - found.prediction, Tolerance.SIGNED_LAYERS)
    assert (np.abs(gap) > 1e-3).all()


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_deep_lift_is_complete(op, rule):
    model, x = classifier(op, "bidirectional", bias=True)
    found = xaionnx.explain(model, x, "deep_lift", [0, 1], rule=rule, baseline=0.3)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.DIFFERENCE_QUOTIENTS)


def test_a_rule_for_the_first_layer_is_not_for_steps():
    """The input of all steps but the first is a state as well, so that no step counts as first."""
    model, x = classifier("GRU", "forward", bias=True)
    plain = xaionnx.explain(model, x, "lrp", 0, composite="epsilon_plus")
    flat = xaionnx.explain(model, x, "lrp", 0, composite="epsilon_plus_flat")
    np.testing.assert_array_equal(plain.values, flat.values)


def test_a_composite_names_the_layer_or_the_op_of_its_steps():
    model, x = classifier("LSTM", "forward", bias=True)
    by_layer, by_op, otherwise = (
        xaionnx.explain(model, x, "lrp", 0, composite=Composite({key: Epsilon(0.5), "*": Epsilon()}))
        for key in ("LSTM", "Gemm", "GRU")
    )
    np.testing.assert_array_equal(by_layer.values, by_op.values)
    assert not np.allclose(by_layer.values, otherwise.values)


def test_very_long_series_are_refused_with_the_number_of_nodes():
    model, x = classifier("LSTM", "forward", bias=True, time=1200)
    with pytest.raises(UnsupportedModelError, match=r"'LSTM' .*its steps would take 21,600 nodes, and at most 20,000"):
        xaionnx.explain(model, x, "lrp", 0)


def classifier(op, direction, *, bias, time=6):
    """A recurrent layer, the mean over time, and a linear layer; with three samples."""
    rng = np.random.default_rng(3)
    count, gates = 1 + (direction == "bidirectional"), {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    weights = {
        "w": rng.normal(size=(count, gates * 4, 3)) * 0.6,
        "r": rng.normal(size=(count, gates * 4, 4)) * 0.6,
        "b": rng.normal(size=(count, gates * 8)) * 0.6 * bias,
        "v": rng.normal(size=(count * 4, 2)),
        "flat": np.int64([0, -1]),
        "zero": np.int64([0]),
    }
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(op, ["t", "w", "r", "b"], ["s"], direction=direction, hidden_size=4, name="layer"),
        node("ReduceMean", ["s", "zero"], ["m"], keepdims=0),
        node("Transpose", ["m"], ["n"], perm=[1, 0, 2]),
        node("Reshape", ["n", "flat"], ["f"]),
        node("MatMul", ["f", "v"], ["y"]),
    ]
    return opened(nodes, [time, 3], [2], weights), rng.normal(size=(3, time, 3)).astype(np.float32)
