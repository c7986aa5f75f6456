"""Warnings of a result: which records have them, their text, and where they appear."""

import json

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from xaionnx import Explanation, InputSpec, Model, caveats
from xaionnx.autodiff.rule import ESTIMATE
from xaionnx.data.display import Display

RNG = np.random.default_rng(0)


def told(values=None, diagnostics=None, parameters=None, error=None, **more):
    values = RNG.normal(size=(1, 50)) if values is None else values
    provenance = {"parameters": parameters or {}, **more}
    return Explanation(
        "m",
        values,
        np.array(["cat (3)"]),
        np.array([2.0]),
        standard_error=error,
        diagnostics=diagnostics or {},
        provenance=provenance,
    )


@pytest.mark.parametrize(
    ("share", "parameters", "warning"),
    [
        (0.0499, {"steps": 16}, None),
        (
            0.29,
            {"steps": 16},
            "The values do not add up: they are off by 0.58, 29 % of the change in the prediction. "
            "Raise steps (now 16) until they do.",
        ),
        (
            1.0,
            {},
            "The values do not add up: they are off by 0.58, 100 % of the change in the prediction. "
            "Compare with integrated_gradients, whose steps close the gap.",
        ),
        (
            0.05,
            {"inner": {"kind": "IntegratedGradients", "steps": 8}},
            "The values do not add up: they are off by 0.58, 5 % of the change in the prediction. "
            "Raise steps of the inner method (now 8) until they do.",
        ),
        (
            np.inf,
            {"steps": 16},
            "The prediction is the same at the input and at the baseline: there is no change to explain. "
            "Choose another baseline.",
        ),
    ],
)
def test_a_gap(share, parameters, warning):
    one = told(diagnostics={"relative_gap": [share], "completeness_gap": [-0.58]}, parameters=parameters)
    assert one.warnings == (() if warning is None else (warning,))


@pytest.mark.parametrize(
    ("diagnostics", "facts", "advice"),
    [
        ({}, {"parameters": {"steps": 16, "tolerance": None}},
         "Raise steps (now 16) until they do, or set tolerance=0.05, which refines them."),
        ({}, {"parameters": {"steps": 16, "tolerance": 0.01, "max_steps": 64}},
         "Raise max_steps (now 64) until they do."),
        # More than 5 % of a change of 2.
        ({"jump_at_baseline": [0.12], "stopped_by": ["max_steps"]},
         {"parameters": {"steps": 16, "tolerance": 0.01, "max_steps": 64}},
         "The prediction jumps by 0.12 at the baseline, within a thousandth of the path, as that of a model does which "
         "divides by the range of its input: more steps hardly help. Choose another baseline."),
        ({"jump_at_baseline": [0.09]}, {"parameters": {"steps": 16}}, "Raise steps (now 16) until they do."),
        ({}, {"parameters": {"steps": 16}, "arithmetic": "floats in place of integers, so that nothing is rounded"},
         "The model rounds to integers, whose steps slopes do not see, so no number of steps need close the gap. "
         "Compare with a method that removes parts of the input, such as occlusion."),
    ],
)  # fmt: skip
def test_what_closes_a_gap(diagnostics, facts, advice):
    gaps = {"relative_gap": [0.25], "completeness_gap": [-0.5]}
    (warning,) = told(diagnostics={**gaps, **diagnostics}, **facts).warnings
    assert (
        warning.removeprefix("The values do not add up: they are off by 0.5, 25 % of the change in the prediction. ")
        == advice
    )


@pytest.mark.parametrize(
    ("gap", "share", "finding"),
    [
        (-9.6, 0.96, "96 % of the score was absorbed by biases or the stabiliser: the values explain the rest."),
        (9.6, 0.96, "The values add up to 96 % more than the score."),
        (-4.9, 0.49, None),
        (1.0, np.inf, None),
    ],
)
def test_relevance_that_biases_keep(gap, share, finding):
    diagnostics = {"relative_gap": [share], "conservation_gap": [gap], "relevance": [10 + gap]}
    found = [one.finding for one in caveats.caveats(told(diagnostics=diagnostics))]
    assert found == ([] if finding is None else [finding])


def test_noise_is_told_by_the_correlation_of_two_runs():
    """Two runs with the same truth and independent noise correlate as the warning says."""
    truth, noise = RNG.normal(size=4000), 1.3
    one, two = (truth + noise * RNG.normal(size=truth.size) for _ in range(2))
    error = np.full((1, truth.size), noise)
    (warning,) = told(one[None], error=error, parameters={"budget": 1000}).warnings
    said = float(warning.partition("by ")[2].partition(". Raise")[0])
    assert said == pytest.approx(np.corrcoef(one, two)[0, 1], abs=0.05)
    assert warning.endswith(". Raise budget (now 1,000).")
    assert told((truth + 0.9 * RNG.normal(size=truth.size))[None], error=0.9 * error / noise).warnings == ()
    assert told(one[None], error=0 * error).warnings == ()


