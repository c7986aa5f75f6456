"""Methods by removal at a layer: the same games as on the part of the model after it."""

import numpy as np
import pytest

import xaionnx
from tests.explainers.nets import U, V, layer_of, target_of
from tests.tiny import loaded, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, discovery, parameters
from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.explainers import ByFeatures
from xaionnx.explainers.feature_ablation import FeatureAblation
from xaionnx.explainers.smooth_grad import SmoothGrad

# Of dependence, which explains all samples together, in its own test.
METHODS = [
    name for name in discovery.methods() if issubclass(discovery.method(name), ByFeatures) and name != "dependence"
]
X = np.float32([[1.0, -0.5, 2.0], [0.3, 1.2, -0.7]])


@pytest.fixture(scope="module")
def after():
    """The part of the curved net after its layer h."""
    return loaded("g (float[N, 4] h) => (float[N, 2] y) { b = MatMul(h, U)  c = Tanh(b)  y = MatMul(c, V) }", U=U, V=V)


def small(method, **more):
    kind = discovery.method(method)
    return kind(**{name: value for name, value in {"budget": 300, **more}.items() if name in parameters.declared(kind)})


def test_every_method_with_features_has_a_layer():
    assert {"banzhaf", "exact_shapley", "feature_ablation", "feature_permutation", "kernel_shap", "lime"} <= set(
        METHODS
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"features": np.array([0, 0, 1, 2])}, {"baseline": 0.3}])
def test_a_game_at_a_layer_is_that_of_the_part_after_it(curved, after, method, options):
    h = curved.with_outputs(["h"]).run({"x": X}, ["h"])["h"]
    found = xaionnx.explain(curved, X, small(method, layer="h", **options), [0, 1])
    owed = xaionnx.explain(after, h, small(method, **options), [0, 1])
    assert found.values.shape == (2, 2, 4)
    assert_close(found.values, owed.values, Tolerance.DEEP)
    assert_close(found.feature_values, owed.feature_values, Tolerance.DEEP)
    np.testing.assert_array_equal(found.features, owed.features)
    # The run for the prediction returns the layer too.
    assert found.diagnostics["evaluations"] == owed.diagnostics["evaluations"]
    assert_close(found.prediction, owed.prediction, Tolerance.DEEP)
    assert found.provenance["layer"]["name"] == found.provenance["parameters"]["layer"] == "h"


def test_shapley_values_of_units_add_up_to_what_they_change(curved):
    found = xaionnx.explain(curved, X, "exact_shapley", 0, layer="h")
    change = target_of(layer_of(X), 0) - target_of(np.zeros((2, 4)), 0)
    assert_close(found.values.sum(axis=1), change, Tolerance.SIGNED_LAYERS)


def test_the_input_as_a_layer_changes_nothing(curved):
    plain, named = (xaionnx.explain(curved, X, FeatureAblation(layer=layer), 0) for layer in (None, "x"))
    np.testing.assert_array_equal(plain.values, named.values)
    assert "layer" not in named.provenance


def test_a_skip_connection_keeps_its_values():
    """In y = h + x with h = x^2, removing h leaves x."""
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  y = Add(h, x) }")
    found = xaionnx.explain(model, row(3, 2), "feature_ablation", 0, layer="h")
    np.testing.assert_array_equal(found.values, [[9, 0]])


def test_other_inputs_of_the_part_after_the_layer_are_fed():
    model = loaded("g (float[N, 2] x, float[N, 2] b) => (float[N, 2] y) { h = Mul(x, x)  y = Mul(h, b) }")
    x = {"x": np.float32([[3, 2], [1, 1]]), "b": np.float32([[10, 20], [30, 40]])}
    found = xaionnx.explain(model, x, "feature_ablation", 1, layer="h")
    np.testing.assert_array_equal(found.values, [[0, 80], [0, 40]])


def test_channels_of_maps_and_tokens_are_the_players(digits):
    picture = np.random.default_rng(0).uniform(size=(2, 1, 28, 28)).astype(np.float32)
    found = xaionnx.explain(digits, picture, "feature_ablation", 3, layer="/4/Conv_output_0")
    channels, side = found.values.shape[1:3]
    assert found.feature_values.shape == (2, channels)
    np.testing.assert_array_equal(found.features[0, :, 0, 0], np.arange(channels))
    assert (found.values == found.feature_values.astype(np.float32)[..., None, None]).all()
    held = digits.with_outputs(["/4/Conv_output_0"]).run({digits.input().name: picture}, ["/4/Conv_output_0"])
    assert found.values.shape == held["/4/Conv_output_0"].shape
    by_cell = xaionnx.explain(
        digits, picture, "feature_ablation", 3, layer="/4/Conv_output_0", features=np.arange(side)[:, None] // 4
    )
    assert by_cell.feature_values.shape == (2, -(-side // 4))
    vit = Model.load("models/mnist_vit.onnx")
    layer = xaionnx.explain(vit, picture, "conductance", 3, steps=1).provenance["layer"]["name"]
    found = xaionnx.explain(vit, picture, "feature_ablation", 3, layer=layer)
    assert found.feature_values.shape == (2, found.values.shape[1])


def test_rows_of_the_layer_as_a_background(curved):
    rows = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    found = xaionnx.explain(curved, X, FeatureAblation(layer="h", baseline=Baseline.background(rows)), 0)
    for unit in range(4):
        changed = np.repeat(layer_of(X)[:, None], 3, axis=1)
        changed[:, :, unit] = rows[:, unit]
        drop = target_of(layer_of(X), 0) - target_of(changed, 0).mean(axis=1)
        assert_close(found.values[:, unit], drop, Tolerance.SIGNED_LAYERS)


def test_units_of_noisy_copies(curved):
    near = xaionnx.explain(curved, X, SmoothGrad(inner=FeatureAblation(layer="h"), noise=1e-4, draws=3), 0)
    plain = xaionnx.explain(curved, X, FeatureAblation(layer="h"), 0)
    np.testing.assert_allclose(near.values, plain.values, atol=1e-3)
    passed = xaionnx.explain(curved, X, SmoothGrad(inner="feature_ablation", layer="h", noise=1e-4, draws=3), 0)
    np.testing.assert_array_equal(passed.values, near.values)


def test_a_result_at_a_layer_is_drawn_and_saved(digits, tmp_path):
    picture = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    found = xaionnx.explain(digits, picture, "feature_ablation", 3, layer="/4/Conv_output_0")
    assert found.plot().mode == "RGB"
    again = xaionnx.Explanation.load(found.save(tmp_path / "e.npz"))
    np.testing.assert_array_equal(again.features, found.features)


def test_what_is_refused(curved):
    with pytest.raises(UnknownNameError, match="No layer named 'hh'"):
        xaionnx.explain(curved, X, FeatureAblation(layer="hh"), 0)
    model = loaded("g (float[N, 3] x) => (float[N, 3] y, int64[N, 1] k) { y = Exp(x)  k = ArgMax<axis = 1>(x) }")
    beside = loaded("g (float[N, 3] x) => (float[N, 3] y) { h = Exp(x)  k = Abs(x)  y = Log(h) }")
    with pytest.raises(UnsupportedModelError, match="does not depend on layer 'k'"):
        xaionnx.explain(beside, X, FeatureAblation(layer="k"), 0)
    with pytest.raises(UnsupportedModelError, match="holds int64, not floats"):
        xaionnx.explain(model, X, FeatureAblation(layer="k"), 0)
