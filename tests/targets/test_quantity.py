"""The kind of numbers of an output: decided by the spec or the graph, never by a name."""

from __future__ import annotations

import numpy as np
import pytest

from tests import tiny
from tests.tiny import node, tensor
from xaionnx import InputSpec, Model, Target, evaluate, explain
from xaionnx.render.headings import class_and_score
from xaionnx.targets.scores import quantity

LOGITS = np.array([[1.0, 2.0, 4.0]], np.float32)


def _model(folder, op: str | None, count: int = 3, **spec) -> Model:
    nodes = [node("Identity", ["x"], ["y"])] if op is None else [node(op, ["x"], ["y"])]
    path = tiny.saved(folder / "m.onnx", nodes, [tensor("x", ["N", count])], [tensor("y", ["N", count])])
    return Model.load(path, spec=InputSpec(kind="table", **spec) if spec else None)


@pytest.mark.parametrize(
    ("op", "spec", "word"),
    [
        (None, {}, "score"),
        (None, {"activation": "logits"}, "logit"),
        ("Softmax", {}, "probability"),
        ("Sigmoid", {}, "probability"),
        (None, {"activation": "softmax"}, "probability"),
        ("LogSoftmax", {}, "log probability"),
    ],
)
def test_what_three_classes_hold(tmp_path, op, spec, word):
    model = _model(tmp_path, op, **spec)
    assert quantity(model.run({"x": LOGITS})["y"], "y", model) == word


@pytest.mark.parametrize(("op", "word"), [(None, "value"), ("Sigmoid", "probability")])
def test_what_a_single_number_holds(tmp_path, op, word):
    model = _model(tmp_path, op, 1)
    assert quantity(model.run({"x": LOGITS[:, :1]})["y"], "y", model) == word


def test_the_record_says_it_of_each_target(tmp_path):
    model = _model(tmp_path, None, activation="logits")
    targets = [2, Target.probability(2), Target.sum(), Target.margin(2, 1)]
    result = explain(model, LOGITS, "feature_ablation", targets)
    assert result.provenance["quantity"] == {
        "y[2]": "logit",
        "y[2], probability": "probability",
        "sum of y": "sum",
        "y[2] - y[1]": "value",
    }
    assert explain(model, LOGITS, "feature_ablation").provenance["quantity"] == "logit"


@pytest.mark.parametrize(
    ("op", "target", "words"),
    [
        ("Softmax", None, "y[2] · probability 0.844"),
        (None, None, "y[2] · score 4"),
        (None, Target.sum(), "sum of y: 7"),
        (None, Target.probability(), "y[2], probability 0.844"),
    ],
)
def test_captions_call_a_probability_so(tmp_path, op, target, words):
    result = explain(_model(tmp_path, op), LOGITS, "feature_ablation", target)
    assert class_and_score(result.sample(0)) == words


def test_a_log_probability_has_a_probability_for_metrics_and_records_alike(tmp_path):
    for op in ("Softmax", "LogSoftmax"):
        (tmp_path / op).mkdir()
    probable, logarithmic = (_model(tmp_path / op, op) for op in ("Softmax", "LogSoftmax"))
    of_probable, values = (explain(model, LOGITS, "feature_ablation", 2) for model in (probable, logarithmic))
    shares = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    assert values.diagnostics["probability"] == [pytest.approx(shares[2], rel=1e-6)]
    assert values.diagnostics["rival"] == [["y[1]", pytest.approx(shares[1], rel=1e-6)]]
    for metric in ("deletion", "insertion"):
        found = evaluate(logarithmic, LOGITS, values, metric, 2).values
        np.testing.assert_allclose(found, evaluate(probable, LOGITS, of_probable, metric, 2).values, rtol=1e-6)
        asked = evaluate(logarithmic, LOGITS, values, metric, 2, quantity="target").values
        assert np.abs(found - asked).min() > 0.1


def test_a_token_has_a_probability_for_metrics():
    prompt = "Anna lives in Paris. Bert lives in Rome. Bert speaks"
    values = explain("models/tiny_gpt.onnx", prompt, "feature_ablation", features="sentences")
    found = evaluate("models/tiny_gpt.onnx", prompt, values, "deletion", features="sentences", steps=1)
    curve = found.curves["target"][0]
    np.testing.assert_allclose(curve[0], np.exp(values.prediction[0]), rtol=1e-5)
    assert 0 <= curve.min() <= curve.max() <= 1