def test_noise_of_features_that_some_samples_lack():
    values, error = np.array([[1.0, 1.1, 0.9, np.nan]]), np.array([[1.0, 1.0, 1.0, np.nan]])
    one = Explanation("m", np.ones((1, 9)), np.array(["a"]), np.ones(1), feature_values=values, standard_error=error)
    assert one.warnings[0].startswith(
        "The values are mostly noise: those of another seed would correlate with them by 0."
    )


def test_a_surrogate_that_does_not_fit():
    fit = {"r2": [[0.31]], "local_prediction": [[1.0]]}
    (warning,) = told(diagnostics=fit, parameters={"budget": 200}).warnings
    assert warning == (
        "The surrogate explains 31 % of the variance of the model's outputs. "
        "Raise budget (now 200), take fewer features, or use kernel_shap."
    )
    assert told(diagnostics={"r2": [[0.31]]}).warnings == ()
    assert told(diagnostics={**fit, "r2": [[0.5]]}).warnings == ()


def test_a_budget_that_ends_before_the_tolerance():
    asked = {"budget": 1000, "tolerance": 0.01}
    (warning,) = told(diagnostics={"stopped_by": ["budget"]}, parameters=asked).warnings
    assert warning == "The budget of 1,000 was used up before the tolerance of 0.01 was reached. Raise budget."
    assert told(diagnostics={"stopped_by": ["budget"]}, parameters={"budget": 1000, "tolerance": None}).warnings == ()
    assert told(diagnostics={"stopped_by": ["tolerance"]}, parameters=asked).warnings == ()
    asked = {"max_steps": 64, "tolerance": 0.01}
    (warning,) = told(diagnostics={"stopped_by": ["max_steps"]}, parameters=asked).warnings
    assert warning.startswith("The max_steps of 64 was used up before the tolerance of 0.01 was reached.")


def test_nothing_at_all():
    assert told(np.zeros((1, 4))).warnings == ("Every value is zero. Try another target, layer or baseline.",)
    (warning,) = told({"a": np.zeros((1, 4)), "b": np.zeros((1, 2))}, parameters={"relu": True}).warnings
    assert warning == "Every value is zero. Negative values are left out: relu=False, or --no-relu, shows them."
    assert told({"a": np.zeros((1, 4)), "b": np.ones((1, 2))}).warnings == ()


def test_a_penalty_that_leaves_nothing():
    lasso, fit = {"surrogate": "lasso", "alpha": 1.0}, {"r2": [[0.0]], "local_prediction": [[1.0]]}
    zero, poor = told(np.zeros((1, 4)), diagnostics=fit, parameters=lasso).warnings
    assert zero == "Every value is zero. The Lasso's penalty leaves no feature: lower alpha (now 1)."
    assert poor.endswith("Lower alpha (now 1), take fewer features, or use kernel_shap.")


def test_noise_that_makes_another_input():
    (warning,) = told(diagnostics={"noisy_prediction": [0.5]}, parameters={"noise": 0.15}).warnings
    assert warning == "The noise changes the prediction from 2 to 0.5. Lower noise (now 0.15)."
    assert told(diagnostics={"noisy_prediction": [1.1]}).warnings == ()


def test_estimates_of_gradients():
    labels = [f"{op}: {ESTIMATE} (1 node)" for op in "ABCDE"] + ["MaxPool: a complete rule beyond the paper (1 node)"]
    (warning,) = told(approximations=labels).warnings
    assert warning.startswith("At A, B, C and 2 other ops the gradient is an estimate, not a derivative.")
    assert told(approximations=labels[-1:]).warnings == ()


def test_finite_differences_say_so():
    model = planted.load(planted.linear([[1.0, 2.0, 4.0]]))
    x = np.ones((1, 3), np.float32)
    (warning,) = xaionnx.explain(model, x, "saliency", 0, gradient="finite_differences").warnings
    assert warning.startswith("The gradients are finite differences, which depend on their step.")
    assert xaionnx.explain(model, x, "saliency", 0).warnings == ()


def test_a_guessed_spec_is_warned_of():
    model = planted.load(planted.quadrants(12))
    with pytest.warns(UserWarning, match="guess"):
        found = xaionnx.explain(model, [np.zeros((12, 12, 3), np.uint8)], "occlusion", 0, window=4, baseline=1.0)
    assert any(warning.startswith("How files become the model's input was guessed") for warning in found.warnings)


