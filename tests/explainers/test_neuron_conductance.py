"""Neuron conductance against its sums, its integral in float64, and published numbers."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.explainers.nets import U, V, W, layer_of
from tests.tiny import loaded, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._gradients import layer_paths
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.neuron_conductance import NeuronConductance

X = np.float32([[1.0, -0.5, 2.0], [0.3, 1.2, -0.7]])


def test_the_net_of_others():
    """In net A each unit reads x1 + x2 + x3; the first of four is off until the sum passes 10."""
    model = planted.load(planted.net_a())
    for unit, expected in ((0, (0, 90, 0)), (1, (0, 100, 0))):
        for layer in ("linear1", "relu"):
            kind = NeuronConductance(neuron=f"{layer}:{unit}", steps=200, rule="middle")
            assert_close(kind.attribute(model, row(0, 100, 0), 0).values, [expected], Tolerance.SUMS)
    whole = NeuronConductance(neuron="linear2:0", steps=200, rule="middle").attribute(model, row(0, 100, 0), 0)
    assert_close(whole.values, [[0, 390, 0]], Tolerance.SUMS)


@pytest.mark.parametrize("rule", ["gauss_legendre", "trapezoid", "left", "middle", "right"])
def test_the_neurons_of_a_layer_add_up_to_integrated_gradients(curved, rule):
    """For several samples, targets and baselines, with the same points of the path."""
    starts = Baseline.background(np.float32([[0.2, 0.4, -1.0], [0, 0, 0.5]]))
    options = {"steps": 7, "rule": rule, "baseline": starts}
    whole = xaionnx.explain(curved, X, IntegratedGradients(**options), [0, 1]).values
    parts = [xaionnx.explain(curved, X, NeuronConductance(neuron=f"h:{j}", **options), [0, 1]).values for j in range(4)]
    assert_close(np.sum(parts, axis=0), whole, Tolerance.SIGNED_LAYERS)
    assert np.abs(parts[0]).max() > 0.01


def test_the_integral_of_the_paper(curved):
    """dh_j/dx_i = (1 - h_j^2) W_ij, and df/dh_j = sum over m of U_jm (1 - t_m^2) V_mk."""
    j, k, start = 2, 1, np.array([0.2, 0.4, -1.0])
    kind = NeuronConductance(neuron=("h:2"), steps=64, baseline=start.astype(np.float32))
    found = xaionnx.explain(curved, X[:1], kind, k)
    change, total = X[0].astype(np.float64) - start, np.zeros(3)
    shares = (np.arange(2000) + 0.5) / 2000
    for share in shares:
        h = layer_of(start + share * change)
        t = np.tanh(h @ U.astype(np.float64))
        slope = (U[j].astype(np.float64) * (1 - t**2)) @ V[:, k].astype(np.float64)
        total += slope * (1 - h[j] ** 2) * W[:, j].astype(np.float64) * change / len(shares)
    np.testing.assert_allclose(found.values[0], total, rtol=1e-4)


def test_the_elements_of_the_input_add_up_to_the_conductance_of_the_unit(curved):
    units = xaionnx.explain(curved, X, Conductance(layer="h", steps=500), 0).values
    for j in range(4):
        found = xaionnx.explain(curved, X, NeuronConductance(neuron=Target.neuron("h", j)), 0)
        np.testing.assert_allclose(found.values.sum(axis=1), units[:, j], rtol=1e-3, atol=1e-5)
        assert found.diagnostics["neuron"] == [f"h[{j}]"] * 2


def test_what_goes_around_the_unit_is_left_out():
    """In y = x h + 3 x with h = x^2 the unit h carries the integral of x dh = 2 x^3 / 3, at x = 3 from 0."""
    model = loaded(
        """g (float[N, 1] x) => (float[N, 1] y) {
        h = Mul(x, x)  p = Mul(x, h)  c = Constant<value = float[1] {3}>()  q = Mul(x, c)  y = Add(p, q) }"""
    )
    found = xaionnx.explain(model, row(3), NeuronConductance(neuron="h:0"), 0)
    assert_close(found.values, [[18]], Tolerance.SUMS)


def test_the_default_is_the_most_active_element_of_the_default_layer(digits):
    digit = np.random.default_rng(0).uniform(0, 1, size=(2, 1, 28, 28)).astype(np.float32)
    found = xaionnx.explain(digits, digit, NeuronConductance(steps=4), 3)
    layer = Conductance(steps=1).attribute(digits, digit, 3).provenance["layer"]["name"]
    held = digits.with_outputs([layer]).run({digits.input().name: digit}, [layer])[layer]
    for n in range(2):
        place = ", ".join(str(int(i)) for i in np.unravel_index(held[n].argmax(), held[n].shape))
        assert found.diagnostics["neuron"][n] == f"{layer}[{place}]"
        alone = xaionnx.explain(digits, digit[n : n + 1], NeuronConductance(steps=4, neuron=f"{layer}:{place}"), 3)
        assert_close(alone.values[0], found.values[n], Tolerance.DEEP)
    assert found.provenance["parameters"]["neuron"]["output"] == layer


def test_several_inputs(curved):
    model = planted.load(planted.net_b(two_images=True))
    half = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) / 2
    found = NeuronConductance(neuron="relu1:0,1,1").attribute(model, {"x": half, "x2": half}, 0)
    one = NeuronConductance(neuron="relu1:0,1,1").attribute(planted.load(planted.net_b()), 2 * half, 0)
    for name in ("x", "x2"):
        assert_close(found.values[name], one.values / 2, Tolerance.SUMS)


def test_the_path_is_walked_in_pieces(curved, monkeypatch):
    whole = xaionnx.explain(curved, X, NeuronConductance(neuron="h:1", steps=9), [0, 1])
    monkeypatch.setattr(layer_paths, "_PIECE", 40)
    parts = xaionnx.explain(curved, X, NeuronConductance(neuron="h:1", steps=9), [0, 1])
    assert_close(parts.values, whole.values, Tolerance.SIGNED_LAYERS)


def test_finite_differences_and_tokens(curved):
    built = xaionnx.explain(curved, X, NeuronConductance(neuron="h:1", steps=8), 0)
    found = xaionnx.explain(curved, X, NeuronConductance(neuron="h:1", steps=8, gradient="finite_differences"), 0)
    np.testing.assert_allclose(found.values, built.values, rtol=0.02, atol=1e-3)
    model = planted.load(planted.attending())
    x = np.random.default_rng(0).normal(size=(1, *model.input().shape[1:])).astype(np.float32)
    assert np.isfinite(xaionnx.explain(model, x, NeuronConductance(steps=4), 0).values).all()


def test_the_units_of_a_layer_over_tokens_add_up_to_integrated_gradients():
    """The path runs in the embedding of tokens, and values are those of the embedding."""
    rng = np.random.default_rng(2)
    model = loaded(
        """g (int64[N, 4] ids) => (float[N, 2] y) {
        e = Gather(E, ids)  a = MatMul(e, w)  h = Tanh(a)
        m = ReduceMean<axes = [1], keepdims = 0>(h)  y = MatMul(m, v) }""",
        E=rng.normal(size=(7, 3)), w=rng.normal(size=(3, 2)), v=rng.normal(size=(2, 2)),
    )  # fmt: skip
    ids, options = np.array([[1, 5, 3, 6]]), {"steps": 9, "baseline": 2}
    whole = xaionnx.explain(model, ids, IntegratedGradients(**options), 0)
    parts = [
        xaionnx.explain(model, ids, NeuronConductance(neuron=f"h:{token},{unit}", **options), 0).values
        for token in range(4)
        for unit in range(2)
    ]
    assert whole.values.shape == (1, 4, 3)
    assert_close(np.sum(parts, axis=0), whole.values, Tolerance.SIGNED_LAYERS)
    # A unit of one token reads that token alone.
    assert (parts[0][0, 1:] == 0).all()


def test_the_explained_output_as_the_neuron_is_integrated_gradients(curved):
    found = xaionnx.explain(curved, X, NeuronConductance(neuron="y:0", steps=9), [0, 1])
    assert_close(
        found.values[0], xaionnx.explain(curved, X, IntegratedGradients(steps=9), 0).values, Tolerance.ORDER_ONE
    )
    assert (found.values[1] == 0).all()


@pytest.mark.parametrize("neuron", ["h", "h:", "h:a", ":1"])
def test_a_text_that_names_no_element_is_refused(neuron):
    with pytest.raises(ParameterError, match="'neuron' parameter of NeuronConductance must have the form TENSOR:I,J"):
        NeuronConductance(neuron=neuron)


def test_what_is_no_neuron_is_refused(curved):
    with pytest.raises(ParameterError, match=r"must be a Target such as .* Got 3 instead"):
        NeuronConductance(neuron=3)
    with pytest.raises(ParameterError, match="must be one element of 'h', but this is sum of h"):
        xaionnx.explain(curved, X, NeuronConductance(neuron=Target.sum(output="h")), 0)
    with pytest.raises(ParameterError, match="must be inside the model, but 'x' is its input"):
        xaionnx.explain(curved, X, NeuronConductance(neuron="x:0"), 0)
    with pytest.raises(ParameterError, match=r"one index for each axis of 'h' after the batch, \(4,\)"):
        xaionnx.explain(curved, X, NeuronConductance(neuron="h:9"), 0)
    forest = Model.load("models/german_credit_forest.onnx")
    with pytest.raises(UnsupportedModelError, match=r"Nothing lies between|No rule"):
        xaionnx.explain(forest, np.zeros((1, 20), np.float32), "neuron_conductance")


def test_neurons_of_a_tensor_whose_samples_are_second():
    text = """g (float[N, 3] x) => (float[N, 1] y) {
      a = MatMul(x, W)  t = Transpose<perm = [1, 0]>(a)  h = Tanh(t)
      b = Transpose<perm = [1, 0]>(h)  y = MatMul(b, v) }"""
    model = loaded(text, W=W, v=np.ones((4, 1), np.float32))
    parts = [xaionnx.explain(model, X, NeuronConductance(neuron=f"h:{j}", steps=64), 0).values for j in range(4)]
    whole = xaionnx.explain(model, X, IntegratedGradients(steps=64), 0).values
    assert_close(np.sum(parts, axis=0), whole, Tolerance.SIGNED_LAYERS)
    assert np.abs(parts[0]).max() > 0.01
