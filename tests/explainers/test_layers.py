"""Explanations at layers against published numbers, closed forms and slow oracles of small nets in float64."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import node, tensor
from xaionnx import Baseline, Model, Target
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers import _inner_paths
from xaionnx.explainers._layer import Axes
from xaionnx.explainers._route import Route
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.expected_gradients import ExpectedGradients
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.internal_influence import InternalInfluence
from xaionnx.explainers.layer_activation import LayerActivation
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.resolution import resolve

RNG = np.random.default_rng(11)
RULES = ("trapezoid", "left", "middle", "right")


def parsed(text, **weights):
    """A model from its text, with weights by name."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items())
    onnx.checker.check_model(proto)
    return planted.load(proto)


def matrix(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def row(*numbers):
    return np.array([numbers], dtype=np.float32)


# A net of two branches with curved parts: f = v . tanh(U h), h = tanh(W x).
W, U, V = matrix(3, 4), matrix(4, 5), matrix(5, 2)
CURVED = (
    "(float[N, 3] x) => (float[N, 2] y) { a = MatMul(x, W) h = Tanh(a) b = MatMul(h, U) c = Tanh(b) y = MatMul(c, V) }"
)


@pytest.fixture(scope="module")
def curved():
    return parsed(CURVED, W=W, U=U, V=V)


def layer_of(x):
    return np.tanh(x @ W.astype(np.float64))


def target_of(h, k):
    return (np.tanh(h @ U.astype(np.float64)) @ V.astype(np.float64))[..., k]


def slopes_of(h, k, step=1e-6):
    """Central differences of the target at the layer, (places, 4)."""
    moves = step * np.eye(h.shape[1])
    return np.stack([(target_of(h + m, k) - target_of(h - m, k)) / (2 * step) for m in moves], axis=1)


@pytest.mark.parametrize("rule", RULES)
def test_conductance_of_the_net_of_others(rule):
    model = planted.load(planted.net_a())
    for layer, expected in (("linear1", (90, 100, 100, 100)), ("relu", (90, 100, 100, 100)), ("linear2", (390, 0))):
        found = xaionnx.explain(model, row(0, 100, 0), Conductance(layer=layer, steps=200, rule=rule), 0)
        # The kink lies at an edge of a step; where the slope is taken there, half of a change of 0.5 may go astray.
        np.testing.assert_allclose(found.values, [expected], atol=0.5)
        assert abs(found.diagnostics["completeness_gap"][0]) <= 0.5
        np.testing.assert_allclose(found.prediction - found.baseline_prediction, [390], rtol=1e-6)
    middle = xaionnx.explain(model, row(0, 100, 0), Conductance(layer="linear1", steps=200, rule="middle"), 0)
    np.testing.assert_allclose(middle.values, [(90, 100, 100, 100)], rtol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 5])
def test_conductance_against_its_sum_in_float64(curved, rule, steps):
    x, start = np.array([1.0, -0.5, 2.0]), np.array([0.2, 0.4, -1.0])
    found = xaionnx.explain(
        curved,
        x[None].astype(np.float32),
        Conductance(layer="h", rule=rule, steps=steps, baseline=start.astype(np.float32)),
        [0, 1],
    )
    edges = np.arange(steps + 1) / steps
    change = np.diff(layer_of(start + edges[:, None] * (x - start)), axis=0)
    for k in range(2):
        at = {"left": [edges[:-1]], "right": [edges[1:]], "middle": [(edges[1:] + edges[:-1]) / 2],
              "trapezoid": [edges[:-1], edges[1:]]}[rule]  # fmt: skip
        slopes = np.mean([slopes_of(layer_of(start + a[:, None] * (x - start)), k) for a in at], axis=0)
        np.testing.assert_allclose(found.values[k, 0], (slopes * change).sum(axis=0), rtol=2e-4, atol=1e-5)
    gap = found.values[:, 0].sum(axis=1) - (found.prediction - found.baseline_prediction)[:, 0]
    np.testing.assert_allclose(found.diagnostics["completeness_gap"], gap[None], atol=1e-5)
    np.testing.assert_allclose(
        found.diagnostics["relative_gap"],
        np.abs(gap / (found.prediction - found.baseline_prediction)[:, 0])[None],
        rtol=1e-2, atol=1e-5,
    )  # fmt: skip


