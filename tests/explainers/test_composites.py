"""Named composites: every layer follows the rule of the paper, by the slow oracle."""

import numpy as np
import pytest

import xaionnx
from tests.explainers.propagated import HIGH, LOW, convolutional, mlp, pictures_of
from tests.oracles import lrp as oracle
from tests.tiny import node, opened
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.composites import names
from xaionnx.autodiff.lrp import Composite, table
from xaionnx.autodiff.relevance import Epsilon, Gamma, Pass
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.lrp import Lrp

# Large enough to have an effect, and different from the defaults.
GAMMA, EPSILON = 0.6, 1e-2
ORACLES = {
    "epsilon": oracle.epsilon_rule,
    "gamma": lambda **k: oracle.gamma_rule(GAMMA, **k),
    "alpha1_beta0": lambda **k: oracle.alpha_beta_rule(1, 0, **k),
    "alpha2_beta1": lambda **k: oracle.alpha_beta_rule(2, 1, **k),
    "z_plus": oracle.z_plus_rule,
    "z_box": lambda **k: oracle.z_box_rule(LOW, HIGH, **k),
    "w_square": oracle.w_square_rule,
    "flat": oracle.flat_rule,
}
# The first layer, other convolutions, other layers: Montavon et al. 2017 (z-box) and 2019 (epsilon, gamma, box),
# Lapuschkin et al. 2019 (flat), Kohlbrenner et al. 2020 (alpha-beta).
PUBLISHED = {
    **{name: (name, name, name) for name in ORACLES if name != "z_box"},
    "z_box": ("z_box", "z_plus", "z_plus"),
    "epsilon_plus": ("z_plus", "z_plus", "epsilon"),
    "epsilon_plus_flat": ("flat", "z_plus", "epsilon"),
    "epsilon_plus_box": ("z_box", "z_plus", "epsilon"),
    "epsilon_gamma_box": ("z_box", "gamma", "epsilon"),
    "epsilon_gamma_flat": ("flat", "gamma", "epsilon"),
    "epsilon_alpha2_beta1": ("alpha2_beta1", "alpha2_beta1", "epsilon"),
    "epsilon_alpha2_beta1_flat": ("flat", "alpha2_beta1", "epsilon"),
}


def method(name, relative=True, layer=None):
    used = {"gamma": GAMMA} if "gamma" in name else {}
    if "box" in name and layer is None:
        used |= {"low": LOW, "high": HIGH}
    return Lrp(composite=name, epsilon=EPSILON, relative=relative, layer=layer, **used)


def check(found, net, samples, rules, k):
    """The values of class k are those of the oracle, with the rules of the layers in order."""
    for values, one in zip(found.values, samples, strict=True):
        _, expected = oracle.propagate(net, one.ravel(), rules.__getitem__, lambda y: y * (np.arange(len(y)) == k))
        assert_close(values.ravel(), expected, Tolerance.PROPAGATION, np.abs(expected).max())


def test_every_name_has_its_paper():
    assert set(names()) == set(PUBLISHED)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.sampled(percent=50)
def test_every_layer_follows_its_rule(name, relative):
    model, net, x = convolutional(np.random.default_rng(5))
    found = xaionnx.explain(model, x, method(name, relative), 1)
    first, convolution, rest = (ORACLES[rule](epsilon=EPSILON, relative=relative) for rule in PUBLISHED[name])
    check(found, net, x, [first, convolution, convolution, rest], 1)
    asked = found.provenance["parameters"]
    assert (asked["gamma"] is not None) == ("gamma" in name)
    assert (asked["low"] is not None) == ("box" in name)


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_alpha2_beta1"])
def test_a_transposed_convolution_is_a_convolution(name):
    rng = np.random.default_rng(3)
    kernel, x = rng.normal(size=(4, 2, 3, 3)), pictures_of(rng, 2, (4, 3, 3))
    nodes = [node("ConvTranspose", ["x", "k"], ["u"]), node("Flatten", ["u"], ["y"])]
    (matrix, _, connected), _ = oracle.unrolled(kernel, np.zeros(4), (2, 5, 5))
    found = xaionnx.explain(opened(nodes, [4, 3, 3], [50], {"k": kernel}), x, method(name), 7)
    check(
        found, [("linear", (matrix.T, np.zeros(50), connected.T))], x, [ORACLES[PUBLISHED[name][1]](epsilon=EPSILON)], 7
    )


