"""Integrated Hessians against closed forms, completeness, and integrated gradients."""

from itertools import pairwise

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


def rectified(rng, sizes):
    """A network of ReLU as weights and biases, and as a model."""
    layers = [
        ((rng.normal(size=(m, n)) * np.sqrt(2 / m)).astype(np.float32), (rng.normal(size=n) * 0.3).astype(np.float32))
        for m, n in pairwise(sizes)
    ]
    steps, before = "", "x"
    for k in range(len(layers)):
        steps += f" m{k} = MatMul({before}, w{k})  z{k} = Add(m{k}, b{k})  r{k} = Relu(z{k})"
        before = f"r{k}"
    weights = {f"{name}{k}": each for k, layer in enumerate(layers) for name, each in zip("wb", layer, strict=True)}
    form = f"g (float[N,{sizes[0]}] x) => (float[N,1] y) {{ {steps.rsplit('  r', 1)[0]}  y = Identity(z{k}) }}"
    return layers, loaded(form, **weights)


def jumps(layers, start, way):
    """The shares of the path where the slopes of a network of ReLU jump, and the slopes before each and at the end."""
    share, found = 0.0, []
    while share < 1:
        value, rate, slopes, nearest = start + share * way, way, np.diag(way), 1 - share
        for number, (weights, bias) in enumerate(layers):
            value, rate, slopes = value @ weights + bias, rate @ weights, slopes @ weights
            if number < len(layers) - 1:
                on = np.where(abs(value) < 1e-10, rate > 0, value > 0)
                away = np.divide(-value, rate, out=np.full_like(value, np.inf), where=abs(value) >= 1e-10)
                nearest = min([nearest, *away[away > 1e-11]])
                value, rate, slopes = value * on, rate * on, slopes * on
        share = min(1.0, share + nearest)
        found.append((share, slopes[:, 0]))
    return found


def exact(layers, start, way):
    """The matrix of integrated Hessians of a network of ReLU, jump by jump."""
    before = 0.0
    matrix, found = np.zeros((len(way), len(way))), jumps(layers, start, way)
    for number, (share, slopes) in enumerate(found):
        here = share - share * np.log(share)
        matrix += np.diag(slopes) * (here - before)
        before = here
        if number + 1 < len(found):
            jump = found[number + 1][1] - slopes
            if np.abs(jump).max() > 1e-12:
                matrix -= share * np.log(share) * np.outer(jump, jump) / jump.sum()
    return matrix