def test_pixels_that_are_not_scaled_are_warned_of():
    model = Model.load("models/efficientnet_lite0.onnx")
    pixels = RNG.integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    raw = pixels.transpose(0, 3, 1, 2).astype(np.float32)

    def warned(x, of=model):
        return [one for one in xaionnx.explain(of, x, "saliency").warnings if one.startswith("The input's numbers")]

    assert warned(raw) == [
        "The input's numbers are from 0 to 255, but black is -0.992 and white 1. "
        "Give uint8 pixels, which are converted, or prepare them with InputSpec.to_tensor."
    ]
    assert warned(pixels) == warned((raw - 127) / 128) == warned(raw * 0) == []
    unscaled = Model.load("models/efficientnet_lite0.onnx", spec=InputSpec(size=(224, 224), mean=127.5, scale=1.0))
    assert warned(raw / 255, unscaled)[0].startswith(
        "The input's numbers are from 0 to 1, but black is -128 and white 12"
    )


def test_samples_are_counted_and_the_first_is_named():
    gaps = {"relative_gap": [[0.0, 0.2], [0.3, 0.0], [0.0, 0.0]]}
    names = np.array([["a", "b", "c"], ["d", "e", "f"]])
    both = Explanation("m", np.ones((2, 3, 4)), names, np.ones((2, 3)), diagnostics=gaps)
    assert both.warnings[0].startswith("In 2 of 6 samples and targets, first in sample 0, target 1: The values do not")
    assert both.sample(1, 0).warnings[0].startswith("The values do not add up: they are off by 30 %")
    assert both.sample(2).warnings == ()
    assert both.warnings[0] in repr(both)


def test_warnings_go_into_the_document_and_come_back_from_a_file(tmp_path):
    one = told(diagnostics={"relative_gap": [1.0]})
    assert json.loads(json.dumps(one.to_dict()))["warnings"] == list(one.warnings)
    assert Explanation.load(one.save(tmp_path / "e.npz")).warnings == one.warnings


def test_few_steps_of_a_real_model_are_warned_of_and_many_are_not():
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    x = model.spec.to_tensor(np.load("models/data/mnist_sample.npz")["images"].reshape(-1, 28, 28)[:1].astype(np.uint8))
    assert "Raise steps (now 2)" in xaionnx.explain(model, x, "integrated_gradients", steps=2, rule="left").warnings[0]
    assert xaionnx.explain(model, x, "integrated_gradients", steps=128).warnings == ()


ROW = np.float32([[1, 2]])


@pytest.mark.parametrize(
    ("method", "settings", "warned"),
    [
        ("feature_ablation", {}, True),
        ("occlusion", {}, True),
        ("integrated_gradients", {}, True),
        ("smooth_grad", {"inner": "integrated_gradients"}, True),
        ("smooth_grad", {}, False),  # it has no baseline
        ("saliency", {}, False),
        ("feature_ablation", {"baseline": 0}, False),
        ("feature_ablation", {"baseline": {"x": 0}}, False),
        ("feature_ablation", {"baseline": "median:rows.npy"}, False),
    ],
)
def test_a_table_whose_baseline_is_zero_because_none_was_given(tmp_path, monkeypatch, method, settings, warned):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", ROW)
    model = planted.load(planted.linear([[1.0, 2.0]]))
    found = [w for w in xaionnx.explain(model, ROW, method, 0, **settings).warnings if w.startswith("No baseline")]
    assert found == warned * [
        "No baseline was given: the columns of 'x' are compared with 0. Give typical rows, as in "
        "background='rows.csv', or their middle, as in baseline='median:rows.csv' or 'mean:rows.csv', or baseline=0 if "
        "it is meant."
    ]


@pytest.mark.parametrize(("kind", "warned"), [("table", True), ("array", False)])
def test_the_spec_says_what_a_table_is(kind, warned):
    model = Model.load(planted.load(planted.linear([[1.0, 2.0]])).path, spec=InputSpec(kind=kind))
    assert ("zero_by_default" in xaionnx.explain(model, ROW, "feature_ablation", 0).provenance) is warned


def test_whole_numbers_are_a_table_unless_they_are_tokens():
    table = loaded("g (int64[N,2] x) => (float[N,2] y) { y = Cast<to = 1>(x) }")
    found = xaionnx.explain(table, np.array([[1, 2]]), "feature_ablation", 0)
    assert found.provenance["zero_by_default"] == ["x"]
    words = loaded("g (int64[N,2] x) => (float[N,2] y) <float[3] table = {0, 1, 2}> { y = Gather(table, x) }")
    assert "zero_by_default" not in xaionnx.explain(words, np.array([[1, 2]]), "feature_ablation", 0).provenance