def test_conductance_is_the_integral_of_the_paper(curved):
    """The sum over inputs of (x_i - b_i) times the integral of df/dh_j dh_j/dx_i, with both slopes from differences."""
    x = np.array([1.0, -0.5, 2.0])
    share = (np.arange(4000) + 0.5) / 4000
    path = share[:, None] * x
    h = layer_of(path)
    inner = np.stack([(layer_of(path + m) - layer_of(path - m)) / 2e-6 for m in 1e-6 * np.eye(3)])  # (i, places, j)
    expected = np.einsum("i,pj,ipj->j", x, slopes_of(h, 1), inner) / len(share)
    found = xaionnx.explain(curved, x[None].astype(np.float32), Conductance(layer="h", steps=256), 1)
    np.testing.assert_allclose(found.values[0], expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("rule", "steps"), [("gauss_legendre", 6), ("trapezoid", 3), ("left", 4), ("middle", 5)])
def test_internal_influence_against_its_mean_in_float64(curved, rule, steps):
    x, start = np.array([1.0, -0.5, 2.0]), np.array([0.2, 0.4, -1.0])
    found = xaionnx.explain(
        curved,
        x[None].astype(np.float32),
        InternalInfluence(layer="h", rule=rule, steps=steps, baseline=start.astype(np.float32)),
        [0, 1],
    )
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    share, weight = {
        "gauss_legendre": ((nodes + 1) / 2, weights / 2),
        "trapezoid": (np.array([0, 0.5, 1]), np.array([0.25, 0.5, 0.25])),
        "left": (np.arange(steps) / steps, np.full(steps, 1 / steps)),
        "middle": ((np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)),
    }[rule]
    for k in range(2):
        slopes = slopes_of(layer_of(start + share[:, None] * (x - start)), k)
        np.testing.assert_allclose(found.values[k, 0], weight @ slopes, rtol=2e-4, atol=1e-5)
    assert found.diagnostics["gradients"] == [2 * steps]
    # The prediction, the layer at the input, the layer at each point of the path, a gradient for each of two targets.
    assert found.diagnostics["evaluations"] == [1 + 1 + steps + 2 * steps]


