"""Layer-wise relevance propagation through ops other than layers with weights, from the papers' equations."""

import math

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.tiny import loaded, node, opened, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.lrp import Composite, table
from xaionnx.autodiff.relevance import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers.lrp import Lrp

RNG = np.random.default_rng(0)
EPSILON = Composite({"*": Epsilon(1e-9)}, Epsilon(1e-9))


def relevance(model, x, cotangent, composite=EPSILON):
    found = gradient(model, "y", ["x"], table(composite))
    y, back = found.run({"x": x}, cotangent)
    return y, back["x"], found.approximations


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


GELU = math.sqrt(2 / math.pi)
# Products in which one factor gates the other.
GATED = {
    "swish": [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])],
    "hard swish": [node("HardSigmoid", ["x"], ["s"], alpha=1 / 6, beta=0.5), node("Mul", ["s", "x"], ["y"])],
    "mish": [node("Softplus", ["x"], ["p"]), node("Tanh", ["p"], ["s"]), node("Mul", ["x", "s"], ["y"])],
    "gelu": [
        node("Mul", ["x", "root"], ["a"]), node("Erf", ["a"], ["e"]), node("Add", ["e", "one"], ["s"]),
        node("Mul", ["x", "s"], ["p"]), node("Mul", ["p", "half"], ["y"]),
    ],
    "gelu by tanh": [
        node("Mul", ["x", "x"], ["xx"]), node("Mul", ["xx", "x"], ["xxx"]), node("Mul", ["xxx", "c"], ["cx"]),
        node("Add", ["x", "cx"], ["u"]), node("Mul", ["u", "root"], ["v"]), node("Tanh", ["v"], ["t"]),
        node("Add", ["t", "one"], ["s"]), node("Mul", ["x", "s"], ["p"]), node("Mul", ["half", "p"], ["y"]),
    ],
    "relu6 of its shift": [
        node("Add", ["x", "three"], ["a"]), node("Clip", ["a", "zero", "six"], ["s"]),
        node("Mul", ["x", "s"], ["p"]), node("Div", ["p", "six"], ["y"]),
    ],
}  # fmt: skip
NUMBERS = {
    "root": math.sqrt(0.5), "one": 1, "half": 0.5, "c": 0.044715, "three": 3, "zero": 0, "six": 6,
}  # fmt: skip
NUMBERS = {name: np.float32(value) for name, value in NUMBERS.items()}


@pytest.mark.parametrize("name", GATED)
def test_a_gated_activation_passes_all_relevance(name):
    x, cotangent = drawn(3, 8), drawn(3, 8)
    y, found, labels = relevance(opened(GATED[name], [8], [8], NUMBERS), x, cotangent)
    assert_close(found, y * cotangent, Tolerance.SUMS)
    assert labels == ()


def test_squeeze_and_excitation_gives_nothing_to_the_gate():
    """y_c = x_c * sigmoid(W mean(x))_c: if the gate took part, each pixel would get relevance from all channels."""
    nodes = [
        node("Relu", ["x"], ["r"]), node("GlobalAveragePool", ["r"], ["m"]), node("Conv", ["m", "w"], ["g"]),
        node("Sigmoid", ["g"], ["s"]), node("Mul", ["s", "r"], ["y"]),
    ]  # fmt: skip
    x, cotangent = drawn(2, 3, 4, 4), drawn(2, 3, 4, 4)
    model = opened(nodes, [3, 4, 4], [3, 4, 4], {"w": drawn(3, 3, 1, 1)})
    y, found, labels = relevance(model, x, cotangent)
    assert_close(found, y * cotangent, Tolerance.SUMS)
    assert labels == ()


def test_a_product_of_equals_is_halved_and_says_so():
    nodes = [
        node("MatMul", ["x", "a"], ["u"]), node("MatMul", ["x", "b"], ["v"]), node("Mul", ["u", "v"], ["y"]),
    ]  # fmt: skip
    a, b, x, cotangent = drawn(4, 5), drawn(4, 5), drawn(2, 4), drawn(2, 5)
    model = opened(nodes, [4], [5], {"a": a, "b": b})
    y, found, labels = relevance(model, x, cotangent)
    u, v = x @ a, x @ b
    expected = sum(x * ((y * cotangent / 2 / z) @ w.T) for z, w in ((u, a), (v, b)))
    assert_close(found, expected, Tolerance.SIGNED_LAYERS)
    assert labels == ("Mul: relevance of a product is halved (1 node)",)


