"""Guided backpropagation, deconvnets and layer-wise relevance propagation, against published numbers and oracles."""

import numpy as np
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests.explainers.propagated import HIGH, LOW, MEAN, NETS, mlp, pictures_of
from tests.oracles import lrp as oracle
from tests.tiny import node, opened, run, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.lrp import Composite, table
from xaionnx.autodiff.relevance import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.deconvnet import Deconvnet
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explainers.lrp import Lrp

CANONICAL = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
ROW = np.float32([[1, 2, 3]])

# Each rule with its oracle and a stabiliser large enough to have an effect. Relative stabilisers are relative in both.
RULES = {
    "epsilon": (Epsilon, oracle.epsilon_rule),
    "gamma": (lambda **k: Gamma(0.7, **k), lambda **k: oracle.gamma_rule(0.7, **k)),
    "alpha1_beta0": (lambda **k: AlphaBeta(1, 0, **k), lambda **k: oracle.alpha_beta_rule(1, 0, **k)),
    "alpha2_beta1": (lambda **k: AlphaBeta(2, 1, **k), lambda **k: oracle.alpha_beta_rule(2, 1, **k)),
    "z_plus": (ZPlus, oracle.z_plus_rule),
    "z_box": (lambda **k: ZBox(LOW, HIGH, **k), lambda **k: oracle.z_box_rule(LOW, HIGH, **k)),
    "w_square": (WSquare, oracle.w_square_rule),
    "flat": (Flat, oracle.flat_rule),
}


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.sampled(percent=40)
def test_every_rule_in_every_layer_equals_its_papers_equation(kind, rule, relative):
    model, net, x = NETS[kind](np.random.default_rng(5))
    ours, theirs = RULES[rule]
    options = {"epsilon": 1e-2, "relative": relative}
    # z-box applies to the model's input; later layers follow epsilon.
    rules = {"first": ours(**options), "*": Epsilon(**options) if rule == "z_box" else ours(**options)}
    found = xaionnx.explain(model, x, Lrp(composite=Composite(rules)), [0, 2])
    later = oracle.epsilon_rule(**options) if rule == "z_box" else theirs(**options)

    def choose(number):
        return oracle.epsilon_rule() if number == MEAN.get(kind) else theirs(**options) if number == 0 else later

    for t, k in enumerate((0, 2)):
        for n, one in enumerate(x):
            one_hot = np.eye(3)[k]
            y, expected = oracle.propagate(net, one.ravel(), choose, lambda answer, k=one_hot: k * answer)
            assert_close(found.prediction[t, n], y[k], Tolerance.SIGNED_LAYERS)
            assert_close(found.values[t, n].ravel(), expected, Tolerance.PROPAGATION, np.abs(expected).max())
            assert_close(found.diagnostics["relevance"][n][t], found.values[t, n].sum(), Tolerance.DEEP)
            gap = found.diagnostics["relevance"][n][t] - y[k]
            assert_close(found.diagnostics["conservation_gap"][n][t], gap, Tolerance.DEEP)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z_plus", "alpha1_beta0", "w_square", "flat"])
@pytest.mark.parametrize("kind", NETS)
def test_without_biases_relevance_is_conserved_to_rounding(kind, rule):
    model, _, x = NETS[kind](np.random.default_rng(5), bias=False)
    rules = {"Conv": RULES[rule][0](), "*": RULES[rule][0]()}
    found = xaionnx.explain(model, np.abs(x), Lrp(composite=Composite(rules)), 1)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.PROPAGATION)


def test_propagation_rows_of_the_nets_of_others():
    b = planted.load(planted.net_b())
    guided = xaionnx.explain(b, CANONICAL, GuidedBackprop(), 0).values[0, 0]
    assert_close(guided, [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]], Tolerance.OPERATIONS)
    deconvnet = xaionnx.explain(b, CANONICAL, Deconvnet(), 0).values[0, 0]
    assert_close(deconvnet, [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]], Tolerance.OPERATIONS)


@pytest.mark.parametrize("relative", [True, False])
def test_lrp_rows_of_the_nets_of_others(relative):
    g, other = planted.load(planted.net_g()), planted.load(planted.net_g(negative=True))
    options = {"relative": relative, "epsilon": 1e-6}
    # The stabiliser keeps 1e-6 of each sum.
    epsilon = xaionnx.explain(g, ROW, Lrp(composite="epsilon", **options), 0)
    assert_close(epsilon.values, [[18, 36, 54]], Tolerance.LAYERS)
    gamma = Composite({"first": Gamma(1.0, **options), "*": Gamma(0.25, **options)})
    found = xaionnx.explain(other, ROW, Lrp(composite=gamma), 0)
    assert_close(found.values, [[28 / 3, 104 / 3, 52]], Tolerance.LAYERS)
    found = xaionnx.explain(other, ROW, Lrp(composite="alpha1_beta0", **options), 0)
    assert_close(found.values, [[12, 33.6, 50.4]], Tolerance.LAYERS)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.QUOTIENTS)


