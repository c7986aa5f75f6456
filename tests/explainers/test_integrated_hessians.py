"""Integrated Hessians against closed forms, completeness, and integrated gradients."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded, trained
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.logarithmic_rule import logarithmic_rule


@pytest.mark.parametrize("count", [1, 2, 5, 64, 256])
def test_the_rule_is_exact_for_polynomials_of_its_degree(count):
    """The moments of -ln s are 1 / (k + 1)^2."""
    nodes, weights = logarithmic_rule(count)
    powers = np.arange(2 * count)[:: max(1, count // 8)]
    np.testing.assert_allclose(weights @ nodes[:, None] ** powers, 1 / (powers + 1.0) ** 2, rtol=1e-11)
    assert (nodes > 0).all()
    assert (nodes < 1).all()


def matrix(model, x, **settings):
    return xaionnx.explain(model, x, "integrated_hessians", 0, **settings).maps["interactions"]


def test_a_product_shares_itself_equally():
    """The mean of a c is 1/4: of 8 = 2 * 4 each of the four entries has 2."""
    model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))
    np.testing.assert_allclose(matrix(model, np.float32([[2, 4]]))[0], np.full((2, 2), 2.0), atol=1e-6)


def test_a_quadratic_form_from_any_baseline():
    """f = x'Ax / 2 + b'x: H = A, and the mean of the gradient at the product of two shares has 1/4 of the way."""
    rng = np.random.default_rng(0)
    form = rng.normal(size=(4, 4))
    form, slope = (form + form.T).astype(np.float32), rng.normal(size=4).astype(np.float32)
    model = loaded(
        "g (float[N,4] x) => (float[N,1] y) { a = MatMul(x, form)  p = Mul(x, a)  h = Mul(p, half)  l = Mul(x, slope)"
        " s = Add(h, l)  y = ReduceSum<keepdims = 1>(s, axis) }",
        form=form,
        half=np.float32(0.5),
        slope=slope,
        axis=np.array([1], np.int64),
    )
    x, start = np.float32([[1, -2, 0.5, 3]]), np.float32([0.5, 1, -1, 2])
    way = x[0] - start
    expected = form * np.outer(way, way) / 4 + np.diag(way * (form @ start + slope + form @ way / 4))
    np.testing.assert_allclose(matrix(model, x, baseline=start, steps=2)[0], expected, rtol=2e-5, atol=1e-6)


def test_a_smooth_network_is_complete_to_1e_5_and_its_rows_are_integrated_gradients():
    model = trained("mnist_vit")
    (name,) = (info.name for info in model.inputs)
    x = model.read(np.load("models/data/mnist_sample.npz")["images"][:1, 0]).arrays[name]
    found = xaionnx.explain(model, x, "integrated_hessians", steps=128, features="grid:2")
    size = float(np.abs(found.prediction - found.baseline_prediction)[0])
    assert abs(found.maps["interactions"].sum() - (found.prediction - found.baseline_prediction)[0]) < 1e-5 * size
    single = xaionnx.explain(model, x, "integrated_gradients", steps=64).values
    labels = np.broadcast_to(found.features, single.shape)[0]
    sums = np.bincount(labels.reshape(-1), single[0].reshape(-1).astype(float))
    np.testing.assert_allclose(found.maps["interactions"][0].sum(axis=1), sums, atol=1e-4 * size)
    np.testing.assert_allclose(found.feature_values[0], sums, atol=1e-4 * size)


def test_groups_hold_the_sums_of_their_elements():
    model = planted.load(planted.polynomial(4, {(0, 1): 2.0, (1, 2): -1.0, (0, 2, 3): 3.0, (3,): 1.0}))
    x = np.float32([[1, 2, -1, 0.5]])
    each, groups = matrix(model, x)[0], matrix(model, x, features=np.array([0, 1, 0, 1]))[0]
    belongs = np.eye(2)[[0, 1, 0, 1]]
    np.testing.assert_allclose(groups, belongs.T @ each @ belongs, atol=1e-5)


def test_elements_of_no_player_stay_as_they_are():
    """Of x0 x1 with x1 fixed at 4, only the main effect of x0 is left."""
    model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))
    found = xaionnx.explain(
        model, np.float32([[2, 4]]), "integrated_hessians", 0, features={"x": np.array([0, 0])}, steps=4
    )
    np.testing.assert_allclose(found.maps["interactions"][0], [[8.0]], atol=1e-5)


def test_several_targets_samples_and_baselines_are_those_of_each():
    model = planted.load(planted.polynomial(3, {(0, 1): 1.0, (1, 2): 2.0}))
    x = np.float32([[1, 2, 3], [2, -1, 1]])
    rows = np.float32([[0, 0, 0], [1, 1, 1]])
    both = xaionnx.explain(model, x, "integrated_hessians", 0, baseline=xaionnx.Baseline.background(rows))
    for n in range(2):
        one = [matrix(model, x[n : n + 1], baseline=row)[0] for row in rows]
        np.testing.assert_allclose(both.maps["interactions"][n], np.mean(one, axis=0), atol=1e-5)
    probability = xaionnx.explain(trained("german_credit_mlp"), loans(2), "integrated_hessians", [0, 1], steps=8)
    for t in range(2):
        one = xaionnx.explain(trained("german_credit_mlp"), loans(2), "integrated_hessians", t, steps=8)
        np.testing.assert_allclose(probability.maps["interactions"][t], one.maps["interactions"], atol=1e-5)


def loans(count):
    model = trained("german_credit_mlp")
    return model.read("models/data/german_credit.csv").arrays["features"][:count]


def test_softplus_takes_the_place_of_relu_and_what_that_changes_is_reported():
    found = xaionnx.explain(trained("german_credit_mlp"), loans(3), "integrated_hessians", 1, softplus=1.0)
    gaps = found.diagnostics
    assert np.abs(gaps["smoothing_gap"]).min() > 0.1
    # The matrix adds up to the change of the network with softplus.
    np.testing.assert_allclose(gaps["completeness_gap"], gaps["smoothing_gap"], atol=1e-5)
    assert found.provenance["smoothed"] == 4
    sharper = xaionnx.explain(trained("german_credit_mlp"), loans(3), "integrated_hessians", 1, softplus=10.0)
    assert np.abs(sharper.diagnostics["smoothing_gap"]).max() < np.abs(gaps["smoothing_gap"]).max() / 2


def test_a_gap_that_softplus_makes_is_not_blamed_on_the_steps():
    found = xaionnx.explain(trained("german_credit_mlp"), loans(1), "integrated_hessians", 1, softplus=1.0)
    assert any("raise softplus (now 1)" in words for words in found.warnings)


def test_without_softplus_a_rectifier_network_has_no_interactions():
    found = matrix(trained("german_credit_mlp"), loans(1), softplus=None, steps=8)[0]
    assert np.abs(found - np.diag(np.diag(found))).max() == 0


def test_softplus_of_a_size_is_that_of_two_rectifiers():
    model = loaded("g (float[N,2] x) => (float[N,2] y) { a = Abs(x)  y = Relu(a) }")
    from xaionnx.graph.softplus import with_softplus

    smooth = model.derived("smooth", lambda proto: with_softplus(proto, model.view.types, 2.0))
    x = np.float32([[-1.5, 0.25]])

    def softplus(z):
        return np.log1p(np.exp(2 * z)) / 2

    np.testing.assert_allclose(smooth.run({"x": x})["y"], softplus(softplus(x) + softplus(-x)), rtol=1e-6)


def test_words_are_players_by_their_embeddings():
    model = trained("spam")
    text = "free prize call now"
    found = xaionnx.explain(model, text, "integrated_hessians", 1, steps=16)
    pairs = found.maps["interactions"][0]
    assert found.feature_names == ("free", "prize", "call", "now")
    assert pairs.shape == (4, 4)
    np.testing.assert_allclose(
        pairs.sum() - found.diagnostics["smoothing_gap"][0],
        (found.prediction - found.baseline_prediction)[0],
        atol=2e-3 * abs((found.prediction - found.baseline_prediction)[0]),
    )


def test_other_sources_of_gradients_are_refused():
    with pytest.raises(ParameterError, match="must be auto or graph"):
        xaionnx.explain(trained("german_credit_mlp"), loans(1), "integrated_hessians", gradient="finite_differences")


def test_the_matrix_is_drawn_and_says_what_it_is():
    found = xaionnx.explain(trained("german_credit_mlp"), loans(1), "integrated_hessians", 1)
    assert found.provenance["interactions"] == {"index": "integrated_hessians", "off_diagonal": "half"}
    assert found.plot(0, kind="interaction").width > 300