# What makes one factor a gate: the function applied to v, and which factor of the product with u gets the relevance.
FACTORS = {
    "a limit below": ([node("Clip", ["v", "zero"], ["f"])], "halved"),
    "a limit above": ([node("Clip", ["v", "", "six"], ["f"])], "halved"),
    "two limits": ([node("Clip", ["v", "zero", "six"], ["f"])], "u"),
    "a divisor": ([node("Exp", ["v"], ["e"]), node("Reciprocal", ["e"], ["f"])], "u"),
    "a share": ([node("Softmax", ["v"], ["f"])], "u"),
}


@pytest.mark.parametrize("name", FACTORS)
def test_what_makes_a_gate_of_a_factor(name):
    made, owner = FACTORS[name]
    before = [node("MatMul", ["x", "a"], ["u"]), node("MatMul", ["x", "b"], ["v"])]
    a, b, x, cotangent = drawn(4, 5), drawn(4, 5), drawn(2, 4), drawn(2, 5)
    limits = {"zero": np.float32(0), "six": np.float32(6)}
    model = opened([*before, *made, node("Mul", ["u", "f"], ["y"])], [4], [5], {"a": a, "b": b, **limits})
    y, found, labels = relevance(model, x, cotangent)
    u, v, owed = x @ a, x @ b, y * cotangent
    of_u, of_v = (x * ((owed / z) @ w.T) for z, w in ((u, a), (v, b)))
    assert_close(found, of_u if owner == "u" else (of_u + of_v) / 2, Tolerance.QUOTIENTS)
    assert ("Mul: relevance of a product is halved (1 node)" in labels) == (owner == "halved")


def test_a_gate_that_divides_outranks_one_that_squashes():
    """sigmoid(u) / exp(v), written as a product: all to the sigmoid."""
    nodes = [
        node("MatMul", ["x", "a"], ["u"]), node("Sigmoid", ["u"], ["s"]), node("MatMul", ["x", "b"], ["v"]),
        node("Exp", ["v"], ["e"]), node("Reciprocal", ["e"], ["f"]), node("Mul", ["s", "f"], ["y"]),
    ]  # fmt: skip
    a, b, x, cotangent = drawn(4, 5), drawn(4, 5), drawn(2, 4), drawn(2, 5)
    y, found, _ = relevance(opened(nodes, [4], [5], {"a": a, "b": b}), x, cotangent)
    assert_close(found, x * ((y * cotangent / (x @ a)) @ a.T), Tolerance.QUOTIENTS)


@pytest.mark.parametrize("factor", ["alpha", "beta"])
def test_factors_that_turn_signs_are_for_epsilon_alone(factor):
    w, b, x = drawn(4, 3), drawn(3), drawn(2, 4)
    model = opened([node("Gemm", ["x", "w", "b"], ["y"], **{factor: -1.0})], [4], [3], {"w": w, "b": b})
    with pytest.raises(UnsupportedModelError, match="its factors turn the signs of its weights; let it follow Epsilon"):
        relevance(model, x, drawn(2, 3), Composite({"*": ZPlus()}))
    found = xaionnx.explain(model, x, Lrp(composite=EPSILON), 1).values
    assert_close(found, (-1 if factor == "alpha" else 1) * x * w[:, 1], Tolerance.SIGNED_LAYERS)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("reshaped", [False, True], ids=["", "reshaped"])
