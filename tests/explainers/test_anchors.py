"""Anchors: published bounds, planted rules, precision by enumeration, and refusals."""

import numpy as np
import onnxruntime as ort
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.kl_lucb import Arms, exploration, lower_bound, upper_bound
from xaionnx.explainers.anchors import Anchors
from xaionnx.render.readings import rule

ROWS = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
Q25, Q75 = np.percentile(ROWS.astype(float), 25, axis=0), np.percentile(ROWS.astype(float), 75, axis=0)


def planted_rule():
    """Class 1 where column 0 is in its highest quartile and column 2 in its lowest."""
    nodes = [
        tiny.node("Split", ["x"], ["a", "b", "c", "d"], axis=1, num_outputs=4),
        tiny.node("Greater", ["a", "high"], ["first"]),
        tiny.node("LessOrEqual", ["c", "low"], ["second"]),
        tiny.node("And", ["first", "second"], ["both"]),
        tiny.node("Cast", ["both"], ["one"], to=1),
        tiny.node("Sub", ["unit", "one"], ["zero"]),
        tiny.node("Concat", ["zero", "one"], ["y"], axis=1),
    ]
    constants = {"high": np.float32([Q75[0]]), "low": np.float32([Q25[2]]), "unit": np.float32([1])}
    return planted.load(
        tiny.model(nodes, [tiny.tensor("x", ["N", 4])], [tiny.tensor("y", ["N", 2])], constants, opset=18)
    )


@pytest.mark.parametrize(
    ("n", "p", "beta", "low", "high"),
    [
        (10, 0.5, 3, 0.164147, 0.835853),
        (100, 0.9, 3, 0.811097, 0.957621),
        (100, 0.95, 3, 0.878409, 0.986627),
        (20, 1.0, 3, 0.860708, 1),
        (20, 0.0, 3, 0, 0.139292),
        (1000, 0.96, 5, 0.937283, 0.976617),
    ],
)
def test_published_bounds(n, p, beta, low, high):
    mean, level = np.array([p]), np.array([beta / n])
    assert_close(lower_bound(mean, level), [low], Tolerance.ORDER_ONE)
    assert_close(upper_bound(mean, level), [high], Tolerance.ORDER_ONE)


@pytest.mark.parametrize(
    ("arms", "t", "delta", "rate"),
    [(1, 1, 0.05, 11.198173), (4, 1, 0.05, 12.727717), (4, 10, 0.1, 14.730478), (30, 5, 0.05, 16.823731)],
)
def test_published_rates_of_exploration(arms, t, delta, rate):
    assert_close(exploration(arms, t, delta), rate, Tolerance.OPERATIONS)


def test_the_best_arms_are_found():
    """Over 40 runs of arms with known means, the worst arm that is chosen is within the gap of the third best."""
    means, wrong = np.array([0.9, 0.2, 0.8, 0.75, 0.3, 0.5]), 0
    arms = [frozenset({k}) for k in range(6)]
    for seed in range(40):
        rng = np.random.default_rng(seed)

        search = Arms(20).best(arms, 3, 0.1, 0.1)
        chosen = next(search)
        while True:
            try:
                chosen = search.send([int((rng.random(20) < means[min(arm)]).sum()) for arm in chosen])
            except StopIteration as end:
                best = end.value
                break
        wrong += min(means[min(arm)] for arm in best) < 0.75 - 0.1
    assert wrong <= 4


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_rule_of_a_table_is_found_exactly(seed):
    x = np.array([[2.0, 0.1, -2.0, 0.3]], np.float32)
    result = xaionnx.explain(planted_rule(), x, Anchors(background=ROWS, seed=seed))
    assert result.values.tolist() == [[1, 0, 1, 0]]
    told = result.diagnostics
    assert told["anchor"] == [[[0, 2]]]
    assert told["precision"] == [[1.0]]
    assert told["found"] == [[True]]
    assert told["precision_bounds"][0][0][0] > 0.9
    assert_close(told["coverage"][0][0], ((ROWS[:, 0] > Q75[0]) & (ROWS[:, 2] <= Q25[2])).mean(), Tolerance.ORDER_ONE)
    assert told["rule"][0][0].startswith("x[0] > 0.")
    assert " and x[2] <= −0." in told["rule"][0][0]
    assert told["evaluations"][0] < 5000


