"""Conductance and internal influence (paths of the input, attributed at a layer) against published numbers and sums."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.explainers.nets import layer_of, mobile, slopes_of
from tests.tiny import loaded, normal, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, Target
from xaionnx.explainers._gradients import layer_paths
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.internal_influence import InternalInfluence
from xaionnx.explainers.layer_activation import LayerActivation

RULES = ("trapezoid", "left", "middle", "right")


@pytest.mark.parametrize("rule", RULES)
def test_conductance_of_the_net_of_others(rule):
    model = planted.load(planted.net_a())
    for layer, expected in (("linear1", (90, 100, 100, 100)), ("relu", (90, 100, 100, 100)), ("linear2", (390, 0))):
        found = xaionnx.explain(model, row(0, 100, 0), Conductance(layer=layer, steps=200, rule=rule), 0)
        # The kink lies on the edge of a step; a gradient taken there may miss half of a change of 0.5. The error is 0.5
        # exactly.
        np.testing.assert_allclose(found.values, [expected], atol=0.501)
        assert abs(found.diagnostics["completeness_gap"][0]) <= 0.501
        assert_close(found.prediction - found.baseline_prediction, [390], Tolerance.OPERATIONS)
    middle = xaionnx.explain(model, row(0, 100, 0), Conductance(layer="linear1", steps=200, rule="middle"), 0)
    assert_close(middle.values, [(90, 100, 100, 100)], Tolerance.SUMS)


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
        assert_close(found.values[k, 0], (slopes * change).sum(axis=0), Tolerance.SIGNED_LAYERS)
    gap = found.values[:, 0].sum(axis=1) - (found.prediction - found.baseline_prediction)[:, 0]
    assert_close(found.diagnostics["completeness_gap"], gap[None], Tolerance.ORDER_ONE)
    change = (found.prediction - found.baseline_prediction)[:, 0]
    # Gaps of size 1e-5 are only rounding.
    assert_close(found.diagnostics["relative_gap"], np.abs(gap / change)[None], Tolerance.QUOTIENTS)


def test_conductance_is_the_integral_of_the_paper(curved):
    """The sum over inputs of (x_i - b_i) times the integral of df/dh_j dh_j/dx_i, with finite differences."""
    x = np.array([1.0, -0.5, 2.0])
    share = (np.arange(4000) + 0.5) / 4000
    path = share[:, None] * x
    h = layer_of(path)
    inner = np.stack([(layer_of(path + m) - layer_of(path - m)) / 2e-6 for m in 1e-6 * np.eye(3)])  # (i, points, j)
    expected = np.einsum("i,pj,ipj->j", x, slopes_of(h, 1), inner) / len(share)
    found = xaionnx.explain(curved, x[None].astype(np.float32), Conductance(layer="h", steps=256), 1)
    assert_close(found.values[0], expected, Tolerance.QUOTIENTS)


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
        assert_close(found.values[k, 0], weight @ slopes, Tolerance.SIGNED_LAYERS)
    assert found.diagnostics["gradients"] == [2 * steps]
    # The prediction, the layer at the input, and at each point of the path the layer and the part after it.
    assert found.diagnostics["evaluations"] == [1 + 1 + steps + steps]


@pytest.mark.parametrize("rule", RULES)
def test_a_path_that_does_not_fit_into_memory_is_walked_in_pieces(monkeypatch, curved, rule):
    x = normal(2, 3)
    whole = Conductance(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    mean = InternalInfluence(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    monkeypatch.setattr(layer_paths, "_PIECE", 50)  # two or three steps of 4 + 3 numbers
    pieces = Conductance(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    assert_close(pieces.values, whole.values, Tolerance.SIGNED_LAYERS)
    assert_close(pieces.baseline_prediction, whole.baseline_prediction, Tolerance.OPERATIONS)
    assert pieces.diagnostics["evaluations"] > whole.diagnostics["evaluations"]  # shared edges are evaluated twice
    again = InternalInfluence(layer="h", steps=7, rule=rule).attribute(curved, x, [0, 1])
    assert_close(again.values, mean.values, Tolerance.SIGNED_LAYERS)


def test_several_baselines_are_averaged(curved):
    x, rows = row(1, -0.5, 2), normal(3, 3)
    for kind in (Conductance, InternalInfluence, IntegratedGradients):
        together = xaionnx.explain(curved, x, kind(layer="h", baseline=Baseline.background(rows)), 0)
        singles = [xaionnx.explain(curved, x, kind(layer="h", baseline=one), 0).values for one in rows]
        assert_close(together.values, np.mean(singles, axis=0), Tolerance.SIGNED_LAYERS)


def test_conductance_and_influence_of_the_input_are_integrated_gradients(curved):
    x = normal(2, 3)
    whole = IntegratedGradients(rule="trapezoid", steps=9).attribute(curved, x, 0)
    assert_close(Conductance(layer="x", steps=8).attribute(curved, x, 0).values, whole.values, Tolerance.LAYERS)
    mean = InternalInfluence(layer="x", rule="trapezoid", steps=9).attribute(curved, x, 0)
    assert_close(mean.values * x, whole.values, Tolerance.LAYERS)
    np.testing.assert_array_equal(LayerActivation(layer="x").attribute(curved, x).values, x)


def test_what_goes_around_the_layer_moves_with_the_path_in_the_input_alone():
    """y = sum of h g, h = P x, g = Q x: along a x the gradient at h is a g, so that half of h g flows through h."""
    p, q = normal(3, 4), normal(3, 4, seed=1)
    text = "g (float[N, 3] x) => (float[N, 4] y) { h = MatMul(x, P)  g = MatMul(x, Q)  y = Mul(h, g) }"
    model, x = loaded(text, P=p, Q=q), normal(2, 3)
    h, g = x @ p, x @ q
    conductance = Conductance(layer="h", steps=4).attribute(model, x, Target.sum())
    assert_close(conductance.values, h * g / 2, Tolerance.QUOTIENTS)
    # The gap shows that the other half bypasses the layer.
    assert_close(conductance.diagnostics["completeness_gap"], -(h * g).sum(axis=1) / 2, Tolerance.QUOTIENTS)
    assert_close(InternalInfluence(layer="h").attribute(model, x, Target.sum()).values, g / 2, Tolerance.QUOTIENTS)
    # A path at the layer keeps the rest fixed.
    straight = IntegratedGradients(layer="h", steps=4).attribute(model, x, Target.sum())
    assert_close(straight.values, h * g, Tolerance.QUOTIENTS)
    assert_close(straight.diagnostics["completeness_gap"], 0, Tolerance.DEEP)


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
    assert_close(found.baseline_prediction, start, Tolerance.LAYERS)


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


@pytest.mark.parametrize("method", ["conductance", "internal_influence", "neuron_conductance"])
def test_the_default_layer_after_tokens_beside_another_input(method):
    """Sizes that only a run tells are measured with the input that bypasses the embedding."""
    text = """g (int64[N, T] ids, float[N, S, 4] memory) => (float[N, 2] y) {
        e = Gather(table, ids)  sh = Shape(memory)  nz = NonZero(sh)  q = Shape(nz)  m = ReduceMax<keepdims = 1>(q)
        sz = Slice(sh, z, m)  r = Reshape(memory, sz)
        t = Transpose<perm = [0, 2, 1]>(r)  s = MatMul(e, t)  a = Softmax(s)  c = MatMul(a, r)
        g1 = Tanh(c)  p = ReduceMean<axes = [1], keepdims = 0>(g1)  y = MatMul(p, w) }"""
    model = loaded(text, table=normal(9, 4), z=np.array([0]), w=normal(4, 2))
    x = {"ids": np.array([[1, 5, 2]]), "memory": normal(1, 6, 4)}
    found = xaionnx.explain(model, x, method, 1)
    arrays = found.values if isinstance(found.values, dict) else {"layer": found.values}
    assert all(np.isfinite(array).all() for array in arrays.values())
    if method == "conductance":
        np.testing.assert_allclose(found.values.sum(), (found.prediction - found.baseline_prediction)[0], rtol=0.05)