def test_attention_weights_count_as_constants(reshaped):
    """Ali et al. 2022, section 3.2: R_i = sum_j x_i p_ij / (sum_i x_i p_ij) R_j.

    A softmax of an opset before 13 is written with a Reshape after it, to sizes that follow those of the input.
    """
    nodes = [
        node("MatMul", ["x", "q"], ["Q"]), node("MatMul", ["x", "k"], ["K"]), node("MatMul", ["x", "v"], ["V"]),
        node("Transpose", ["K"], ["KT"], perm=[0, 2, 1]), node("MatMul", ["Q", "KT"], ["scores"]),
        node("Mul", ["scores", "half"], ["scaled"]), node("Softmax", ["scaled"], ["weights"], axis=-1),
        node("Shape", ["scaled"], ["sizes"]), node("Reshape", ["weights", "sizes"], ["again"]),
        node("MatMul", ["again" if reshaped else "weights", "V"], ["y"]),
    ]  # fmt: skip
    q, k, v = (drawn(4, 4) for _ in range(3))
    x, cotangent = drawn(2, 5, 4), drawn(2, 5, 4)
    model = opened(nodes, [5, 4], [5, 4], {"q": q, "k": k, "v": v, "half": np.float32(0.5)})
    y, found, labels = relevance(model, x, cotangent)
    for n in range(2):
        weights, value = softmax(x[n] @ q @ (x[n] @ k).T / 2), x[n] @ v
        mixed = value * (weights.T @ (y[n] * cotangent[n] / (weights @ value)))
        assert_close(found[n], x[n] * ((mixed / value) @ v.T), Tolerance.QUOTIENTS)
    assert labels == ()


def normalised(x, axes, epsilon=1e-5):
    """``x`` minus its mean, and one over its standard deviation."""
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred, 1 / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + epsilon)


@pytest.mark.parametrize("op", ["LayerNormalization", "InstanceNormalization", "GroupNormalization"])
def test_the_deviation_of_a_normalisation_counts_as_constant(op):
    """Ali et al. 2022, section 3.3, with a scale: R_i = sum_j x_i (1_ij - 1/N) s_j / deviation R_j / y_j."""
    x, cotangent = drawn(2, 4, 3, 2), drawn(2, 4, 3, 2)
    size = {"LayerNormalization": (3, 2), "InstanceNormalization": (4,), "GroupNormalization": (2,)}[op]
    scale, bias = drawn(*size), drawn(*size)
    attributes = {"LayerNormalization": {"axis": 2}, "GroupNormalization": {"num_groups": 2}}.get(op, {})
    nodes = [node(op, ["x", "scale", "bias"], ["y"], **attributes)]
    model = opened(nodes, [4, 3, 2], [4, 3, 2], {"scale": scale, "bias": bias})
    y, found, labels = relevance(model, x, cotangent)
    # All three as groups of numbers (N, groups, size).
    grouped = x.reshape(2, 2 if op == "GroupNormalization" else 4, -1)
    by = {"LayerNormalization": scale.ravel()[None, None], "InstanceNormalization": scale[None, :, None]}.get(
        op, scale[None, :, None]
    )
    centred, inverse = normalised(grouped, (2,))
    shift = bias.ravel()[None, None] if op == "LayerNormalization" else bias[None, :, None]
    assert_close((centred * inverse * by + shift).reshape(y.shape), y, Tolerance.QUOTIENTS)
    share = cotangent.reshape(grouped.shape) * by * inverse
    expected = np.zeros(grouped.shape)
    size = grouped.shape[2]
    for i in range(size):
        for j in range(size):
            expected[..., i] += grouped[..., i] * ((i == j) - 1 / size) * share[..., j]
    assert_close(found.reshape(grouped.shape), expected, Tolerance.QUOTIENTS)
    assert labels == ()


def test_a_layer_normalisation_written_out_is_the_same():
    """As exporters of older opsets write it; no relevance goes to the deviation."""
    written = [
        node("ReduceMean", ["x", "last"], ["m"]), node("Sub", ["x", "m"], ["c"]), node("Pow", ["c", "two"], ["sq"]),
        node("ReduceMean", ["sq", "last"], ["v"]), node("Add", ["v", "tiny"], ["e"]), node("Sqrt", ["e"], ["d"]),
        node("Div", ["c", "d"], ["h"]), node("Mul", ["h", "scale"], ["s"]), node("Add", ["s", "bias"], ["y"]),
    ]  # fmt: skip
    scale, bias, x, cotangent = drawn(6), drawn(6), drawn(3, 6), drawn(3, 6)
    weights = {"scale": scale, "bias": bias, "two": np.float32(2), "tiny": np.float32(1e-5), "last": np.int64([-1])}
    y, found, labels = relevance(opened(written, [6], [6], weights), x, cotangent)
    whole = [node("LayerNormalization", ["x", "scale", "bias"], ["y"])]
    same = relevance(opened(whole, [6], [6], {"scale": scale, "bias": bias}), x, cotangent)
    assert_close(y, same[0], Tolerance.SIGNED_LAYERS)
    assert_close(found, same[1], Tolerance.QUOTIENTS)
    assert labels == ()