def test_one_condition_is_enough_for_the_other_class():
    """A sample in the lowest quartile of column 0 is of class 0, whatever column 2 is."""
    x = np.array([[-2.0, 0.1, -2.0, 0.3]], np.float32)
    result = xaionnx.explain(planted_rule(), x, Anchors(background=ROWS, precision=1.0, gap=0.03))
    assert result.diagnostics["anchor"] == [[[0]]]
    # At a precision of 0.93 nothing needs to hold: 94 % of all rows are of class 0.
    loose = xaionnx.explain(planted_rule(), x, Anchors(background=ROWS, precision=0.9))
    assert loose.diagnostics["anchor"] == [[[]]]
    assert loose.diagnostics["coverage"] == [[1.0]]
    assert not loose.values.any()
    assert rule(loose.sample(0))[0].startswith("Whatever the features are, the prediction is the same in 9")
    assert loose.warnings[0].startswith("The rule has no condition: with every feature free to change, 9")
    assert "Raise precision (now 0.9) for a rule that does better" in loose.warnings[0]


def test_the_precision_of_a_rule_of_the_forest_by_all_rows():
    """The rules of two loans, checked with every row of the data."""
    model = Model.load("models/german_credit_forest.onnx")
    rows = model.read("models/data/german_credit.csv").arrays[model.input().name]
    result = xaionnx.explain(model, rows[[0, 16]], Anchors(background=rows))
    output = model.output().name
    for n in range(2):
        anchor, x = result.diagnostics["anchor"][n][0], rows[[0, 16][n]]
        assert result.diagnostics["found"][n] == [True]
        rng = np.random.default_rng(5)
        changed = rows.copy()
        for k in anchor:
            edges = np.unique(np.percentile(rows[:, k], (25, 50, 75)))
            words = model.spec.columns[k] in model.spec.categories
            meets = rows[:, k] == x[k]
            if not words:
                meets = np.searchsorted(edges, rows[:, k]) == np.searchsorted(edges, x[k])
            changed[:, k] = rng.choice(rows[meets, k], len(rows))
        scores = np.asarray(model.run({model.input().name: changed})[output])
        own = np.asarray(model.run({model.input().name: x[None]})[output]).argmax()
        precision = (scores.argmax(axis=1) == own).mean()
        low, high = result.diagnostics["precision_bounds"][n][0]
        assert precision > 0.9
        assert low - 0.03 < precision < high + 0.03
        names = result.sample(n).feature_names
        assert result.diagnostics["rule"][n][0] == " and ".join(names[k] for k in anchor)


def test_rules_of_refused_loans_are_found_within_the_budget_or_said_not_to_be():
    """All of it once went to rules of two conditions, of 20 columns; sample 9 is near the boundary."""
    model = Model.load("models/german_credit_mlp.onnx")
    rows = model.read("models/data/german_credit.csv").arrays["features"]
    result = xaionnx.explain(model, rows[[9, 17, 50]], Anchors(background=rows))
    assert result.diagnostics["found"] == [[False], [True], [True]]
    assert max(result.diagnostics["evaluations"]) <= 20_000
    (warning,) = result.warnings
    assert warning.startswith(
        "In 1 of 3 samples, first in sample 0: No rule was found that keeps the prediction in 95 %"
    )
    assert "Raise budget (now 20,000), lower precision, or use kernel_shap." in warning
    told = rule(result.sample(1))[0]
    held = result.diagnostics["rule"][1][0].replace("_", " ")
    assert told.startswith(f"If {held}, the prediction is the same in 9")


def test_parts_of_a_picture_that_must_stay():
    """One quadrant decides; the top class stays if its cells are kept."""
    weights = np.zeros((2, 1, 8, 8))
    weights[1, 0, :4, :4] = 1
    weights[0, 0, 0, 7] = 7.5
    model, x = planted.load(planted.linear(weights)), np.ones((1, 1, 8, 8), np.float32)
    result = xaionnx.explain(model, x, "anchors", features="grid:2")
    assert result.feature_values.tolist() == [[1, 0, 0, 0]]
    assert result.diagnostics["coverage"] == [[0.5]]
    assert result.diagnostics["rule"] == [["feature 0"]]
    kept = rule(result.sample(0), "While the red parts are kept")[0]
    assert kept.startswith("While the red parts are kept, the prediction is the same in 100 % of neighbours (")
    assert kept.endswith("; the rule holds for 50 % of all.")


