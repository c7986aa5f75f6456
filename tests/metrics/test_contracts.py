"""What every metric promises, over all that are found."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

import xaionnx
from models import planted
from tests import tiny
from tests.counting import Heard
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnknownNameError
from xaionnx.evaluation import Scores, metrics
from xaionnx.evaluation.metric import METRICS
from xaionnx.runtime import progress

CATEGORIES = {"agreement", "axiomatic", "complexity", "faithfulness", "localisation", "randomisation", "robustness"}


@pytest.fixture(scope="module")
def case():
    """A small net, three digits, and masks."""
    x = load_digits().images[:3, None].astype(np.float32)
    return tiny.trained("digits_cnn"), x, x[:, 0] > 8


def settings_of(name, model):
    """The settings without which a metric does not apply."""
    return {"similarity": {"other": "occlusion"}, "label_randomisation": {"control_model": model}}.get(name, {})


def judged(case, name, some=slice(None), method="input_x_gradient", **settings):
    model, x, masks = case
    given = masks[some] if "masks" in METRICS.find(name).needs else None
    return xaionnx.evaluate(model, x[some].copy(), method, name, 1, masks=given, **settings_of(name, model), **settings)


@pytest.mark.parametrize("name", metrics())
def test_scores_of_every_metric(case, name):
    kind = METRICS.find(name)
    assert kind.category() in CATEGORIES
    assert kind.reference
    assert kind.__doc__
    scores = judged(case, name)
    assert isinstance(scores, Scores)
    assert scores.values.shape == (3,)
    low, high = kind.bounds
    known = np.isfinite(scores.values)
    assert ((scores.values[known] >= low - 1e-6) & (scores.values[known] <= high + 1e-6)).all()
    # A score or a reason, never neither.
    assert set(scores.reasons) == set(np.flatnonzero(~known).tolist())
    assert set(scores.controls) == {"random"}
    assert scores.control.values.shape == (3,)


@pytest.mark.parametrize("name", metrics())
def test_scores_are_repeatable_and_do_not_depend_on_the_batch(case, name):
    batch = judged(case, name, controls=())
    again = judged(case, name, controls=())
    np.testing.assert_array_equal(batch.values, again.values)
    if METRICS.find(name).compares_samples:
        return
    alone = [judged(case, name, slice(n, n + 1), controls=()).values[0] for n in range(3)]
    np.testing.assert_allclose(alone, batch.values, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", metrics())
def test_evaluations_of_every_metric_are_progress_so_that_a_budget_can_stop_it(case, name):
    heard = Heard()
    with progress.listening(heard):
        scores = judged(case, name, controls=())
    # The method itself evaluates each of the samples once.
    assert (heard.done > 3) == bool(np.any(scores.diagnostics["evaluations"]))


@pytest.mark.parametrize("name", metrics())
def test_a_record_is_judged_as_its_method_unless_inputs_are_explained_again(case, name):
    model, x, _ = case
    record = xaionnx.explain(model, x, "input_x_gradient", 1)
    needs = METRICS.find(name).needs
    if "method" in needs:
        with pytest.raises(ParameterError, match="method"):
            judged(case, name, method=record, controls=())
        return
    ours = judged(case, name, method=record, controls=())
    np.testing.assert_array_equal(ours.values, judged(case, name, controls=()).values)


@pytest.mark.parametrize("name", metrics())
def test_constant_values_are_undefined_or_scored_never_an_error(case, name):
    if "method" in METRICS.find(name).needs:
        pytest.skip("its values are those of the method")
    model, x, _ = case
    record = xaionnx.explain(model, x, "input_x_gradient", 1)
    scores = judged(case, name, method=dataclasses.replace(record, values=np.zeros_like(record.values)), controls=())
    assert set(scores.reasons) == set(np.flatnonzero(~np.isfinite(scores.values)).tolist())


def test_metrics_work_on_rows_and_with_background():
    model, x = (
        planted.load(planted.linear(np.ones((2, 6)))),
        np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32),
    )
    rows = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    scores = xaionnx.evaluate(model, x, "kernel_shap", "faithfulness_correlation", background=rows, background_size=5)
    assert np.isfinite(scores.values).all()


def test_a_gain_is_positive_where_the_method_is_better():
    values = np.array([0.2, 0.3, 0.25])
    lower = Scores(
        "deletion", "a", values, "lower", (0, 1), controls={"random": Scores("", "r", values + 0.1, "lower", (0, 1))}
    )
    assert lower.gain() == pytest.approx((0.1, 0.1, 0.1))
    assert "better by 0.1" in repr(lower)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"metric": "deletoin"}, UnknownNameError, "Nearest: deletion"),
        ({"metric": "pointing_game"}, ParameterError, "needs ground-truth masks"),
        ({"controls": ("randon",)}, UnknownNameError, "Nearest: random"),
        ({"target": [0, 1]}, ParameterError, "one target at a time"),
        ({"steps": 0}, ParameterError, "'steps' parameter of Deletion must be an int in"),
        ({"metric": "pointing_game", "masks": np.ones((1, 8, 8), dtype=bool)}, DataError, "one entry for each of 3"),
        ({"metric": "pointing_game", "masks": np.ones((3, 5, 5), dtype=bool)}, DataError, "must have the shape"),
    ],
)
def test_errors(case, change, error, said):
    model, x, _ = case
    given = {"metric": "deletion", "target": 1} | change
    with pytest.raises(error, match=said):
        xaionnx.evaluate(model, x, "saliency", **given)


def test_a_record_of_another_target_is_refused(case):
    model, x, _ = case
    record = xaionnx.explain(model, x, "saliency", 1)
    with pytest.raises(ParameterError, match="Give the same model, samples and target"):
        xaionnx.evaluate(model, x, record, "deletion", 2)
    with pytest.raises(DataError, match="has 3 samples, and x has 2"):
        xaionnx.evaluate(model, x[:2], record, "deletion", 1)


def test_road_needs_a_picture():
    with pytest.raises(InputMismatchError, match="road"):
        xaionnx.evaluate(planted.load(planted.linear([[1.0, 2.0]])), np.ones((1, 2), np.float32), "saliency", "road")


ROW = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("weights", "method", "metric", "target", "said"),
    [
        ([[1, 2]], "saliency", "random_logit", None, "'y' of .* is a single number: a regression"),
        (
            [[1, 2], [3, 4]],
            "saliency",
            "random_logit",
            xaionnx.Target.margin(0, 1),
            r"y\[0\] - y\[1\] is not the score",
        ),
        ([[1, 2], [3, 4]], "smooth_grad", "smooth_parameter_randomisation", 0, "Use 'parameter_randomisation'"),
    ],
)
def test_what_a_metric_of_randomisation_cannot_compare_is_said_in_its_own_words(weights, method, metric, target, said):
    with pytest.raises(ParameterError, match=f"^The metric '{metric}' .*{said}"):
        xaionnx.evaluate(planted.load(planted.linear(weights)), ROW, method, metric, target)


def test_a_control_without_another_class_says_so():
    with pytest.raises(ParameterError, match=r"^The control 'other_class' .* single number"):
        xaionnx.evaluate(
            planted.load(planted.linear([[1, 2]])), ROW, "saliency", "infidelity", controls=("other_class",)
        )


def test_explaining_another_class_counts_its_evaluations():
    model = planted.load(planted.linear([[1, 2], [3, 4]]))
    scores = xaionnx.evaluate(model, ROW, "occlusion", "random_logit", 0, controls=())
    # The sample once more, and without each of its two columns.
    assert scores.diagnostics["evaluations"] == [3, 3]
