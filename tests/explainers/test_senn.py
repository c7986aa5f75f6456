"""Self-explaining networks: their products against the formula, and what does not add up."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import normal, trained
from xaionnx import Explanation, InputSpec, Target
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers.senn import SelfExplanation
from xaionnx.layers.dry_run import DryRun
from xaionnx.render.layers import layer_of, parts

W, V = normal(4, 3), normal(4, 3 * 2, seed=1)
X = normal(5, 4, seed=2)
NAMES = {"concepts": "concepts", "relevances": "theta"}


def network(layout="K C", bias=0.0, classes=2, spec=NAMES):
    """Three concepts of four columns, and their relevances in an order of axes."""
    shape = {"K C": (3, classes), "C K": (classes, 3)}[layout]
    axis = 1 if layout == "K C" else 2
    out = f"float[N, {classes}] y, float[N, 3] concepts, float[N, {shape[0]}, {shape[1]}] theta"
    text = f"""g (float[N, 4] x) => ({out}) {{
        a = MatMul(x, w)  concepts = Sigmoid(a)
        b = MatMul(x, v)  theta = Reshape(b, shape)
        h = Unsqueeze(concepts, last)
        p = Mul(h, theta)
        s = ReduceSum<keepdims = 0>(p, over)
        y = Add(s, bias) }}"""
    weights = {
        "w": W, "v": V[:, : 3 * classes], "shape": np.array([-1, *shape]), "bias": np.float32(bias),
        "last": np.array([2 if layout == "K C" else 1]), "over": np.array([axis]),
    }  # fmt: skip
    given = InputSpec(kind="table", output="y", **(spec or {}))
    return planted.load(tiny.parsed(text, **weights), spec=given, device="cpu")


def by_hand(layout, classes=2):
    h = 1 / (1 + np.exp(-(X @ W).astype(np.float64)))
    theta = (X @ V[:, : 3 * classes]).reshape(len(X), *((3, classes) if layout == "K C" else (classes, 3)))
    return h, theta if layout == "K C" else theta.swapaxes(1, 2)


@pytest.mark.parametrize("layout", ["K C", "C K"])
def test_values_are_concepts_times_relevances(layout):
    found = xaionnx.explain(network(layout), X, "senn", [0, 1])
    h, theta = by_hand(layout)
    assert found.values.shape == (2, 5, 3)
    for c in range(2):
        np.testing.assert_allclose(found.values[c], h * theta[:, :, c], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.maps["relevances"][c], theta[:, :, c], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.maps["concepts"][c], h, rtol=1e-4)
        np.testing.assert_allclose(found.values[c].sum(axis=1), found.prediction[c], rtol=1e-4, atol=1e-5)
    assert np.abs(found.diagnostics["conservation_gap"]).max() < 1e-5
    assert found.provenance["layer"]["name"] == "concepts"
    assert found.provenance["adds_up_to"] == "target"
    # Everything is read from one run.
    assert found.diagnostics["evaluations"] == [1] * 5


def test_as_many_concepts_as_classes_are_told_apart_by_their_sum():
    for layout in ("K C", "C K"):
        text = {
            "K C": "h = Unsqueeze(concepts, two) p = Mul(h, theta) y = ReduceSum<keepdims = 0>(p, one)",
            "C K": "h = Unsqueeze(concepts, one) p = Mul(h, theta) y = ReduceSum<keepdims = 0>(p, two)",
        }[layout]
        model = planted.load(
            tiny.parsed(
                f"""g (float[N, 4] x) => (float[N, 3] y, float[N, 3] concepts, float[N, 3, 3] theta) {{
                concepts = MatMul(x, w)  b = MatMul(x, v)  theta = Reshape(b, shape)  {text} }}""",
                w=W, v=normal(4, 9), shape=np.array([-1, 3, 3]), one=np.array([1]), two=np.array([2]),
            ),
            spec=InputSpec(kind="table", output="y", **NAMES),
        )  # fmt: skip
        found = xaionnx.explain(model, X, "senn", 1)
        np.testing.assert_allclose(found.values.sum(axis=1), found.prediction, rtol=1e-4, atol=1e-5)


def test_concepts_are_called_so():
    found = xaionnx.explain(network(), X, "senn", 1)
    layer = layer_of(found)
    assert parts(found.values[0], layer)[1] == ["concept 0", "concept 1", "concept 2"]


def test_a_single_score():
    found = xaionnx.explain(network(classes=1), X, "senn")
    np.testing.assert_allclose(found.values.sum(axis=1), found.prediction, rtol=1e-4, atol=1e-5)


def test_what_does_not_add_up_is_refused():
    with pytest.raises(OutputError, match=r"Concepts times relevances add up to .* for sample \d, and y.0. is"):
        xaionnx.explain(network(bias=0.5), X, "senn", 0)
    with pytest.raises(UnsupportedModelError, match=r"Relevances of 3 concepts for 2 classes are \(N, 3, 2\) or"):
        xaionnx.explain(network(spec={"concepts": "concepts", "relevances": "concepts"}), X, "senn", 0)


def test_targets_and_names_that_do_not_fit_are_refused():
    model = network()
    for target in (Target.margin(0, 1), Target.sum(), Target.index(0, output="concepts")):
        with pytest.raises(ParameterError, match="adds up the score of a class of 'y', and the target is"):
            xaionnx.explain(model, X, "senn", target)
    without = network(spec=None)
    with pytest.raises(UnsupportedModelError, match=r"Nothing says which outputs of .* are the concepts"):
        SelfExplanation().validate(DryRun.of(without))
    with pytest.raises(UnsupportedModelError, match="Nothing says which outputs"):
        xaionnx.explain(without, X, "senn")
    with pytest.raises(UnknownNameError, match="theta"):
        xaionnx.explain(network(spec={"concepts": "concepts", "relevances": "thet"}), X, "senn")
    named = SelfExplanation(concepts="concepts", relevances="theta").attribute(without, X, 1)
    np.testing.assert_array_equal(named.values, xaionnx.explain(model, X, "senn", 1).values)


def test_a_record_and_its_picture(tmp_path):
    found = xaionnx.explain(network(), X, "senn", 1)
    again = Explanation.load(found.save(tmp_path / "record.npz"))
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(again.maps["relevances"], found.maps["relevances"])
    assert again.sample(0).plot().size[0] > 100


def test_digits_explain_themselves():
    digits = np.load("models/data/mnist_sample.npz")
    x = digits["images"].astype(np.float32) / 255
    found = xaionnx.explain(trained("mnist_senn"), x, "senn")
    np.testing.assert_allclose(found.values.sum(axis=1), found.prediction, rtol=1e-3, atol=1e-3)
    right = np.array([int(str(name).split()[0]) for name in found.target]) == digits["labels"]
    assert right.mean() > 0.9