def test_a_threshold_divides_a_regression_and_targets_have_rules_of_their_own():
    model = planted.load(planted.linear([[3.0, 0, 0, 0], [0, 0, 2.0, 2.0]]))
    x = np.ones((1, 4), np.float32)
    result = xaionnx.explain(model, x, Anchors(threshold=2.5), [0, 1])
    assert result.values[:, 0].tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]
    half = xaionnx.explain(planted.load(planted.linear([[0, 0, 0, 2.0]])), x, "anchors")
    assert half.values.tolist() == [[0, 0, 0, 1]]


def test_the_budget_is_kept_and_what_is_not_found_is_said():
    rng = np.random.default_rng(0)
    model = planted.load(planted.linear(rng.normal(size=(2, 12))))
    x = 0.01 * rng.normal(size=(1, 12)).astype(np.float32)
    rows = rng.normal(size=(200, 12)).astype(np.float32)
    result = xaionnx.explain(model, x, Anchors(background=rows, budget=900))
    assert result.diagnostics["found"] == [[False]]
    assert result.diagnostics["evaluations"][0] <= 900
    with pytest.raises(BudgetError, match=r"Anchors needs at least \d+ model evaluations for 12 features"):
        xaionnx.explain(model, x, Anchors(background=rows, budget=40))
    with pytest.raises(ParameterError, match=r"divides columns by rows of data, of which there are 5"):
        xaionnx.explain(model, x, Anchors(background=rows[:5]))


@pytest.mark.parametrize("rows", [True, False])
def test_rows_have_the_same_rules_alone_and_among_others(rows):
    x = ROWS[:9].copy()
    settings = {"background": ROWS[:200]} if rows else {"baseline": 0.0}
    many = xaionnx.explain(planted_rule(), x, Anchors(**settings))
    for n in range(len(x)):
        one = xaionnx.explain(planted_rule(), x[n : n + 1], Anchors(**settings))
        for key, found in one.diagnostics.items():
            assert key == "seconds" or found[0] == many.diagnostics[key][n]
        np.testing.assert_array_equal(one.values[0], many.values[n])
    if rows:
        assert len({tuple(names) for names in many.provenance["feature_names"]}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("photo", ["cat.png", "coffee.jpg"])
def test_the_precision_of_an_anchor_of_a_photo_on_fresh_coalitions(photo):
    """Superpixels that keep the class: the bounds hold for masks of another seed, run by the bare session."""
    model = Model.load("models/efficientnet_lite0.onnx")
    x = model.read(f"models/photos/{photo}").arrays[model.input().name]
    settings = {"features": "superpixels:20", "baseline": "blur", "precision": 0.9, "gap": 0.1, "budget": 1500}
    result = xaionnx.explain(model, x, "anchors", **settings)
    sample = model.samples({model.input().name: x})[0]
    blurred = xaionnx.Baseline.of("blur").draws(sample, (sample.main,), 0)[sample.main][0]
    (anchor,), (low, high) = result.diagnostics["anchor"][0], result.diagnostics["precision_bounds"][0][0]
    kept = np.random.default_rng(99).random((200, result.feature_values.shape[1])) < 0.5
    kept[:, anchor] = True
    labels = np.broadcast_to(np.asarray(result.features)[0], x.shape[1:])
    session = ort.InferenceSession("models/efficientnet_lite0.onnx", providers=["CPUExecutionProvider"])
    inputs = [np.where(row[labels], x[0], blurred).astype(np.float32)[None] for row in kept]
    classes = [int(session.run(None, {model.input().name: one})[0].argmax()) for one in [x, *inputs]]
    precision = np.mean(np.array(classes[1:]) == classes[0])
    # 200 masks tell the precision to 0.035.
    assert low - 0.1 < precision < high + 0.1
    assert result.diagnostics["found"] == [[photo == "cat.png"]]