@pytest.mark.parametrize("relative", [True, False])
def test_sums_share_with_the_stabiliser_that_was_asked_for(relative):
    """y = a + b of two parts of the input: each gets its share of the stabilised y."""
    nodes = [node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), node("Add", ["a", "b"], ["y"])]
    x = np.float32([[1, 2, 3, -0.5], [0.25, 1, 1, 1]])
    found = xaionnx.explain(opened(nodes, [4], [2]), x, method("epsilon_plus", relative), 0)
    for values, one in zip(found.values, x, strict=True):
        y = one[:2] + one[2:]
        share = y[0] / oracle.stabilised(y, EPSILON, relative)[0]
        assert_close(values, [one[0] * share, 0, one[2] * share, 0], Tolerance.SUMS)


def test_a_part_of_a_model_has_no_first_layer():
    """Layers after the first one follow their own rules, and no box is needed."""
    model, net, x = convolutional(np.random.default_rng(5))
    found = xaionnx.explain(model, x, Lrp(composite="epsilon_plus_box", epsilon=EPSILON, layer="r0"), 1)
    w, b, _ = net[0][1]
    plus, rest = oracle.z_plus_rule(EPSILON), oracle.epsilon_rule(EPSILON)
    check(found, net[2:], np.maximum(x.reshape(len(x), -1) @ w + b, 0), [plus, plus, rest], 1)


def test_a_box_that_nobody_gave_is_asked_for():
    model, _, x = mlp(np.random.default_rng(2))
    with pytest.raises(ParameterError, match="The composite 'z_box' needs the least and the greatest value"):
        xaionnx.explain(model, x, Lrp(composite="z_box"), 0)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("name", names())
def test_a_row_of_a_table_by_every_composite(name):
    """An InputSpec of a table has no pixel range; only a box rule would need one."""
    credit = Model.load("models/german_credit_mlp.onnx", "cpu")
    rows = np.random.default_rng(0).integers(0, 2, size=(2, 20)).astype(np.float32)
    box = {"low": -1.0, "high": 20.0} if "box" in name else {}
    found = xaionnx.explain(credit, rows, "lrp", [0, 1], composite=name, **box)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0


def normalised(rng):
    """Normalisation and rectifier ahead of a convolution, as in a DenseNet."""
    weights = {
        "k": rng.normal(size=(3, 2, 3, 3)), "scale": rng.uniform(0.5, 1.5, 3), "shift": rng.normal(size=3),
        "mean": rng.normal(size=3), "variance": rng.uniform(0.5, 1.5, 3), "k2": rng.normal(size=(2, 3, 3, 3)),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "k"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("BatchNormalization", ["r", "scale", "shift", "mean", "variance"], ["n"]),
        node("Relu", ["n"], ["s"]),
        node("Conv", ["s", "k2"], ["y"]),
    ]
    return opened(nodes, [2, 6, 6], [2, 2, 2], weights), weights


def test_a_normalisation_ahead_of_a_convolution_is_a_linear_layer_of_its_own():
    rng = np.random.default_rng(0)
    model, weights = normalised(rng)
    x = rng.normal(size=(2, 2, 6, 6)).astype(np.float32)
    cotangent = rng.normal(size=(2, 2, 2, 2)).astype(np.float32)

    def relevance(of, rules):
        return gradient(model, "y", [of], table(Composite(rules, Epsilon(0.0)))).run({"x": x}, cotangent)[1][of]

    plain = {"*": Epsilon(0.0)}
    after, before = relevance("n", plain), relevance("r", plain)
    factor, offset = (
        array.reshape(1, 3, 1, 1)
        for array in (
            weights["scale"] / np.sqrt(weights["variance"] + 1e-5),
            weights["shift"] - weights["mean"] * weights["scale"] / np.sqrt(weights["variance"] + 1e-5),
        )
    )
    held = model.with_outputs(["r"]).run({"x": x}, ["r"])["r"].astype(np.float64)
    assert_close(before, after * held * factor / (held * factor + offset), Tolerance.QUOTIENTS, np.abs(before).max())
    # With Pass its shift takes nothing.
    passed = relevance("r", {"BatchNormalization": Pass(), **plain})
    np.testing.assert_array_equal(passed, after)


def test_a_rule_of_weights_is_none_for_a_normalisation():
    with pytest.raises(ParameterError, match="must map BatchNormalization to Epsilon or Pass"):
        Composite({"BatchNormalization": Gamma(), "*": Epsilon()})
    model, _ = normalised(np.random.default_rng(0))
    with pytest.raises(UnsupportedModelError, match="the rule Pass is for BatchNormalization"):
        xaionnx.explain(model, np.ones((1, 2, 6, 6), np.float32), Lrp(composite=Composite({"*": Pass()})), Target.sum())