def test_a_max_pooling_gives_all_to_the_winner():
    nodes = [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]
    x, cotangent = drawn(2, 3, 4, 4), drawn(2, 3, 2, 2)
    y, found, _ = relevance(opened(nodes, [3, 4, 4], [3, 2, 2]), x, cotangent)
    largest = y.repeat(2, axis=2).repeat(2, axis=3) == x
    assert_close(found, largest * x * cotangent.repeat(2, axis=2).repeat(2, axis=3), Tolerance.SUMS)


def test_limits_by_constants_pass_relevance_and_the_larger_of_two_takes_it():
    x, cotangent = 8 * drawn(3, 9), drawn(3, 9)
    limits = {"zero": np.float32(0), "six": np.float32(6)}
    nodes = [node("Max", ["x", "zero"], ["r"]), node("Min", ["six", "r"], ["y"])]
    _, found, _ = relevance(opened(nodes, [9], [9], limits), x, cotangent)
    assert_close(found, np.clip(x, 0, 6) * cotangent, Tolerance.SUMS)
    nodes = [node("Neg", ["x"], ["n"]), node("Max", ["x", "n"], ["y"])]
    _, found, _ = relevance(opened(nodes, [9], [9]), x, cotangent)
    assert_close(found, np.abs(x) * cotangent, Tolerance.SUMS)


def test_a_sum_is_shared_by_what_each_operand_adds():
    """The constant keeps its share, like a bias."""
    nodes = [
        node("MatMul", ["x", "w"], ["u"]), node("Concat", ["x", "u"], ["both"], axis=1),
        node("Add", ["both", "c"], ["s"]), node("Sub", ["s", "both2"], ["y"]),
    ]  # fmt: skip
    nodes.insert(3, node("Slice", ["both", "start", "stop", "ax", "back"], ["both2"]))
    w, c, x, cotangent = drawn(3, 3), drawn(6), drawn(2, 3), drawn(2, 6)
    weights = {
        "w": w,
        "c": c,
        "start": np.int64([5]),
        "stop": np.int64([-9]),
        "ax": np.int64([1]),
        "back": np.int64([-1]),
    }
    y, found, _ = relevance(opened(nodes, [3], [6], weights), x, cotangent)
    # Linear in x except for c, so relevance is x times the gradient.
    assert_close(y, np.c_[x, x @ w] + c - np.c_[x, x @ w][:, ::-1], Tolerance.SIGNED_LAYERS)
    slope = np.c_[np.eye(3), w] - np.c_[np.eye(3), w][:, ::-1]
    assert_close(found, x * (cotangent @ slope.T), Tolerance.QUOTIENTS)


