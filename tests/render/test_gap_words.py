"""Completeness gaps in captions."""

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Explanation, Model, Target
from xaionnx.explainers.lrp import Lrp
from xaionnx.render import settings


def told(one):
    return settings.gap(one)


@pytest.mark.parametrize(
    ("score", "gap", "said"),
    [
        (10.0, -9.6, "96 % of the score was absorbed by biases or the stabiliser"),
        (-10.0, 9.6, "96 % of the score was absorbed by biases or the stabiliser"),
        (10.0, 1.2, "12 % more than the score"),
        (-10.0, -0.12, "1.2 % more than the score"),
        (10.0, -0.001, "0.01 % of the score was absorbed by biases or the stabiliser"),
        (10.0, -0.0009, "gap 0.009 % of the score"),
        (10.0, 0.0009, "gap 0.009 % of the score"),
        (10.0, -1e-5, "gap under 0.001 % of the score"),
        (10.0, 0.0, "gap 0 % of the score"),
        (0.0, 1.0, "gap without a score"),
    ],
)
def test_relevance_is_told_as_a_share_of_the_score(score, gap, said):
    share = 0.0 if gap == 0 else abs(gap / score) if score else np.inf
    diagnostics = {"relative_gap": [share], "conservation_gap": [gap], "relevance": [score + gap]}
    name, values = np.array(["cat (3)"]), np.ones((1, 1, 4, 4))
    told_by_record = {"diagnostics": diagnostics, "provenance": {"adds_up_to": "target"}}
    one = Explanation("my_method", values, name, np.array([score]), **told_by_record)
    assert told(one) == [said]
    certain = Explanation("my_method", values, np.array(["cat (3), probability"]), np.array([score]), **told_by_record)
    assert told(certain) == [said.replace("score", "probability")]


def test_a_net_with_a_bias_keeps_its_share():
    """For ReLU(x + b), the bias absorbs b / (x + b) under the epsilon rule."""
    model = planted.load(planted.linear([[1.0, 2.0]], [1.0]))
    x = np.float32([[1, 1]])
    assert told(xaionnx.explain(model, x, Lrp(composite="epsilon"), 0)) == [
        "25 % of the value was absorbed by biases or the stabiliser"
    ]
    assert told(xaionnx.explain(model, x, "deep_lift", 0)) == ["gap 0 % of the change"]
    assert told(xaionnx.explain(model, x, "integrated_gradients", 0, steps=2)) == ["gap 0 % of the change, 2 steps"]
    noisy = xaionnx.explain(model, x, "smooth_grad", 0, inner=Lrp(composite="epsilon"), draws=2, noise=1e-6)
    assert told(noisy) == ["gap 25 % of the value"]


def test_each_target_has_its_own_gap():
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    x = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    found = xaionnx.explain(model, x, "lrp", [0, Target.probability(3)])
    for target, whole in enumerate(("score", "probability")):
        share = found.diagnostics["relative_gap"][0][target]
        (said,) = told(found.sample(0, target))
        assert said.endswith((f"of the {whole} was absorbed by biases or the stabiliser", f"more than the {whole}"))
        assert float(said.split(" ")[0]) == pytest.approx(100 * share, rel=0.06)


def test_a_gap_of_rounding_is_told_without_its_digits():
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    x = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    found = xaionnx.explain(model, x, "deep_lift", 0)
    assert 0 < found.diagnostics["relative_gap"][0] < 1e-5
    assert told(found) == ["gap under 0.001 % of the change"]


def test_without_biases_it_is_the_stabiliser_that_keeps():
    """For x, the epsilon rule with a stabiliser of x / 2 absorbs a third."""
    model = planted.load(planted.linear([[1.0]], [0.0]))
    found = xaionnx.explain(model, np.float32([[2]]), Lrp(composite="epsilon", epsilon=0.5), 0)
    assert told(found) == ["33 % of the value was absorbed by biases or the stabiliser"]
