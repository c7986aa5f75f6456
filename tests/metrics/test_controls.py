"""The controls of every metric, and records that are not of what is scored."""

import dataclasses

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded, normal, trained
from xaionnx.errors import ParameterError
from xaionnx.evaluation import metrics, score_table
from xaionnx.evaluation.controls import CONTROLS
from xaionnx.evaluation.metric import METRICS

X = normal(3, 1, 8, 8)
MASKS = np.arange(64).reshape(8, 8)[None].repeat(3, axis=0) < 24
# Metrics of robustness and randomisation, and those of the map alone, are the same whatever the target is.
OF_ANY_TARGET = {name for name in metrics() if METRICS.find(name).category() in ("robustness", "randomisation")}
OF_ANY_TARGET |= {"entropy", "sparseness", "input_invariance"}


@pytest.fixture(scope="module")
def digits():
    return trained("digits_cnn")


def scored(model, name, controls):
    settings = {"similarity": {"other": "occlusion"}, "label_randomisation": {"control_model": model}}
    if name in ("region_perturbation", "irof", "selectivity"):
        settings[name] = {"features": "grid:4x4"}
    masks = MASKS if "masks" in METRICS.find(name).needs else None
    return xaionnx.evaluate(
        model, X, "input_x_gradient", name, masks=masks, controls=controls, **settings.get(name, {})
    )


@pytest.mark.parametrize("name", metrics())
def test_every_metric_has_the_controls_that_say_something_of_it(name, digits):
    kind = METRICS.find(name)
    assert set(kind.controls) == set(CONTROLS.names()) - ({"other_class"} if name in OF_ANY_TARGET else set())
    scores = scored(digits, name, kind.controls)
    assert tuple(scores.controls) == kind.controls
    assert scores.control is scores.controls["random"]
    for control, one in scores.controls.items():
        assert one.method == control
        assert one.values.shape == (3,)
        assert set(one.reasons) == set(np.flatnonzero(~np.isfinite(one.values)).tolist())
    if "other_class" in scores.controls:
        classes = scores.controls["other_class"].provenance["explanation"]["other_target"]
        assert all(other != own for other, own in zip(classes, scores.provenance["target"], strict=True))


@pytest.mark.parametrize("name", sorted(OF_ANY_TARGET))
def test_the_map_of_another_class_says_nothing_of_a_metric_of_any_target(name, digits):
    with pytest.raises(ParameterError, match=f"'other_class' says nothing of the metric '{name}'.*random, edges"):
        scored(digits, name, ("other_class",))


def test_a_map_that_ignores_the_model_is_the_same_for_random_weights_and_other_classes(digits):
    for name in ("parameter_randomisation", "random_logit"):
        scores = scored(digits, name, ("edges", "random"))
        assert scores.values.max() < 0.9
        assert scores.controls["edges"].values.tolist() == scores.controls["random"].values.tolist() == [1, 1, 1]


def test_a_table_keeps_scores_whose_control_does_not_apply():
    regression = planted.load(planted.linear([[1.0, 2.0, 3.0]]))
    x = normal(7, 3)
    table = score_table(
        regression, x, ["saliency"], ["infidelity", "sparseness"], controls=("other_class", "random", "edges")
    )
    assert not table.refused
    for metric, said in (("infidelity", "single number"), ("sparseness", "says nothing of the metric")):
        scores = table.scores["saliency"][metric]
        assert scores.count == 7
        assert scores.controls["other_class"].count == 0
        assert said in scores.controls["other_class"].reasons[0]
        assert scores.controls["edges"].count == 7
    rows = {row["metric"]: row["controls"] for row in table.to_dict()["scores"]}
    assert rows["infidelity"]["other_class"]["mean"] is None
    assert "single number" in rows["infidelity"]["other_class"]["reasons"][0]
    random = table.scores["saliency"]["infidelity"].controls["random"]
    assert rows["infidelity"]["random"]["mean"] == random.mean
    assert rows["infidelity"]["random"]["gain"] == table.scores["saliency"]["infidelity"].gain("random")[0]


@pytest.mark.parametrize("parameter", ["methods", "metrics", "controls"])
def test_a_name_is_no_list_of_names(parameter):
    model = planted.load(planted.linear([[1.0, 2.0]]))
    given = {"methods": ["saliency"], "metrics": ["sparseness"], "controls": ["random"]} | {parameter: "edges"}
    with pytest.raises(ParameterError, match=f"'{parameter}' parameter must be a list of names. Got 'edges'"):
        score_table(model, np.ones((1, 2), np.float32), **given)
    if parameter == "controls":
        with pytest.raises(ParameterError, match="'controls' parameter must be a list of names"):
            xaionnx.evaluate(model, np.ones((1, 2), np.float32), "saliency", "sparseness", controls="edges")