@pytest.mark.parametrize("rule", RULES)
def test_a_path_that_does_not_fit_into_memory_is_walked_in_pieces(monkeypatch, curved, rule):
    x = matrix(2, 3)
    whole = Conductance(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    mean = InternalInfluence(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    monkeypatch.setattr(_inner_paths, "_PIECE", 50)  # two or three steps of 4 + 3 numbers
    pieces = Conductance(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    np.testing.assert_allclose(pieces.values, whole.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pieces.baseline_prediction, whole.baseline_prediction, rtol=1e-6)
    assert pieces.diagnostics["evaluations"] > whole.diagnostics["evaluations"]  # shared edges are looked at twice
    again = InternalInfluence(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    np.testing.assert_allclose(again.values, mean.values, rtol=1e-4, atol=1e-6)


def test_several_baselines_are_averaged(curved):
    x, rows = row(1, -0.5, 2), matrix(3, 3)
    for kind in (Conductance, InternalInfluence, IntegratedGradients):
        together = xaionnx.explain(curved, x, kind(layer="h", baseline=Baseline.background(rows)), 0)
        singles = [xaionnx.explain(curved, x, kind(layer="h", baseline=one), 0).values for one in rows]
        np.testing.assert_allclose(together.values, np.mean(singles, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [Saliency, InputXGradient, IntegratedGradients, ExpectedGradients, SmoothGrad],
)
def test_the_input_named_as_a_layer_is_no_layer(curved, kind):
    x = matrix(2, 3)
    plain, named = kind().attribute(curved, x, 0), kind(layer="x").attribute(curved, x, 0)
    np.testing.assert_array_equal(plain.values, named.values)
    assert plain.diagnostics["evaluations"] == named.diagnostics["evaluations"]
    assert "layer" not in named.provenance


def test_conductance_and_influence_of_the_input_are_integrated_gradients(curved):
    x = matrix(2, 3)
    whole = IntegratedGradients(rule="trapezoid", steps=9).attribute(curved, x, 0)
    np.testing.assert_allclose(Conductance(layer="x", steps=8).attribute(curved, x, 0).values, whole.values, rtol=1e-4)
    mean = InternalInfluence(layer="x", rule="trapezoid", steps=9).attribute(curved, x, 0)
    np.testing.assert_allclose(mean.values * x, whole.values, rtol=1e-4)
    np.testing.assert_array_equal(LayerActivation(layer="x").attribute(curved, x).values, x)


def test_the_gradient_methods_at_a_layer(curved):
    x = matrix(2, 3)
    h = layer_of(x)
    slopes = slopes_of(h, 1)
    np.testing.assert_allclose(Saliency(layer="h", absolute=False).attribute(curved, x, 1).values, slopes, rtol=1e-3)
    np.testing.assert_allclose(InputXGradient(layer="h").attribute(curved, x, 1).values, slopes * h, rtol=1e-3)
    np.testing.assert_allclose(LayerActivation(layer="h").attribute(curved, x, 1).values, h, rtol=1e-5)
    # A straight path at the layer, from what it holds at the baseline of the input.
    start = np.array([0.3, -0.3, 1.0])
    found = IntegratedGradients(layer="h", steps=24, baseline=start.astype(np.float32)).attribute(curved, x, 1)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    h0 = layer_of(start)
    for n in range(2):
        along = slopes_of(h0 + (nodes[:, None] + 1) / 2 * (h[n] - h0), 1)
        np.testing.assert_allclose(found.values[n], (h[n] - h0) * (weights / 2 @ along), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.baseline_prediction, [target_of(h0, 1)] * 2, rtol=1e-4)
    expected = ExpectedGradients(layer="h", draws=64, baseline=start.astype(np.float32)).attribute(curved, x, 1)
    assert (np.abs(expected.values - found.values) < 4 * expected.standard_error).all()


def test_noise_stays_at_the_input_and_is_lifted_to_the_layer():
    """h = x^2, y = h^2: the gradient at the layer is 2 (x + e)^2, whose mean is 2 (x^2 + sigma^2)."""
    model = parsed("(float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  y = Mul(h, h) }")
    x, noise = np.array([1.0, 3.0]), 0.1
    found = SmoothGrad(layer="h", noise=noise, draws=3000, seed=1).attribute(
        model, x[None].astype(np.float32), Target.sum()
    )
    assert (np.abs(found.values[0] - 2 * (x**2 + (noise * 2) ** 2)) < 4 * found.standard_error[0]).all()
    assert (found.standard_error[0] < 0.05).all()
    wrapped = SmoothGrad(inner="conductance", layer="h", noise=1e-6, draws=2).attribute(model, row(1, 3), Target.sum())
    plain = Conductance(layer="h").attribute(model, row(1, 3), Target.sum())
    np.testing.assert_allclose(wrapped.values, plain.values, rtol=1e-4)


def test_what_goes_around_the_layer_moves_with_the_path_in_the_input_alone():
    """y = sum of h g, h = P x, g = Q x: along a x the slope at h is a g, so that half of h g flows through h."""
    p, q = matrix(3, 4), matrix(3, 4)
    text = "(float[N, 3] x) => (float[N, 4] y) { h = MatMul(x, P)  g = MatMul(x, Q)  y = Mul(h, g) }"
    model, x = parsed(text, P=p, Q=q), matrix(2, 3)
    h, g = x @ p, x @ q
    conductance = Conductance(layer="h", steps=4).attribute(model, x, Target.sum())
    np.testing.assert_allclose(conductance.values, h * g / 2, rtol=1e-3, atol=1e-5)
    # The gap says that the other half does not lead through the layer.
    np.testing.assert_allclose(
        conductance.diagnostics["completeness_gap"], -(h * g).sum(axis=1) / 2, rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(
        InternalInfluence(layer="h").attribute(model, x, Target.sum()).values, g / 2, rtol=1e-3, atol=1e-5
    )
    # A path at the layer leaves the rest where it is.
    straight = IntegratedGradients(layer="h", steps=4).attribute(model, x, Target.sum())
    np.testing.assert_allclose(straight.values, h * g, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(straight.diagnostics["completeness_gap"], 0, atol=1e-4)


def mobile():
    """A net of separable convolutions with a squeeze, a gate and a residual sum, as mobile nets have; 3 classes."""
    nodes = [
        node("Conv", ["x", "stem"], ["c0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["c0", "zero", "six"], ["r0"]),
        node("Conv", ["r0", "deep"], ["c1"], group=6, pads=[1, 1, 1, 1]),
        node("HardSwish", ["c1"], ["r1"]),
        node("GlobalAveragePool", ["r1"], ["pool"]),
        node("Conv", ["pool", "squeeze"], ["s"]),
        node("Sigmoid", ["s"], ["gate"]),
        node("Mul", ["r1", "gate"], ["gated"]),
        node("Conv", ["gated", "point"], ["c2"]),
        node("Add", ["c2", "r0"], ["sum"]),
        node("GlobalAveragePool", ["sum"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("MatMul", ["flat", "head"], ["y"]),
    ]
    rng = np.random.default_rng(2)
    sizes = {"stem": (6, 3, 3, 3), "deep": (6, 1, 3, 3), "squeeze": (6, 6, 1, 1), "point": (6, 6, 1, 1), "head": (6, 3)}
    weights = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    weights |= {"zero": np.float32(0), "six": np.float32(6)}
    return planted.load(tiny.model(nodes, [tensor("x", ["N", 3, 17, 13])], [tensor("y", ["N", 3])], weights))


@pytest.mark.parametrize("layer", ["c0", "r0", "sum", "mean", "flat"])
@pytest.mark.parametrize("kind", [IntegratedGradients, Conductance])
def test_completeness_of_a_mobile_net_where_all_ways_lead_through_the_layer(layer, kind):
    x = np.random.default_rng(3).normal(size=(2, 3, 17, 13)).astype(np.float32)
    model = mobile()
    found = kind(layer=layer, steps=200, baseline=0.1).attribute(model, x, [0, 2])
    start = model.run({"x": np.full_like(x, 0.1)})["y"][:, [0, 2]].T
    change = model.run({"x": x})["y"][:, [0, 2]].T - start
    sums = found.values.reshape(2, 2, -1).sum(axis=2)
    np.testing.assert_allclose(sums, change, atol=0.02 * np.abs(change).max())
    np.testing.assert_allclose(found.baseline_prediction, start, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [
        ("digits_cnn", 8, ["/0/Conv_output_0", "/1/Relu_output_0", "/3/Relu_output_0", "/5/Flatten_output_0"]),
        ("mnist_vit", 28, ["/embed/Conv_output_0", "/blocks/blocks.1/Add_1_output_0", None]),
    ],
)
def test_completeness_of_trained_nets(name, size, layers):
    model = Model.load(f"models/{name}.onnx")
    x = np.random.default_rng(4).random((2, 1, size, size)).astype(np.float32)
    for layer in layers:
        found = [Conductance(layer=layer, steps=96).attribute(model, x)]
        found += [IntegratedGradients(layer=layer, steps=96).attribute(model, x)] if layer else []
        for result in found:
            change = result.prediction - result.baseline_prediction
            sums = result.values.reshape(2, -1).sum(axis=1)
            np.testing.assert_allclose(sums, change, atol=0.02 * np.abs(change).max())
            np.testing.assert_allclose(result.diagnostics["completeness_gap"], sums - change, atol=1e-3)


def test_the_usual_layer():
    """The last map before the pooling; the tokens that enter the last attention; else what feeds the scores."""

    def usual(model, x, target=0):
        feeds = model.check(x)
        return Route.of(model, feeds, resolve(target, model, feeds)).usual()

    assert usual(mobile(), matrix(1, 3, 17, 13)) == "sum"
    assert usual(Model.load("models/efficientnet_lite0.onnx"), matrix(1, 3, 224, 224)) == "/_swish_1/Clip_output_0"
    # The sum behind block 2 of 0 to 3 is what the last block attends to.
    assert usual(Model.load("models/mnist_vit.onnx"), matrix(1, 1, 28, 28)) == "/blocks/blocks.2/Add_1_output_0"
    assert usual(Model.load("models/german_credit_mlp.onnx"), matrix(1, 20)) == "/4/Relu_output_0"
    one = parsed("(float[N, 3] x) => (float[N, 3] y) { y = Tanh(x) }")
    with pytest.raises(UnsupportedModelError, match=r"Nothing lies between the input of .* and 'y'. Explain the input"):
        usual(one, matrix(1, 3))


@pytest.mark.parametrize(
    ("shape", "extent", "tokens", "letters", "grid", "before"),
    [
        ((64, 7, 7), (28, 28), None, "CHW", None, 0),
        ((7, 7, 64), (28, 28), None, "HWC", None, 0),
        ((8, 7, 10), (200, 320), None, "CHW", None, 0),  # 32 pixels each, and what hangs over the border
        ((8, 12, 12), (28, 28), None, "CHW", None, 0),
        ((64, 1, 1), (28, 28), None, "---", None, 0),
        ((4, 50, 7), (28, 28), None, "---", None, 0),
        ((50, 64), (28, 28), None, "TD", (7, 7), 1),
        ((49, 64), (28, 28), None, "TD", (7, 7), 0),
        ((12 * 16, 8), (192, 256), None, "TD", (12, 16), 0),
        ((48, 64), (28, 28), None, "--", None, 0),
        ((12, 64), None, 12, "TD", None, 0),
        ((64, 12), None, 12, "--", None, 0),
        ((10,), (28, 28), None, "F", None, 0),
    ],
)
def test_how_the_axes_of_a_layer_read(shape, extent, tokens, letters, grid, before):
    assert Axes.of(shape, extent, tokens) == Axes(letters, grid, before)


def test_a_record_of_a_layer_survives_its_file(tmp_path):
    model = Model.load("models/mnist_vit.onnx")
    found = Conductance(steps=2).attribute(model, matrix(1, 1, 28, 28))
    assert found.provenance["layer"] == {
        "name": "/blocks/blocks.2/Add_1_output_0", "axes": "TD", "grid": [7, 7], "before": 1,
    }  # fmt: skip
    again = xaionnx.Explanation.load(found.save(tmp_path / "record.npz"))
    assert again.provenance == found.provenance


def test_what_a_layer_holds_is_told_of_a_model_whose_answer_is_a_map():
    model = Model.load("models/selfie_segmentation.onnx")
    x = np.random.default_rng(0).random((1, *model.input().shape[1:])).astype(np.float32)
    found = LayerActivation().attribute(model, x)
    assert found.target.tolist() == [f"sum of {model.output().name}"]
    assert found.provenance["layer"]["axes"] == "CHW"


def test_products_of_attention_are_no_maps():
    """(heads, T, T) of a square picture has the shape of a map, but not its places."""
    model = Model.load("models/mnist_vit.onnx")
    found = LayerActivation(layer="/blocks/blocks.3/Softmax_output_0").attribute(model, matrix(1, 1, 28, 28))
    assert found.provenance["layer"]["axes"] == "---"


# Token models: numbers of tokens are looked up in E, averaged over the tokens, and scored by K.
E, K = matrix(10, 4), matrix(4, 3)
TOKENS = """(int64[N, T] ids) => (float[N, 3] y) {
  held = Gather<axis: int = 0>(E, ids)
  mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(held)
  bent = Tanh(mean)
  y = MatMul(bent, K)
}"""
IDS = np.array([[1, 2, 3, 0, 9], [4, 4, 7, 1, 1]], dtype=np.int64)


@pytest.fixture(scope="module")
def words():
    return parsed(TOKENS, E=E, K=K)


def test_tokens_are_explained_where_they_are_embedded(words):
    mean = E[IDS].mean(axis=1).astype(np.float64)
    slope = ((1 - np.tanh(mean) ** 2) * K[:, 2])[:, None] / 5 * np.ones((1, 5, 1))
    found = Saliency(absolute=False).attribute(words, IDS, 2)
    np.testing.assert_allclose(found.values, slope, rtol=1e-4)
    assert found.provenance["layer"] == {"name": "held", "axes": "TD", "grid": None, "before": 0}
    assert found.provenance["parameters"]["layer"] == "held"
    np.testing.assert_allclose(
        InputXGradient().attribute(words, IDS, 2).values, slope * E[IDS].astype(np.float64), rtol=1e-3, atol=1e-6
    )
    for n in range(2):
        one = Saliency(absolute=False).attribute(words, IDS[n : n + 1], 2)
        np.testing.assert_allclose(one.values[0], found.values[n], rtol=1e-5)


@pytest.mark.parametrize("kind", [IntegratedGradients, Conductance])
def test_a_baseline_of_tokens_is_lifted_through_the_embedding(words, kind):
    """From the padding token 8: what a token owes is its share of the way of the mean, along a curve."""
    found = kind(baseline=8, steps=64, **({"layer": "held"} if kind is Conductance else {})).attribute(words, IDS, 1)
    share = (np.arange(2000) + 0.5) / 2000
    for n in range(2):
        mean, pad = E[IDS[n]].mean(axis=0).astype(np.float64), E[8].astype(np.float64)
        slope = np.mean([(1 - np.tanh(pad + a * (mean - pad)) ** 2) * K[:, 1] for a in share], axis=0)
        np.testing.assert_allclose(found.values[n], (E[IDS[n]] - pad) * slope / 5, rtol=2e-3, atol=1e-5)
        start = np.tanh(pad) @ K[:, 1]
        np.testing.assert_allclose(found.baseline_prediction[n], start, rtol=1e-4)
        np.testing.assert_allclose(found.values[n].sum(), found.prediction[n] - start, rtol=1e-2, atol=1e-4)


def test_a_layer_behind_the_embedding_and_noise_in_it(words):
    mean = E[IDS].mean(axis=1).astype(np.float64)
    np.testing.assert_allclose(
        Saliency(layer="mean", absolute=False).attribute(words, IDS, 0).values,
        (1 - np.tanh(mean) ** 2) * K[:, 0],
        rtol=1e-4,
    )
    # The path runs in the embedding, of which the mean over tokens is a straight line too.
    path = Conductance(layer="mean", baseline=8, steps=64).attribute(words, IDS, 0)
    whole = IntegratedGradients(layer="mean", baseline=8, steps=64).attribute(words, IDS, 0)
    np.testing.assert_allclose(path.values, whole.values, rtol=2e-3, atol=1e-5)
    noisy = SmoothGrad(noise=1e-4, draws=4).attribute(words, IDS, 0)
    np.testing.assert_allclose(noisy.values, Saliency(absolute=False).attribute(words, IDS, 0).values, rtol=1e-2)
    assert LayerActivation(layer="held").attribute(words, IDS).values.tolist() == E[IDS].tolist()


def test_the_ids_reach_the_embedding_through_casts_and_beside_positions_and_a_mask():
    text = """(int64[N, 4] ids, int64[N, 4] places, float[N, 4] mask) => (float[N, 3] y) {
      narrow = Cast<to: int = 6>(ids)
      lines = Reshape(narrow, flat)
      looked = Gather<axis: int = 0>(E, lines)
      held = Reshape(looked, block)
      where = Gather<axis: int = 0>(P, places)
      both = Add(held, where)
      column = Unsqueeze(mask, last)
      masked = Mul(both, column)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(masked)
      y = MatMul(mean, K)
    }"""
    model = parsed(text, E=E, P=matrix(4, 4), K=K, last=np.array([2]), flat=np.array([0, 4]), block=np.array([0, 4, 4]))
    feeds = {
        "ids": IDS[:, :4],
        "places": np.tile(np.arange(4), (2, 1)),
        "mask": np.float32([[1, 1, 1, 0], [1, 1, 0, 0]]),
    }
    found = Saliency(absolute=False).attribute(model, feeds, 2)
    assert found.provenance["layer"]["name"] == "looked"
    np.testing.assert_allclose(found.values, feeds["mask"][:, :, None] * K[:, 2] / 4, rtol=1e-4)
    path = IntegratedGradients(baseline=8).attribute(model, feeds, 2)
    np.testing.assert_allclose(
        path.values, feeds["mask"][:, :, None] * (E[feeds["ids"]] - E[8]) * K[:, 2] / 4, rtol=1e-3, atol=1e-6
    )


def test_one_hot_tokens_are_explained_where_they_are_spread():
    text = """(int64[N, 5] ids) => (float[N, 3] y) {
      spread = OneHot<axis: int = -1>(ids, depth, ends)
      held = MatMul(spread, E)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(held)
      y = MatMul(mean, K)
    }"""
    model = parsed(text, E=E, K=K, depth=np.array(10), ends=np.float32([0, 1]))
    found = InputXGradient().attribute(model, IDS, 0)
    assert found.provenance["layer"]["name"] == "spread"
    np.testing.assert_allclose(found.values.sum(axis=-1), E[IDS] @ K[:, 0] / 5, rtol=1e-4, atol=1e-6)


def test_tokens_without_one_embedding_are_refused(words):
    twice = """(int64[N, 5] ids) => (float[N, 3] y) {
      a = Gather<axis: int = 0>(E, ids)  b = Gather<axis: int = 0>(F, ids)  both = Add(a, b)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(both)  y = MatMul(mean, K)
    }"""
    model = parsed(twice, E=E, F=matrix(10, 4), K=K)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is looked up several times: a, b. Choose"):
        Saliency().attribute(model, IDS, 0)
    joined = Saliency(layer="both", absolute=False).attribute(model, IDS, 0)
    np.testing.assert_allclose(joined.values[0, 0], K[:, 0] / 5, rtol=1e-4)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is \(N, T\) int64, which has no gradient"):
        Saliency(layer="ids").attribute(words, IDS, 0)


def test_layers_that_cannot_be_explained():
    text = """(float[N, 4] x) => (float[N, 2] y, float[N, 4] z) {
      h = MatMul(x, W)  y = Tanh(h)  z = Exp(x)  turned = Transpose(h)  back = Transpose(turned)
      count = Shape(x)  whole = Cast<to: int = 7>(h)
    }"""
    model, x = parsed(text, W=matrix(4, 2)), matrix(3, 4)

    def refused(layer, message, kind=Saliency):
        with pytest.raises(UnsupportedModelError, match=message):
            kind(layer=layer).attribute(model, x, 0)

    refused("z", r"The target is read from 'y' of .*, which does not depend on layer 'z'. Name a layer between")
    refused("y", r"The target is read from 'y' of .*, which is that layer. Name a layer between the input and 'y'.")
    refused("turned", r"Layer 'turned' of .* has no batch axis in front: it holds \(6, 1\) for 3 samples")
    refused("whole", r"Layer 'whole' of .* holds int64, not floats. Name a layer of floats.")
    # What it holds is told of any layer.
    np.testing.assert_allclose(LayerActivation(layer="z").attribute(model, x, 0).values, np.exp(x), rtol=1e-5)
    with pytest.raises(UnknownNameError, match=r"No layer named 'hh'\. Nearest: h"):
        Conductance(layer="hh").attribute(model, x, 0)
    with pytest.raises(ParameterError, match="The 'layer' parameter of Saliency must be a str or None"):
        Saliency(layer=3)


def test_layers_of_a_model_for_one_sample_at_a_time(curved):
    """A file of fixed batch 1 answers as the one of free batch, and so does one whose sizes are free."""
    fixed = parsed(CURVED.replace("N", "1"), W=W, U=U, V=V)
    x = matrix(3, 3)
    for kind in (Saliency(layer="h"), IntegratedGradients(layer="h"), Conductance(layer="h")):
        np.testing.assert_allclose(
            kind.attribute(fixed, x, 0).values, kind.attribute(curved, x, 0).values, rtol=1e-4, atol=1e-6
        )
    free = planted.load(
        tiny.model(
            [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("GlobalAveragePool", ["r"], ["m"]),
             node("Flatten", ["m"], ["y"])],
            [tensor("x", ["N", 1, "H", "W"])], [tensor("y", ["N", 2])], {"w": matrix(2, 1, 3, 3)},
        )
    )  # fmt: skip
    for size in (6, 9):
        found = Saliency(layer="c").attribute(free, matrix(2, 1, size, size), 1)
        held = LayerActivation(layer="c").attribute(free, matrix(1, 1, size, size)).values
        assert held.shape == (1, 2, size - 2, size - 2)
        assert set(np.unique(found.values)) <= {0, np.float32(1 / (size - 2) ** 2)}
        assert (found.values[:, 0] == 0).all()


def test_neurons_and_channels_as_targets_of_layers(curved):
    x = matrix(2, 3)
    found = Saliency(layer="a", absolute=False).attribute(curved, x, Target.neuron("h", 2))
    expected = np.zeros((2, 4))
    expected[:, 2] = 1 - layer_of(x)[:, 2] ** 2
    np.testing.assert_allclose(found.values, expected, rtol=1e-3, atol=1e-6)
    assert found.target.tolist() == ["h[2]", "h[2]"]
    both = Saliency(layer="a", absolute=False).attribute(curved, x, [Target.neuron("h", 2), Target.index(1)])
    np.testing.assert_allclose(both.values[0], found.values, rtol=1e-5)
    np.testing.assert_allclose(both.values[1], slopes_of(layer_of(x), 1) * (1 - layer_of(x) ** 2), rtol=1e-3, atol=1e-5)


def test_activation_layers_hold_their_dtype():
    half = TensorProto.FLOAT16
    nodes = [node("Cast", ["x"], ["n"], to=half), node("Relu", ["n"], ["h"]), node("Cast", ["h"], ["y"], to=1)]
    model = planted.load(tiny.model(nodes, [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]))
    assert LayerActivation(layer="h").attribute(model, row(1, -1, 2)).values.dtype == np.float16
    assert Saliency(layer="h").attribute(model, row(1, -1, 2), 0).values.tolist() == [[1, 0, 0]]