@pytest.mark.parametrize("by", ["scales", "sizes"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_an_enlarged_map_shares_by_what_each_place_adds(mode, by):
    """Resize omits its second operand, and its third too if sizes are given."""
    given = ["x", "", "scales"] if by == "scales" else ["x", "", "", "sizes"]
    constants = {"scales": np.float32([2, 2])} if by == "scales" else {"sizes": np.int64([4, 6])}
    settings = {"axes": [2, 3], "mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [node("Resize", given, ["y"], **settings)]
    x, cotangent = 1 + np.abs(drawn(2, 3, 2, 3)), drawn(2, 3, 4, 6)
    y, found, _ = relevance(opened(nodes, [3, 2, 3], [3, 4, 6], constants), x, cotangent)
    rows, columns = (
        np.stack([np.interp(np.arange(2 * size) / 2, np.arange(size), each) for each in np.eye(size)], axis=1)
        if mode == "linear" else np.repeat(np.eye(size), 2, axis=0)
        for size in (2, 3)
    )  # fmt: skip
    # Relevance starts with the value times the cotangent, and each place's share of a value is its weight there.
    by_hand = x * np.einsum("ph,qw,ncpq->nchw", rows, columns, cotangent)
    assert_close(y, np.einsum("ph,qw,nchw->ncpq", rows, columns, x), Tolerance.QUOTIENTS)
    assert_close(found, by_hand, Tolerance.QUOTIENTS)


def test_the_box_goes_through_what_normalises_the_input():
    """(x - 0.5) / 0.25 inside the graph with a box of [0, 1] equals feeding its result with a box of [-2, 2]."""
    weights = {"k": drawn(4, 3, 3, 3), "b": drawn(4), "mean": np.float32(0.5), "scale": np.float32(0.25)}
    layer = [node("Conv", ["h", "k", "b"], ["c"]), node("Relu", ["c"], ["r"]), node("GlobalMaxPool", ["r"], ["y"])]
    before = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Sub", ["t", "mean"], ["d"])]
    inside = opened([*before, node("Div", ["d", "scale"], ["h"]), *layer], [5, 5, 3], [4, 1, 1], weights)
    fed = opened([node("Identity", ["x"], ["h"]), *layer], [3, 5, 5], [4, 1, 1], weights)
    x = np.random.default_rng(1).uniform(0, 1, (2, 5, 5, 3)).astype(np.float32)
    moved = np.ascontiguousarray(((x - 0.5) / 0.25).transpose(0, 3, 1, 2))
    ours = xaionnx.explain(inside, x, Lrp(composite="z_box", low=0.0, high=1.0), Target.sum())
    theirs = xaionnx.explain(fed, moved, Lrp(composite="z_box", low=-2.0, high=2.0), Target.sum())
    # The identity and the scaling pass relevance on unchanged; the shift is a bias.
    shares = ours.values.transpose(0, 3, 1, 2) / np.where(np.abs(moved) > 1e-3, (moved + 2) / 4 / (moved / 4), np.nan)
    close = np.isclose(shares, theirs.values, rtol=1e-3, atol=1e-5) | np.isnan(shares)
    assert close.all()


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_what_a_clip_leaves_below_zero_counts(low):
    """z-plus takes max(c w, 0), and c may have both signs after the Clip."""
    w, x = drawn(4, 3), np.float32([[-2, -0.5, 0.25, 3], [0.5, -0.75, -3, 0.1]])
    nodes = [node("Clip", ["x", "low", "one"], ["c"]), node("MatMul", ["c", "w"], ["y"])]
    model = opened(nodes, [4], [3], {"w": w, "low": np.float32(low), "one": np.float32(1)})
    y, found, _ = relevance(model, x, np.ones((2, 3), np.float32), Composite({"*": ZPlus(epsilon=1e-9)}))
    plus = np.maximum(np.clip(x, low, 1)[:, :, None] * w, 0)
    total = plus.sum(axis=1, keepdims=True)
    expected = (plus / np.where(total > 0, total, 1) * y[:, None]).sum(axis=2)
    assert_close(found, expected, Tolerance.SIGNED_LAYERS)


def test_a_composite_is_an_ordered_map():
    nodes = [
        node("MatMul", ["x", "a"], ["first"]), node("Relu", ["first"], ["r"]), node("MatMul", ["r", "b"], ["block/1"]),
        node("Relu", ["block/1"], ["s"]), node("MatMul", ["s", "c"], ["y"]),
    ]  # fmt: skip
    a, b, c = drawn(4, 6), drawn(6, 5), drawn(5, 2)
    model = opened(nodes, [4], [2], {"a": a, "b": b, "c": c})
    x = drawn(3, 4)
    given = Composite({"first": Flat(), "block/*": ZPlus(), "MatMul": Epsilon()})
    found = xaionnx.explain(model, x, Lrp(composite=given), 1).values
    for n in range(3):
        h = x[n] @ a
        r = np.maximum(h, 0)
        z = r @ b
        s = np.maximum(z, 0)
        upper = s * c[:, 1]
        plus = np.maximum(r[:, None] * b, 0)
        middle = (plus / np.maximum(plus.sum(axis=0), 1e-12)) @ upper
        assert_close(found[n], np.full(4, middle.sum() / 4), Tolerance.QUOTIENTS)
    refused = Composite({"block/*": ZPlus()})
    with pytest.raises(UnsupportedModelError, match=r"'MatMul' .* no entry of the composite matches it"):
        xaionnx.explain(model, x, Lrp(composite=refused), 1)


def test_where_relevance_starts():
    """A margin starts with both scores; a probability starts with itself, which the softmax passes to its own logit."""
    w, x = drawn(4, 3), drawn(2, 4)
    model = opened([node("MatMul", ["x", "w"], ["y"])], [4], [3], {"w": w})
    margin = xaionnx.explain(model, x, Lrp(composite="epsilon"), Target.margin(0, 2))
    assert_close(margin.values, x * (w[:, 0] - w[:, 2]), Tolerance.QUOTIENTS)
    assert_close(margin.diagnostics["relevance"], margin.prediction, Tolerance.LAYERS)
    probability = xaionnx.explain(model, x, Lrp(composite="epsilon"), Target.probability(1))
    p, z = softmax(x @ w)[:, 1], (x @ w)[:, 1]
    assert_close(probability.values, x * w[:, 1] * (p / z)[:, None], Tolerance.QUOTIENTS)


def test_what_has_no_rule_is_refused_before_any_work(tmp_path):
    nodes = [node("Det", ["x"], ["y"])]
    model = Model.load(tiny.saved(tmp_path / "net.onnx", nodes, [tensor("x", ["N", 3, 3])], [tensor("y", ["N"])]))
    with pytest.raises(UnsupportedModelError, match="No rule for ONNX op 'Det'"):
        gradient(model, "y", ["x"], table(EPSILON), {"x": drawn(1, 3, 3)})


def test_parameters_are_checked():
    with pytest.raises(UnknownNameError, match=r"No composite named 'epsilon_pluss'. Nearest: epsilon_plus"):
        Lrp(composite="epsilon_pluss")
    with pytest.raises(ParameterError, match=r"alpha - beta = 1. Got alpha 2 and beta 0"):
        AlphaBeta(2, 0)
    with pytest.raises(ParameterError, match="must map names to rules"):
        Composite({"*": 3})


def test_a_box_needs_bounds():
    model = opened([node("MatMul", ["x", "w"], ["y"])], [4], [2], {"w": drawn(4, 2)})
    with pytest.raises(ParameterError, match="needs the least and the greatest value of the input"):
        xaionnx.explain(model, drawn(1, 4), Lrp(composite="epsilon_gamma_box"), 0)


def test_rules_are_data():
    assert Composite({"*": Gamma(0.5)}) == Composite({"*": Gamma(0.5)})
    assert hash(Composite({"*": ZBox((0.0, 1.0), 2.0)})) == hash(Composite({"*": ZBox((0.0, 1.0), 2.0)}))
    assert Composite({"*": Gamma(0.5)}) != Composite({"*": Gamma(0.25)})


def test_attention_weights_that_are_guarded_against_nan_are_gates():
    """Exports of scaled dot-product attention replace rows that see nothing, by a Where after the softmax."""
    guarded = """g (float[N, 4, 6] x) => (float[N, 4, 6] y) <float zero = {0}> {
      t = Transpose <perm = [0, 2, 1]> (x)  p = MatMul(x, t)  s = Softmax(p)  n = IsNaN(s)  w = Where(n, zero, s)
      y = MatMul(w, x) }"""
    plain = guarded.replace("n = IsNaN(s)  w = Where(n, zero, s)", "w = Identity(s)")
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    ones = np.ones_like(x)
    found, wanted = (
        gradient(loaded(text), "y", ["x"], table(Composite({"*": Epsilon()}))) for text in (guarded, plain)
    )
    assert found.approximations == wanted.approximations == ()
    assert_close(found.run({"x": x}, ones)[1]["x"], wanted.run({"x": x}, ones)[1]["x"], Tolerance.QUOTIENTS)