def test_columns_that_are_inputs_of_their_own_are_a_table():
    text = "g (float[N,1] age, float[N,1] income) => (float[N,1] y) { y = Add(age, income) }"
    found = xaionnx.explain(loaded(text), {"age": ROW[:, :1], "income": ROW[:, 1:]}, "feature_ablation", 0)
    assert found.warnings[0].startswith("No baseline was given: the columns of 'age' and 'income' are compared with 0.")


def test_the_samples_of_a_large_record_are_looked_at_together(monkeypatch):
    count, taken = 5000, []
    values = RNG.normal(size=(count, 5))
    values[7] = 0
    record = Explanation(
        "m",
        values,
        np.full(count, "y"),
        np.ones(count),
        feature_values=values,
        standard_error=np.where(np.arange(count)[:, None] % 2, 10.0, 0.01) * np.ones_like(values),
        diagnostics={
            "stopped_by": ["budget"] * count,
            "r2": [0.2, *[0.9] * (count - 1)],
            "local_prediction": [1] * count,
        },
        provenance={"parameters": {"tolerance": 0.1, "budget": 200}},
    )
    before = Explanation.sample
    monkeypatch.setattr(Explanation, "sample", lambda self, *where: taken.append(where) or before(self, *where))
    zero, noise, fit, tolerance = record.warnings
    assert (
        zero == "In 1 of 5000 samples, first in sample 7: Every value is zero. Try another target, layer or baseline."
    )
    assert noise.startswith("In 2500 of 5000 samples, first in sample 1: The values are mostly noise")
    assert fit.startswith("In 1 of 5000 samples, first in sample 0: The surrogate explains 20 %")
    assert tolerance.startswith("The budget of 200 was used up before the tolerance of 0.1 was reached.")
    assert len(taken) < 20


def test_what_zero_means_where_no_row_has_it(tmp_path):
    spec = InputSpec(
        kind="table",
        columns=("age", "debt", "home", "rate"),
        categories={"home": ("rent", "own")},
        units={"age": "years"},
    )
    model = planted.load(planted.linear([[1.0, 2.0, 3.0, 4.0]]), spec=spec)
    rows = np.array([[19, 0, 1, 2], [75, 10, 1, 4.5]], np.float32)
    for method in ("feature_ablation", "integrated_gradients", "kernel_shap"):
        (warning,) = xaionnx.explain(model, rows, method, 0).warnings
        assert warning.startswith(
            "No baseline was given: the columns of 'x' are compared with 0, which never occurs in age (19 to 75 years) "
            "and rate (2 to 4.5), and means 'rent' in home. Give typical rows"
        )
        # A single row does not say what occurs.
        (alone,) = xaionnx.explain(model, rows[:1], method, 0).warnings
        assert "are compared with 0. Give typical rows" in alone
    assert not xaionnx.explain(model, rows, "feature_ablation", 0, baseline=0).warnings
    wide = planted.load(planted.linear([[1.0] * 9]))
    (warning,) = xaionnx.explain(wide, np.ones((3, 9), np.float32), "feature_ablation", 0).warnings
    assert "never occurs in x[0] (1 to 1), x[1] (1 to 1), x[2] (1 to 1) and 6 more. Give" in warning


@pytest.mark.parametrize(
    ("kind", "rest", "sums", "warned"),
    [
        ("text", [1.81, 1.79], True, [True, False]),
        ("text", [2.19, 2.21], True, [True, False]),
        # Where nothing changes, that is said instead.
        ("text", [2.0, -1.9], True, [False, False]),
        # Values that do not sum to the change do not share it.
        ("text", [1.9, 1.9], False, [False, False]),
        # Columns at their mean, or a grey picture, are as usual as any.
        ("row", [1.9, 1.9], True, [False, False]),
    ],
)
def test_words_that_hardly_change_the_prediction(kind, rest, sums, warned):
    """Values that sum to a tenth of the prediction look like those that sum to all of it."""
    names = {"texts": ("free money", "no money")} if kind == "text" else {}
    shown = Display(kind, np.zeros((2, 2), np.float32), **names)
    found = Explanation(
        "m",
        np.ones((2, 2)),
        np.array(["spam", "spam"]),
        np.full(2, 2.0),
        baseline_prediction=np.array(rest),
        diagnostics={"completeness_gap": [0.0, 0.0], "relative_gap": [0.0, 0.0]} if sums else {},
        display={"x": shown},
    )
    assert [any("at the baseline" in one for one in found.sample(n).warnings) for n in range(2)] == warned
    if warned[0]:
        assert found.warnings[0].startswith(
            f"In 1 of 2 samples, first in sample 0: The prediction is 2, and {rest[0]} "
        )
        assert found.warnings[0].endswith("the difference, 9.5 % of the prediction. Compare with another baseline.")
