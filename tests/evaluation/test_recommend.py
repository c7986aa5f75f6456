"""Recommendations: what is trusted, what never is, and what they cost."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests import tiny
from xaionnx.errors import ParameterError
from xaionnx.evaluation import Recommendation, Scores, ScoreTable, recommend
from xaionnx.evaluation.controls.edges import Edges
from xaionnx.evaluation.recommendation import Choice, joined, mean_ranks


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


def test_mean_ranks_count_missing_scores_as_the_last():
    def one(values):
        return Scores("deletion", "m", np.array(values), "lower", (0, 1))

    table = ScoreTable({"a": {"deletion": one([0.1, 0.2])}, "b": {"deletion": one([0.3, np.nan])}, "c": {}})
    assert mean_ranks(table, ["a", "b", "c"]) == pytest.approx({"a": 0.0, "b": 0.625, "c": 0.875})


def test_scores_of_further_samples_stay_with_their_samples():
    def one(*values):
        return Scores("m", "a", np.array(values), "lower", (0, 1))

    first, second = ScoreTable({"a": {"x": one(1, 2)}}), ScoreTable({"a": {"y": one(3.0)}})
    found = joined(joined(ScoreTable({}), first), second).scores["a"]
    np.testing.assert_array_equal(found["x"].values, [1, 2, np.nan])
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
    assert said == "0.64 ms an input: a; 110 ms an input: b; 12 s an input: c."