@pytest.mark.parametrize(("op", "attributes", "operands"), [
    ("MatMul", {}, lambda w, x: [x, w]),
    ("MatMul", {}, lambda w, x: [w, x]),
    ("Einsum", {"equation": "nij,jk->nik"}, lambda w, x: [x, w]),
])  # fmt: skip
@pytest.mark.parametrize("rule", RULES)
def test_products_with_constant_matrices_on_either_side(op, attributes, operands, rule):
    rng = np.random.default_rng(2)
    w, x = rng.normal(size=(4, 4)).astype(np.float32), pictures_of(rng, 2, (4, 4))
    model = opened([node(op, operands("w", "x"), ["y"], **attributes)], [4, 4], [4, 4], {"w": w})
    ours, theirs = RULES[rule]
    cotangent = rng.normal(size=(4, 4))
    left = operands("w", "x")[0] == "w"
    matrix = np.kron(w.T, np.eye(4)) if left else np.kron(np.eye(4), w)
    connected = np.kron(np.ones((4, 4)), np.eye(4)) if left else np.kron(np.eye(4), np.ones((4, 4)))
    found = gradient(model, "y", ["x"], table(Composite({"*": ours(epsilon=1e-2)})))
    _, relevance = found.run({"x": x}, np.stack([cotangent] * 2).astype(np.float32))
    layer = [("linear", (matrix, np.zeros(16), connected > 0))]
    for n in range(2):
        _, expected = oracle.propagate(
            layer, x[n].ravel(), lambda _: theirs(epsilon=1e-2), lambda y: y * cotangent.ravel()
        )
        assert_close(relevance["x"][n].ravel(), expected, Tolerance.PROPAGATION, np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES)
def test_a_transposed_convolution(rule):
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(4, 1, 3, 3)).astype(np.float32), rng.normal(size=2).astype(np.float32)
    x = pictures_of(rng, 2, (4, 3, 3))
    nodes = [node("ConvTranspose", ["x", "k", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1], group=2)]
    model = opened(nodes, [4, 3, 3], [2, 5, 5], {"k": kernel, "b": bias})
    # The transpose of the convolution from (2, 5, 5) to (4, 3, 3) with the same weights.
    (matrix, _, connected), shape = oracle.unrolled(kernel, np.zeros(4), (2, 5, 5), stride=2, pad=1, group=2)
    assert shape == (4, 3, 3)
    ours, theirs = RULES[rule]
    found = xaionnx.explain(model, x, Lrp(composite=Composite({"*": ours(epsilon=1e-2)})), Target.sum())
    layer = [("linear", (matrix.T, np.repeat(bias, 25), connected.T))]
    for n in range(2):
        _, expected = oracle.propagate(layer, x[n].ravel(), lambda _: theirs(epsilon=1e-2), lambda y: y)
        assert_close(found.values[n].ravel(), expected, Tolerance.PROPAGATION, np.abs(expected).max())


def fed(model):
    """Samples for a model of this repository."""
    if model.name.startswith("mnist"):
        with np.load("models/data/mnist_sample.npz") as sample:
            return (sample["images"][:2].astype(np.float32) / 255).reshape(2, 1, 28, 28)
    if model.name.startswith("digits"):
        return np.random.default_rng(0).uniform(0, 1, (2, *model.input().shape[1:])).astype(np.float32)
    with Image.open("models/photos/cat.png") as photo:
        return model.spec.to_tensor([np.asarray(photo.convert("RGB"))])


# The largest conservation gap relative to the score (relevance absorbed by biases), with its reason.
GAPS = {
    # Positive contributions pass everything on except for the share of the biases of two layers.
    ("mnist_cnn", "epsilon_plus_flat"): 0.02,
    ("mnist_cnn", "epsilon"): 0.05,
    ("digits_cnn", "epsilon_plus_flat"): 0.02,
    # Position embeddings, and biases of four layers and nine normalisations.
    ("mnist_vit", "epsilon"): 0.7,
    # Depthwise 3 x 3 filters often have no positive contribution, and output only their bias.
    ("efficientnet_lite0", "epsilon_plus"): 0.98,
    ("efficientnet_lite0", "epsilon_gamma_box"): 1.01,
    ("selfie_segmentation", "epsilon_plus"): 0.95,
}


