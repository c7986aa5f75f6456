"""Recommendations: what is trusted, what never is, and what they cost."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits
from xaionnx_cli.recommend import _distrusted_lines

from tests import tiny
from xaionnx.errors import ParameterError, TimeLimitError
from xaionnx.evaluation import Recommendation, Scores, ScoreTable, recommend, successive_halving
from xaionnx.evaluation.controls.edges import Edges
from xaionnx.evaluation.joining import joined
from xaionnx.evaluation.recommendation import Choice, mean_ranks, recommended, why_unfaithful
from xaionnx.evaluation.scored_blocks import table_of
from xaionnx.evaluation.successive_halving import _better_halves
from xaionnx.evaluation.time_share import OUT_OF_TIME, TOO_LONG, TimeShare
from xaionnx.explainers.occlusion import Occlusion


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:8, None].astype(np.float32)


def test_a_method_that_ignores_the_model_is_never_named(digits):
    metrics = ["deletion", "parameter_randomisation"]
    found = recommend(tiny.trained("digits_cnn"), digits, methods=[Edges(), "input_x_gradient"], metrics=metrics)
    assert [choice.method for choice in found.choices] == ["input_x_gradient"]
    assert "hardly change when the weights" in found.distrusted["edges"]
    assert "input_x_gradient" in str(found)


def test_each_choice_ranks_better_than_all_cheaper_ones(digits):
    methods = ["saliency", "input_x_gradient", "occlusion", "feature_ablation"]
    found = recommend(tiny.trained("digits_cnn"), digits, methods=methods, metrics=["deletion"])
    ranks, prices = ([getattr(one, name) for one in found.choices] for name in ("rank", "seconds"))
    assert ranks == sorted(ranks, reverse=True)
    assert prices == sorted(prices)


def test_the_budget_of_time_is_shared_by_the_methods(digits):
    """By a clock that moves with each look at it: a method that is slow leaves the others theirs."""
    looks = iter(range(100_000))
    found = recommend(
        tiny.trained("digits_cnn"),
        digits,
        methods=["feature_permutation", "saliency", "input_x_gradient"],
        metrics=["max_sensitivity", "sparseness"],
        budget_s=1000,
        clock=lambda: next(looks),
    )
    assert next(looks) < 1100
    assert set(found.table.scores["input_x_gradient"]) == {"max_sensitivity", "sparseness"}
    assert found.choices


def slowed(monkeypatch, kind, seconds):
    """A clock that this kind of method moves by so many seconds."""
    now, inner = [0.0], kind.compute

    def compute(self, request):
        now[0] += seconds
        return inner(self, request)

    monkeypatch.setattr(kind, "compute", compute)
    return lambda: now[0]


@pytest.mark.parametrize(("seconds", "judged"), [(30, True), (60, False)])
def test_a_method_that_took_too_long_gets_the_time_that_the_others_left(monkeypatch, digits, seconds, judged):
    """Of 100 s of the only round, half of a quarter is its first share, and half of what it left its second."""
    methods = ["occlusion", "saliency", "input_x_gradient", "lrp"]
    found = recommend(
        tiny.trained("digits_cnn"),
        digits[:2],
        methods=methods,
        metrics=["deletion"],
        budget_s=100,
        clock=slowed(monkeypatch, Occlusion, seconds),
    )
    assert set(found.table.scores) == set(methods) - (set() if judged else {"occlusion"})
    assert ("occlusion" in found.table.refused) != judged
    for each in found.table.scores.values():
        assert each["deletion"].count == 2


@pytest.mark.parametrize(("seconds", "judged"), [(25, True), (120, False)])
def test_a_single_method_may_take_what_later_rounds_would(monkeypatch, digits, seconds, judged):
    """Of 100 s, the first round has 50 s; each explanation takes 25 s, and is done again for its price."""
    found = recommend(
        tiny.trained("digits_cnn"),
        digits,
        methods=["occlusion"],
        metrics=["deletion"],
        budget_s=100,
        clock=slowed(monkeypatch, Occlusion, seconds),
    )
    assert [choice.method for choice in found.choices] == ["occlusion"] * judged
    assert bool(found.table.refused) != judged


def test_a_round_that_ended_early_does_not_say_that_inputs_are_missing(monkeypatch, digits):
    def ended(*given, **options):
        return dataclasses.replace(table_of(*given, **options), stopped="The time is used up.")

    monkeypatch.setattr(successive_halving, "table_of", ended)
    found = recommend(tiny.trained("digits_cnn"), digits, methods=["saliency", "grad_cam"], metrics=["sparseness"])
    assert len(found.table.inputs) == len(digits)
    assert not found.table.stopped


def test_methods_to_trust_go_on_before_those_that_are_not(digits):
    """The edges of the input rank first by deletion, and ignore the model."""
    scored = {"edges": scores("deletion", "lower", [0.3] * 4), "good": scores("deletion", "lower", [*CLEAR, 0.2])}
    same = Scores("parameter_randomisation", "edges", np.ones(4), "lower", (-1, 1))
    scored["edges"]["parameter_randomisation"] = same
    table = ScoreTable(scored, seconds={"edges": 1.0, "good": 1.0}, inputs=("a", "b", "c", "d"))
    assert mean_ranks(ScoreTable({"edges": scored["edges"], "good": scored["good"]}), ["edges", "good"])["edges"] == 0
    assert list(_better_halves(dict.fromkeys(scored), table, ["deletion"])) == ["good"]


def test_two_samples_do_not_end_a_method_that_is_worse_on_their_mean():
    """Better by 0.2 on one and worse by 0.3 on the other: the interval has 0 within."""
    gains = {"mixed": ([0.2, -0.3], [0.5, 0.5]), "plain": ([0.1, 0.1], [0.1, 0.1]), "worse": ([-0.1, -0.2], [0.4, 0.4])}
    scored = {
        name: scores("deletion", "lower", one) | scores("max_sensitivity", "lower", other)
        for name, (one, other) in gains.items()
    }
    table = ScoreTable(scored, seconds=dict.fromkeys(scored, 1.0), inputs=("a", "b"))
    assert why_unfaithful(ScoreTable(scored), "mixed", ["deletion"]).startswith("worse than random")
    assert list(_better_halves(dict.fromkeys(scored), table, ["deletion"])) == ["mixed", "plain"]


def test_mean_ranks_count_missing_scores_as_the_last():
    def one(values):
        return Scores("deletion", "m", np.array(values), "lower", (0, 1))

    table = ScoreTable({"a": {"deletion": one([0.1, 0.2])}, "b": {"deletion": one([0.3, np.nan])}, "c": {}})
    assert mean_ranks(table, ["a", "b", "c"]) == pytest.approx({"a": 0.0, "b": 0.625, "c": 0.875})


def test_scores_of_further_samples_stay_with_their_samples():
    def one(*values):
        return Scores("m", "a", np.array(values), "lower", (0, 1))

    first = ScoreTable({"a": {"x": one(1, 2)}}, inputs=("0", "1"))
    second = ScoreTable({"a": {"y": one(3.0)}}, inputs=("2",))
    found = joined(joined(ScoreTable({}), first), second).scores["a"]
    np.testing.assert_array_equal(found["x"].values, [1, 2])
    np.testing.assert_array_equal(found["y"].values, [np.nan, np.nan, 3])
    assert set(found["y"].reasons) == {0, 1}


def test_a_metric_that_applies_to_none_of_the_methods_counts_for_none():
    one = Scores("deletion", "m", np.array([0.1, 0.2]), "lower", (0, 1))
    table = ScoreTable({"a": {"deletion": one}, "b": {}, "c": {}})
    assert mean_ranks(table, ["b", "c"]) == {"b": 0.0, "c": 0.0}


def test_one_sample_is_too_few(digits):
    with pytest.raises(ParameterError, match="needs two samples"):
        recommend(tiny.trained("digits_cnn"), digits[:1])


def test_the_answer_writes_prices_as_people_do():
    choices = tuple(Choice(name, price, 0.5, 4) for name, price in (("a", 0.00064), ("b", 0.1131), ("c", 12.3)))
    said = str(Recommendation(choices, {}, ScoreTable({})))
    assert said == "Recommended at 0.64 ms an input: a; at 110 ms an input: b; at 12 s an input: c."


def scores(metric, direction, gains):
    """Scores that are better than random values by these."""
    random = np.linspace(0.3, 0.6, len(gains))
    values = random + (1 if direction == "higher" else -1) * np.array(gains)
    control = Scores(metric, "random", random, direction, (0, 1))
    return {metric: Scores(metric, "m", values, direction, (0, 1), controls={"random": control})}


CLEAR, UNCLEAR, NONE, WORSE = [0.1, 0.2, 0.1], [0.3, -0.1, -0.1], [0.0, 0.0, 0.0], [-0.1, 0.05, -0.1]
BY_NOTHING = "not clearly better than random values by deletion or insertion"


@pytest.mark.parametrize(
    ("deletion", "insertion", "why"),
    [
        (CLEAR, CLEAR, ""),
        (UNCLEAR, CLEAR, ""),
        (NONE, CLEAR, ""),
        (WORSE, CLEAR, "worse than random values by deletion"),
        (CLEAR, WORSE, "worse than random values by insertion"),
        (WORSE, WORSE, "worse than random values by deletion and insertion"),
        (UNCLEAR, UNCLEAR, BY_NOTHING),
        (NONE, NONE, BY_NOTHING),
        ([np.nan] * 3, CLEAR, ""),
        ([np.nan] * 3, [np.nan] * 3, "without a score of faithfulness"),
    ],
)
def test_a_method_is_trusted_if_no_metric_of_faithfulness_says_worse_and_one_says_clearly_better(
    deletion, insertion, why
):
    found = scores("deletion", "lower", deletion) | scores("insertion", "higher", insertion)
    assert why_unfaithful(ScoreTable({"m": found}), "m", ["deletion", "insertion"]) == why


@pytest.mark.parametrize(
    ("refused", "reasons", "why"),
    [
        ({}, {0: "all values are 0", 1: "all values are equal.", 2: "all values are equal."}, "all values are equal"),
        ({"m by insertion": "It does not apply."}, None, "It does not apply"),
        ({"insertion": "It needs masks."}, None, "It needs masks"),
        ({"m": "It is of pictures."}, None, "It is of pictures"),
        ({"m": TOO_LONG}, None, None),
        ({}, None, None),
    ],
)
def test_a_method_that_nothing_judged_has_the_reason_of_the_metric_and_not_of_the_time(refused, reasons, why):
    """The time was said to be too short for methods whose values are all equal."""
    scored = scores("insertion", "higher", [np.nan] * 3)["insertion"]
    own = {} if reasons is None else {"insertion": dataclasses.replace(scored, reasons=reasons)}
    found = recommended(ScoreTable({"m": own}, refused, {"m": 1.0}), ["insertion"])
    assert ("too short to judge 1 method" in str(found)) == (why is None)
    assert found.distrusted["m"] == (
        "the time was too short for a score of faithfulness"
        if why is None
        else f"without a score of faithfulness ({why})"
    )


def test_methods_left_behind_are_named_if_those_judged_longest_are_not_to_be_trusted():
    longest = scores("deletion", "lower", [-0.1] * 8)
    table = ScoreTable({"poor": longest, "good": scores("deletion", "lower", CLEAR)}, seconds={"poor": 1, "good": 2})
    found = recommended(table, ["deletion"])
    assert [(choice.method, choice.samples) for choice in found.choices] == [("good", 3)]
    assert found.ranking == ("good", "poor")
    assert found.distrusted == {"poor": "worse than random values by deletion"}


def test_each_price_keeps_its_method_where_the_time_ends_within_a_round():
    table = ScoreTable(
        {
            "left_behind": scores("deletion", "lower", [0.3, 0.31]),
            "cheap": scores("deletion", "lower", [0.1, 0.2, 0.1, 0.2]),
            "dear": scores("deletion", "lower", [0.2, 0.25] * 4),
            "dear_and_worse": scores("deletion", "lower", [0.1, 0.15] * 2),
        },
        seconds={"left_behind": 0.0003, "cheap": 0.003, "dear": 0.05, "dear_and_worse": 0.03},
    )
    found = recommended(table, ["deletion"])
    assert [(choice.method, choice.samples) for choice in found.choices] == [("cheap", 4), ("dear", 8)]


def test_a_method_that_ignores_the_model_ranks_below_those_that_are_unfaithful():
    same = Scores("parameter_randomisation", "edges", np.full(8, 0.99), "lower", (-1, 1))
    edges = {**scores("deletion", "lower", CLEAR * 2), "parameter_randomisation": same}
    table = ScoreTable({"edges": edges, "poor": scores("deletion", "lower", WORSE)}, seconds={"edges": 1, "poor": 1})
    found = recommended(table, ["deletion"])
    assert found.ranking == ("poor", "edges")
    assert not found.choices
    assert str(found) == "No method can be trusted by these metrics."


def test_too_little_time_is_not_said_to_be_a_fault_of_the_methods():
    table = ScoreTable({"a": {}, "poor": scores("deletion", "lower", WORSE)}, seconds={"a": 1, "poor": 1})
    said = str(recommended(table, ["deletion"]))
    assert said.endswith("The time was too short to judge 1 method: raise the budget.")


def test_the_reason_is_ahead_of_the_methods_that_are_not_recommended():
    judged = {name: scores("deletion", "lower", WORSE) for name in ("a", "b")}
    found = recommended(ScoreTable(judged, seconds={"a": 1, "b": 1}), ["deletion"])
    assert _distrusted_lines(found) == ["Not recommended, worse than random values by deletion: a, b."]


@pytest.mark.parametrize("looks", [1, 2, 3, 4])
def test_nothing_judged_is_no_judgement(digits, looks):
    """The clock is at the end of the budget after so many looks, and ahead of the first method, which says why."""
    times = iter([*[0.0] * looks, *[10.0] * 100])
    found = recommend(
        tiny.trained("digits_cnn"),
        digits,
        methods=["saliency"],
        metrics=["sparseness"],
        budget_s=5,
        clock=lambda: next(times),
    )
    assert found.table.refused["saliency"] in OUT_OF_TIME
    assert str(found) == "No method has a score. The time was too short to judge 1 method: raise the budget."


def test_a_recommendation_says_how_many_methods_the_time_was_too_short_for():
    with pytest.raises(TimeLimitError) as stopped:
        TimeShare(0.0, lambda: 1.0).of(1)
    table = ScoreTable(
        {"good": scores("deletion", "lower", CLEAR), "late": {}},
        dict.fromkeys(("late", "never", "good by insertion"), str(stopped.value)) | {"other": "it does not apply"},
        {"good": 0.1, "late": 1},
    )
    said = str(recommended(table, ["deletion"]))
    assert said == "Recommended at 100 ms an input: good. The time was too short to judge 2 methods: raise the budget."


@pytest.mark.parametrize(
    ("reason", "trusted"),
    [(TOO_LONG, False), (None, False), ("digits_cnn.onnx has no weights that could be randomised.", True)],
)
def test_a_method_that_there_was_no_time_to_randomise_is_not_named(reason, trusted):
    table = ScoreTable(
        {"slow": scores("deletion", "lower", CLEAR)},
        {} if reason is None else {"slow by parameter_randomisation": reason},
        {"slow": 1.0},
        {"metrics": {"deletion": {}, "parameter_randomisation": {}}},
    )
    found = recommended(table, ["deletion"])
    assert bool(found.choices) == trusted
    assert ("too short to judge 1 method" in str(found)) != trusted


def test_targets_in_the_order_of_files_need_one_order(digits, tmp_path):
    for n in (9, 10):
        np.save(tmp_path / f"{n}.npy", digits[:1])
    with pytest.raises(ParameterError, match="may come before or after"):
        recommend(tiny.trained("digits_cnn"), tmp_path, methods=["saliency"], target=np.array([3, 5]))


def test_a_method_without_scores_is_not_named_whatever_was_asked_for():
    table = ScoreTable({"slow": {}}, {"slow by sparseness": "no time"}, {"slow": 1.0})
    assert not recommended(table, ()).choices


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_a_budget_is_a_positive_number(digits, budget):
    with pytest.raises(ParameterError, match="a positive budget"):
        recommend(tiny.trained("digits_cnn"), digits, methods=["saliency"], metrics=["sparseness"], budget_s=budget)


def test_two_methods_of_one_name_are_refused(digits):
    with pytest.raises(ParameterError, match="'saliency' is named twice"):
        recommend(tiny.trained("digits_cnn"), digits, methods=["saliency"] * 2, metrics=["sparseness"])