@pytest.mark.parametrize("sizes", [(8, 16, 1), (8, 32, 32, 1)])
def test_networks_of_relu_approach_the_sum_over_their_jumps(sizes):
    """The median of seven: where the path all but touches a kink, a matrix needs more cells."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(7):
        layers, model = rectified(rng, sizes)
        start, x = (rng.normal(size=sizes[0]).astype(np.float32) * np.float32(scale) for scale in (0.3, 1.0))
        layers = [(weights.astype(float), bias.astype(float)) for weights, bias in layers]
        expected = exact(layers, start.astype(float), x.astype(float) - start)
        change = float(model.run({"x": x[None]})["y"][0, 0] - model.run({"x": start[None]})["y"][0, 0])
        assert expected.sum() == pytest.approx(change, abs=1e-5)
        found = [matrix(model, x[None], baseline=start, softplus=None, steps=steps)[0] for steps in (16, 256)]
        errors.append([np.linalg.norm(each - expected) / np.linalg.norm(expected) for each in found])
    few, many = np.median(errors, axis=0)
    assert many < 0.03
    assert many < few / 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s = ReduceSum<keepdims = 1>(x, axis)  t = Sub(s, one)  y = Relu(t)", (1, 1)),
        (
            "s = ReduceSum<keepdims = 1>(x, axis)  t = Sub(s, one)  u = Relu(t)  h = Mul(u, two)  y = LeakyRelu(h)",
            (2, 2),
        ),
        ("s = ReduceSum<keepdims = 1>(x, axis)  t = Sub(one, s)  u = Clip(t, , zero)  y = Neg(u)", (1, 1)),
        ("s = ReduceSum<keepdims = 1>(x, axis)  y = Max(s, one)", (1, 1)),
        ("s = ReduceSum<keepdims = 1>(x, axis)  n = Neg(s)  o = Neg(one)  m = Min(n, o)  y = Neg(m)", (1, 1)),
        (
            "s = ReduceSum<keepdims = 1>(x, axis)  j = Expand(one, ends)  c = Concat<axis = 1>(s, j)"
            " y = ReduceMax<keepdims = 1, axes = [1]>(c)",
            (1, 1),
        ),
    ],
)
def test_a_kink_is_one_jump_whatever_writes_it(body, expected):
    """Of max(x0 + x1, 1) from 0 to (1, 2): a jump by (1, 2) at s = 1/3, after which the slope is the sum of x."""
    ends = "" if "Expand" not in body else " k = Shape<end = 1>(x)  ends = Concat<axis = 0>(k, wide) "
    model = loaded(
        f"g (float[N,2] x) => (float[N,1] y) {{{ends}{body} }}",
        axis=np.array([1], np.int64),
        one=np.float32(1),
        two=np.float32(2),
        zero=np.float32(0),
        wide=np.array([1], np.int64),
    )
    scale, way, share = expected[0], np.array([1.0, 2.0]), 1 / 3
    jump = scale * np.outer(way, way) / 3 * -share * np.log(share)
    slopes = scale * way * (1 - (share - share * np.log(share)))
    found = matrix(model, np.float32([[1, 2]]), softplus=None, steps=64)[0]
    np.testing.assert_allclose(found, jump + np.diag(slopes), atol=0.02)


def test_max_pooling_in_any_window_is_complete():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 2, 9, 9)).astype(np.float32)
    for options in (
        "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]",
        "kernel_shape = [2, 2]",
        "kernel_shape = [3, 2], strides = [2, 3], ceil_mode = 1",
        "kernel_shape = [2, 2], dilations = [2, 2]",
    ):
        model = loaded(
            f"g (float[N,2,9,9] x) => (float[N,1] y) {{ p = MaxPool<{options}>(x)  q = Mul(p, p)"
            " y0 = ReduceSum<keepdims = 0>(q, axes)  y = Unsqueeze(y0, one) }",
            axes=np.array([1, 2, 3], np.int64),
            one=np.array([1], np.int64),
        )
        found = xaionnx.explain(
            model, x, "integrated_hessians", 0, baseline=0.5, features="grid:3", softplus=None, steps=128
        )
        assert found.diagnostics["relative_gap"][0] < 0.02


def test_trained_networks_are_complete_and_stable_between_step_counts():
    mnist = trained("mnist_cnn")
    digits = mnist.read(np.load("models/data/mnist_sample.npz")["images"][:1, 0]).arrays[mnist.input().name]
    for model, x, settings, near in (
        (trained("german_credit_mlp"), loans(20), {}, 0.1),
        (mnist, digits, {"features": "grid:4"}, 0.05),
    ):
        coarse, fine = (xaionnx.explain(model, x, "integrated_hessians", steps=n, **settings) for n in (32, 64))
        change = np.abs(fine.prediction - fine.baseline_prediction)
        assert np.abs(fine.diagnostics["completeness_gap"]).sum() < 0.05 * change.sum()
        assert fine.provenance["second_derivatives"] == "secants"
        pairs = [found.maps["interactions"] for found in (coarse, fine)]
        assert np.linalg.norm(pairs[0] - pairs[1]) < near * np.linalg.norm(pairs[1])


def test_a_gap_that_softplus_makes_is_not_blamed_on_the_steps_alone():
    found = xaionnx.explain(trained("german_credit_mlp"), loans(20), "integrated_hessians", 1, softplus=10.0)
    assert any("Raise softplus (now 10), whose slope" in words for words in found.warnings)


def test_a_model_without_kinks_takes_second_derivatives_at_points():
    model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))
    found = xaionnx.explain(model, np.float32([[2, 4]]), "integrated_hessians", 0, steps=2)
    assert found.provenance["second_derivatives"] == "points"


def test_words_are_players_by_their_embeddings():
    model = trained("spam")
    text = "free prize call now"
    found = xaionnx.explain(model, text, "integrated_hessians", 1, steps=16)
    pairs = found.maps["interactions"][0]
    assert found.feature_names == ("free", "prize", "call", "now")
    assert pairs.shape == (4, 4)
    np.testing.assert_allclose(
        pairs.sum(),
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