@pytest.mark.parametrize(("name", "composite"), GAPS, ids=lambda part: part)
@pytest.mark.sampled(percent=50)
def test_real_models_with_their_gaps(name, composite):
    model = trained(name)
    x = fed(model)
    target = Target.region(threshold=0.5) if name == "selfie_segmentation" else None
    found = xaionnx.explain(model, x, "lrp", target, composite=composite)
    assert np.isfinite(found.values).all()
    gap = np.array(found.diagnostics["relative_gap"])[np.abs(found.prediction) > 1]
    assert 0 < gap.max() < GAPS[name, composite]
    assert found.provenance["approximations"] == []


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
@pytest.mark.parametrize("name", ["mnist_cnn", "mnist_vit", "efficientnet_lite0", "digits_cnn"])
@pytest.mark.sampled(percent=50)
def test_real_models_go_back_to_the_picture(name, method):
    model = trained(name)
    x = fed(model)
    found = xaionnx.explain(model, x, method)
    plain = xaionnx.explain(model, x, "saliency", absolute=False)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0
    # A transformer with Gelu has no rectifier.
    assert np.array_equal(found.values, plain.values) == (name == "mnist_vit")


@pytest.mark.slow
def test_the_eyes_of_a_cat_count_most():
    """The two squares of 36 pixels around the eyes are a twentieth of the picture."""
    model = trained("efficientnet_lite0")
    x = fed(model)
    eyes = np.zeros((224, 224), bool)
    for row, column in ((90, 85), (98, 160)):
        eyes[row - 18 : row + 18, column - 18 : column + 18] = True
    plain = Lrp(composite="epsilon_plus"), Lrp(composite="epsilon_gamma_box"), GuidedBackprop()
    for method, times in zip(plain, (2.5, 5, 2.5), strict=True):
        size = np.abs(xaionnx.explain(model, x, method).values[0]).sum(axis=0)
        assert size[eyes].sum() / size.sum() > times * eyes.mean()


def test_a_result_tells_what_its_rules_cannot():
    """The relevance of a product of two equal factors is halved; the record and the compiled file report it."""
    rng = np.random.default_rng(0)
    nodes = [node("MatMul", ["x", "a"], ["u"]), node("MatMul", ["x", "b"], ["v"]), node("Mul", ["u", "v"], ["y"])]
    weights = {"a": rng.normal(size=(4, 3)), "b": rng.normal(size=(4, 3))}
    model = opened(nodes, [4], [3], weights)
    x = rng.normal(size=(2, 4)).astype(np.float32)
    labels = ["Mul: relevance of a product is halved (1 node)"]
    assert xaionnx.explain(model, x, "lrp", 0).provenance["approximations"] == labels
    told = {entry.key: entry.value for entry in xaionnx.compile(model, "lrp", 0).proto.metadata_props}
    assert told["xaionnx_approximations"] == labels[0]
    probability = xaionnx.explain(model, x, "lrp", Target.probability(0)).provenance["approximations"]
    assert "Softmax: its normaliser counts as constant (1 node)" in probability


def test_a_compiled_file_conserves_as_the_method_does():
    model, _, x = mlp(np.random.default_rng(1))
    made = xaionnx.compile(model, "lrp", 1, composite="epsilon_alpha2_beta1", relative=False)
    answers = run(made.proto, {"x": x})
    found = xaionnx.explain(model, x, "lrp", 1, composite="epsilon_alpha2_beta1", relative=False)
    assert_close(answers["attribution"], found.values, Tolerance.SIGNED_LAYERS)
    assert_close(answers["conservation_gap"], found.diagnostics["conservation_gap"], Tolerance.QUOTIENTS)


def test_relevance_at_a_layer_knows_no_first_one():
    model, net, x = mlp(np.random.default_rng(3))
    (w, b, _), own = net[0][1], Composite({"first": Flat(), "*": Gamma(0.5)})
    found = xaionnx.explain(model, x, Lrp(composite=own, layer="r0"), 1)
    for n, one in enumerate(x):
        inner = np.maximum(one @ w + b, 0)
        _, expected = oracle.propagate(
            net[2:], inner, lambda _: oracle.gamma_rule(0.5), lambda y: y * np.array([0, 1, 0])
        )
        assert_close(found.values[n], expected, Tolerance.QUOTIENTS)
    named = xaionnx.explain(model, x, Lrp(composite="epsilon_gamma_box", layer="r0"), 1)  # needs no box
    plain = xaionnx.explain(model, x, Lrp(composite="epsilon", layer="r0"), 1)
    assert_close(named.values, plain.values, Tolerance.SUMS)


def test_rules_belong_to_the_graph():
    for kind in (Lrp, GuidedBackprop, Deconvnet):
        with pytest.raises(ParameterError, match=r"The 'gradient' parameter of \w+ must be one of 'auto', 'graph'"):
            kind(gradient="finite_differences")


def test_the_box_is_for_the_first_layer():
    model, _, x = mlp(np.random.default_rng(3))
    with pytest.raises(UnsupportedModelError, match="The box rule is for the first layer"):
        xaionnx.explain(model, x, Lrp(composite=Composite({"*": ZBox(LOW, HIGH)})), 1)