def test_a_record_of_another_model_or_other_inputs_with_the_same_target_is_refused():
    model, other = (planted.load(planted.linear([w])) for w in ([4.0, 3, 2, 1], [1.0, 2, 3, 4]))
    x = np.ones((2, 4), np.float32)
    record = xaionnx.explain(model, x, "input_x_gradient")
    assert np.isfinite(xaionnx.evaluate(model, x, record, "deletion").values).all()
    with pytest.raises(ParameterError, match="another model: its SHA-256"):
        xaionnx.evaluate(other, x, record, "deletion")
    moved = np.float32([[1, 1, 1, 1], [0, 2, 2, 0]])
    assert model.run({"x": moved})["y"].tolist() == [[10], [10]]
    with pytest.raises(ParameterError, match="other inputs: the SHA-256 of sample 1"):
        xaionnx.evaluate(model, moved, record, "deletion")
    # Several targets are refused, whatever is judged.
    for judged in (record, record.values):
        with pytest.raises(ParameterError, match="one target at a time"):
            xaionnx.evaluate(model, x, judged, "deletion", [0, 0])
    # A record made by hand says nothing of either.
    by_hand = dataclasses.replace(record, provenance={})
    assert np.isfinite(xaionnx.evaluate(other, x, by_hand, "deletion").values).all()


def test_random_logit_records_the_other_class():
    model = planted.load(planted.linear([[4.0, 3], [1, 2], [3, 3]]))
    scores = xaionnx.evaluate(model, np.float32([[1, 1], [-1, -1]]), "saliency", "random_logit")
    assert scores.provenance["target"] == ["y[0]", "y[1]"]
    assert scores.provenance["other_target"] == ["y[2]", "y[2]"]


def test_output_stability_is_of_logits():
    """Probabilities near 1 hardly change, and would make any map unstable."""
    body = "t = Tanh(x) l = MatMul(t, w) "
    logits = loaded("g (float[N, 3] x) => (float[N, 2] l) { " + body + "}", w=normal(3, 2))
    classes = loaded("g (float[N, 3] x) => (float[N, 2] y) { " + body + "y = Softmax<axis=1>(l) }", w=normal(3, 2))
    x = normal(2, 3)
    # Edges do not depend on the model, so that only the denominators could differ.
    one, other = (
        xaionnx.evaluate(model, x, "saliency", "relative_output_stability", 0, controls=("edges",))
        for model in (logits, classes)
    )
    np.testing.assert_allclose(one.control.values, other.control.values, rtol=1e-6)
    # The layer is run once more for the sample and each of ten neighbours.
    assert np.subtract(other.control.diagnostics["evaluations"], one.control.diagnostics["evaluations"]).tolist() == [
        11,
        11,
    ]


def test_the_class_of_a_single_probability_changes_at_one_half():
    model = loaded("g (float[N, 1] x) => (float[N, 1] y) { y = Sigmoid(x) }")
    x = np.float32([[0.001], [4]])
    scores = xaionnx.evaluate(
        model, x, "saliency", "relative_output_stability", 0, controls=(), neighbours="corners", draws=1, radius=0.5
    )
    step = np.random.default_rng([0, 0, 0]).choice([-1.0, 1.0], (1,))[0]
    assert np.isnan(scores.values[0]) == (step < 0)
    assert np.isfinite(scores.values[1])


def test_a_bias_that_is_added_apart_belongs_to_its_layer():
    apart = loaded(
        "g (float[N, 3] x) => (float[N, 2] y) { m = MatMul(x, w) h = Add(m, b) r = Relu(h) n = MatMul(r, v) "
        "y = Add(n, c) }",
        w=normal(3, 4), b=normal(4), v=normal(4, 2), c=normal(2),
    )  # fmt: skip
    x = normal(2, 3)
    for order, layers in (("top_down", ["y", "h"]), ("bottom_up", ["h", "y"]), ("independent", ["y", "h"])):
        scores = xaionnx.evaluate(apart, x, "input_x_gradient", "parameter_randomisation", order=order, controls=())
        assert scores.provenance["layers"] == layers
    representation = xaionnx.evaluate(
        apart, x, "input_x_gradient", "relative_representation_stability", controls=(), layer="r"
    )
    by_default = xaionnx.evaluate(apart, x, "input_x_gradient", "relative_representation_stability", controls=())
    assert by_default.values.tolist() == representation.values.tolist()


def test_a_gain_is_of_probabilities_and_not_cut():
    model = planted.load(planted.linear([[2.0, -1.0]], 0.0))
    x = np.float32([[0.6, 0.7], [0.4, 0.3]])
    record = dataclasses.replace(xaionnx.explain(model, x, "input_x_gradient"), values=np.float32([[1, 0], [1, 0]]))
    scores = xaionnx.evaluate(model, x, record, "average_gain", controls=())
    assert scores.values[1] == pytest.approx((0.8 - 0.5) / 0.5)
    assert scores.reasons == {0: "the target is 1.2 at the input times its map, which is no probability"}


@pytest.mark.parametrize("name", ["deletion", "monotonicity", "faithfulness_estimate", "sensitivity_n"])
def test_a_single_feature_is_named_as_the_reason(name):
    model = planted.load(planted.linear([[2.0], [1.0]]))
    scores = xaionnx.evaluate(model, np.ones((1, 1), np.float32), "saliency", name, controls=())
    assert "single" in scores.reasons[0]
