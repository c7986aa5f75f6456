"""Tables of scores: paired tests, and their correction."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon
from sklearn.datasets import load_digits

from models import planted
from tests import tiny
from tests.counting import Heard
from xaionnx import Target, explain
from xaionnx.errors import ParameterError
from xaionnx.evaluation import Scores, ScoreTable, evaluate, score_table
from xaionnx.evaluation.joining import followed_by, not_measured
from xaionnx.evaluation.signed_ranks import fewest_samples, holm, p_of_signed_ranks
from xaionnx.explainers.saliency import Saliency
from xaionnx.metrics.faithfulness.deletion import Deletion
from xaionnx.render import score_page, verdict
from xaionnx.runtime import progress


def scores(method, values, control, direction="lower"):
    random = Scores("deletion", "random", np.asarray(control), direction, (0, 1))
    return Scores("deletion", method, np.asarray(values), direction, (0, 1), controls={"random": random})


@pytest.fixture
def table():
    """A clearly best method, a second, and one that is no better than the control."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, 12)
    each = {"good": base - 0.2, "fair": base - 0.1, "none": base + rng.normal(0, 0.05, 12)}
    return ScoreTable({name: {"deletion": scores(name, values, base)} for name, values in each.items()})


def test_best_and_worse_than_control(table):
    standings = table.standings("deletion")
    assert [name for name, one in standings.items() if one.best] == ["good"]
    assert [one.beats_control for one in standings.values()] == [True, True, False]
    # Twelve signed ranks of one sign: 2^-12, times three methods.
    assert standings["good"].p_control == pytest.approx(3 / 2**12)
    assert verdict(table) == [
        "deletion: good is better than every other method.",
        "deletion: none is no better than the control.",
    ]


def named(metric, category, value):
    return Scores(metric, "m", np.full(8, value), "lower", (0, 1), category=category)


def test_a_table_of_many_metrics_has_a_line_for_each_below_its_category():
    metrics = {"road": ("faithfulness", 0.5), "entropy": ("complexity", np.nan), "irof": ("faithfulness", 0.25)}
    each = {name: named(name, *facts) for name, facts in metrics.items()}
    table = ScoreTable({"saliency": each, "lrp": {"road": named("road", "faithfulness", 0.125)}})
    assert repr(table).split("\n") == [
        "ScoreTable of 2 methods by 3 metrics",
        "           saliency     lrp",
        "faithfulness",
        "  road          0.5   0.125*",
        "  irof         0.25    none",
        "complexity",
        "  entropy      none    none",
        "*: better than every other method",
    ]


def test_columns_of_a_table_that_do_not_fit_beside_each_other_are_in_several_blocks():
    """Each block has the names of the rows, and no mean is lost."""
    methods = {f"method_of_a_long_name_{n}": n / 100 for n in range(13)}
    names = [f"metric_{n}" for n in range(14)]
    for given in (methods, dict.fromkeys(names, 0.25)):
        rows = {name: {metric: named(metric, "one", value) for metric in names} for name, value in given.items()}
        lines = repr(ScoreTable(rows)).split("\n")[1:]
        assert max(map(len, lines)) <= 100
        words = " ".join(lines).split()
        for value in set(given.values()):
            count = len(names) * [*given.values()].count(value)
            assert sum(word.strip("*") == f"{value:.3g}" for word in words) == count
        heads = [line for line in lines if line.startswith(" " * 8)]
        assert len(heads) > 1
        shorter = names if len(given) >= len(names) else list(given)
        assert " ".join(heads).split() == shorter


def test_one_metric_of_faithfulness_says_who_is_better_than_the_control_too(table):
    judged = {
        name: {"deletion": dataclasses.replace(each["deletion"], category="faithfulness")}
        for name, each in table.scores.items()
    }
    assert verdict(ScoreTable(judged)) == ["Better than the control by deletion: good, fair.", *verdict(table)]
    assert verdict(ScoreTable({"good": judged["good"]})) == [
        "Better than the control by deletion: good.",
        *verdict(ScoreTable({"good": table.scores["good"]})),
    ]


def test_a_tie_has_no_best(table):
    same = {**table.scores, "twin": table.scores["good"]}
    assert not any(one.best for one in ScoreTable(same).standings("deletion").values())


def test_few_samples_are_not_tested():
    few = ScoreTable({"a": {"deletion": scores("a", [0.1] * 5, [0.5] * 5)}})
    assert np.isnan(few.standings("deletion")["a"].p_control)
    assert "too few samples" in verdict(few)[0]


def test_scores_that_ended_early_are_counted_and_not_listed():
    """A slow metric of many methods was a wall of names, one sentence for each number of samples."""

    def some(name, *values):
        return scores(name, values, [0.5] * len(values))

    early = {name: some(name, 0.1, 0.1) for name in ("a", "b")}
    whole = {name: some(name, *[0.1] * 8) for name in ("a", "b")}
    table = ScoreTable({name: {"deletion": whole[name], "insertion": early[name]} for name in ("a", "b")})
    table.scores["c"] = {"deletion": some("c", 0.1, np.nan, np.nan, np.nan)}
    said = "3 of 5 scores of a method by a metric are of the first samples alone, the fewest of 2, and not of all 8."
    assert said in verdict(table)
    few = [one for one in verdict(table) if one.endswith("samples alone.")]
    assert few == ["deletion: c has a score on 1 of 4 samples alone."]


def test_why_no_sample_has_a_score_is_said():
    """It was said that samples were too few."""
    each = dataclasses.replace(scores("a", [np.nan] * 8, [np.nan] * 8), reasons=dict.fromkeys(range(8), "it is empty"))
    assert verdict(ScoreTable({"a": {"deletion": each}})) == ["deletion: no sample has a score: it is empty."]
    several = dataclasses.replace(each, reasons={**each.reasons, 7: "it is full"})
    assert verdict(ScoreTable({"a": {"deletion": several}})) == [
        "deletion: no sample has a score: it is empty, and for 1 other reason."
    ]


@pytest.mark.parametrize("methods", [1, 3, 4, 12, 39])
def test_fewer_samples_than_can_be_significant_are_not_tested(methods):
    """Differences of one sign throughout are the clearest that there are."""
    enough = fewest_samples(methods)
    for count, tested in ((enough - 1, False), (enough, True)):
        each = {f"m{n}": {"deletion": scores(f"m{n}", [0.1] * count, [0.5] * count)} for n in range(methods)}
        standings = ScoreTable(each).standings("deletion").values()
        assert all(np.isnan(one.p_control) != tested for one in standings)
        assert all(one.beats_control == tested for one in standings)
        named = f"{methods} method{'s' if methods > 1 else ''}"
        said = f"too few samples have a score for a test of {named}; at least {enough} are needed"
        assert any(said in line for line in verdict(ScoreTable(each))) != tested


def test_higher_is_better_turns_the_test():
    values, control = np.linspace(0.6, 0.9, 8), np.linspace(0.2, 0.4, 8)
    one = ScoreTable({"a": {"insertion": scores("a", values, control, "higher")}}).standings("insertion")["a"]
    assert one.beats_control


def test_holm():
    # Corrections of the same p values by Bonferroni and by Benjamini and Hochberg differ from these.
    assert holm([0.001, 0.013, 0.02, 0.04, 0.3]) == pytest.approx([0.005, 0.052, 0.06, 0.08, 0.3])
    assert holm([0.02, float("nan"), 0.01]) == pytest.approx([0.02, float("nan"), 0.02], nan_ok=True)


def test_controls_are_measured_once_and_are_those_of_each_method():
    digits = load_digits().images[:3, None].astype(np.float32)
    model, controls = tiny.trained("digits_cnn"), ("random", "edges", "other_class")
    found = score_table(model, digits, ["saliency", "grad_cam"], ["deletion"], 1, controls=controls)
    for name in ("saliency", "grad_cam"):
        alone = evaluate(model, digits, name, "deletion", 1, controls=controls)
        for control in controls:
            np.testing.assert_array_equal(
                found.scores[name]["deletion"].controls[control].values, alone.controls[control].values
            )
    ours, other = (found.scores[name]["deletion"].controls for name in ("saliency", "grad_cam"))
    assert ours["random"] is other["random"]
    assert ours["other_class"] is not other["other_class"]


def test_methods_are_judged_by_all_metrics_of_faithfulness_together():
    def one(metric, values, category="faithfulness"):
        made = scores("m", values, np.full(8, 0.5))
        return dataclasses.replace(made, metric=metric, category=category)

    better, worse = np.linspace(0.1, 0.2, 8), np.linspace(0.6, 0.7, 8)
    same = one("parameter_randomisation", np.full(8, 0.99), "randomisation")
    table = ScoreTable(
        {
            "always": {"deletion": one("deletion", better), "road": one("road", better)},
            "once": {"deletion": one("deletion", better), "road": one("road", worse)},
            "never": {
                "deletion": one("deletion", worse),
                "road": one("road", worse),
                "parameter_randomisation": same,
            },
        }
    )
    said = verdict(table)
    assert said[0] == "Better than the control by all of deletion, road: always."
    assert said[1] == "Better by none of those that scored them: never."
    assert said[2].endswith("so that they say little of the model: never.")


def test_no_sentence_is_about_no_method():
    one = dataclasses.replace(scores("m", np.full(8, 0.1), np.full(8, 0.5)), category="faithfulness")
    each = {metric: dataclasses.replace(one, metric=metric) for metric in ("deletion", "road")}
    assert verdict(ScoreTable({"m": each}))[0] == "Better than the control by all of deletion, road: m."
    assert not any("none" in sentence for sentence in verdict(ScoreTable({"m": each})))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 2), r"The values of saliency for input 'x' must have its shape, \(3, 4\). Got \(3, 2\) instead"),
        ("y", "has values of 'y', and .* has the inputs x"),
    ],
)
def test_values_of_another_shape_or_name_are_not_said_to_be_of_a_layer(shape, said):
    model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    x = np.ones((3, 4), np.float32)
    found = explain(model, x, "saliency")
    values = {"y": found.values} if shape == "y" else np.ones(shape)
    with pytest.raises(ParameterError, match=said):
        evaluate(model, x, dataclasses.replace(found, values=values), "sparseness")


def test_a_page_names_no_target_of_samples_without_scores():
    found = dataclasses.replace(scores("m", [0.1] * 2, [0.5] * 2), provenance={"target": ["cat", "dog"]})
    table = ScoreTable({"m": {found.metric: followed_by(found, not_measured(found, 3, "no time"))}})
    assert "Explained: cat, dog." in score_page(table)


def test_maps_of_a_later_sample_are_not_taken_for_those_of_the_first():
    """As when the time was too short for the first samples: the page shows the maps beside the first input."""
    maps = {"the model": np.eye(2)}
    found = dataclasses.replace(scores("m", [0.1] * 2, [0.5] * 2), maps=maps)
    both = followed_by(not_measured(found, 3, "no time"), found)
    assert len(both.values) == 5
    assert not both.maps
    assert followed_by(found, not_measured(found, 3, "no time")).maps == maps


def test_a_method_that_a_metric_did_not_score_is_not_better_by_all():
    """As when its share of the time was too short."""

    def one(metric, value):
        return dataclasses.replace(
            scores("m", np.full(8, value), np.full(8, 0.5)), metric=metric, category="faithfulness"
        )

    metrics = ("deletion", "road", "irof")
    table = ScoreTable(
        {
            "fast": {metric: one(metric, 0.6 if metric == "irof" else 0.1) for metric in metrics},
            "slow": {"deletion": one("deletion", 0.1)},
            "poor": {"deletion": one("deletion", 0.6)},
        }
    )
    assert verdict(table)[:3] == [
        "Better than the control by all of deletion, road, irof: none.",
        "By 2 of 3, and none by more: fast.",
        "Better by none of those that scored them: poor.",
    ]


@pytest.mark.parametrize(
    ("better", "said"),
    [
        (0, "no method is better than the control."),
        (1, "only m0 is better than the control."),
        (2, "m2, m3 are no better than the control."),
        (3, "m3 is no better than the control."),
    ],
)
def test_the_shorter_list_of_methods_is_named(better, said):
    values = {f"m{n}": np.full(10, 0.1 if n < better else 0.6) for n in range(4)}
    table = ScoreTable({name: {"deletion": scores(name, each, np.full(10, 0.5))} for name, each in values.items()})
    assert verdict(table)[-1] == f"deletion: {said}"


def test_nothing_is_tried_when_the_time_is_used_up():
    ticks = iter([0.0, 0.0, *[100.0] * 1000])
    digits = load_digits().images[:2, None].astype(np.float32)
    found = score_table(
        tiny.trained("digits_cnn"), digits, ["saliency", "lrp"], ["sparseness"], budget_s=1, clock=lambda: next(ticks)
    )
    assert found.refused["lrp"].startswith("The time is used up.")


def test_values_of_a_layer_are_refused_once():
    digits = load_digits().images[:2, None].astype(np.float32)
    found = score_table(tiny.trained("digits_cnn"), digits, ["layer_activation"], ["sparseness", "entropy"], 1)
    assert list(found.refused) == ["layer_activation"]


def test_without_a_budget_nothing_is_left_out():
    digits = load_digits().images[:2, None].astype(np.float32)
    found = score_table(tiny.trained("digits_cnn"), digits, ["saliency"], ["sparseness"], 1, clock=lambda: 1 / 0)
    assert not found.refused


def test_methods_that_were_judged_on_fewer_samples_are_compared_on_those():
    few, many = scores("few", [0.4] * 6, [0.5] * 6), scores("many", [0.1] * 8, [0.5] * 8)
    standings = ScoreTable({"few": {"deletion": few}, "many": {"deletion": many}}).standings("deletion")
    assert standings["many"].best
    assert standings["few"].p_best == pytest.approx(1 / 2**6)


def test_cheap_metrics_come_first_so_that_a_short_time_is_enough_for_them():
    digits, heard = load_digits().images[:2, None].astype(np.float32), Heard()
    metrics = ["max_sensitivity", "deletion", "sparseness"]
    with progress.listening(heard):
        found = score_table(tiny.trained("digits_cnn"), digits, ["saliency"], metrics)
    names = [words.split(",")[0] for words in heard.phases if " by " in words]
    assert names == ["saliency by sparseness", "saliency by deletion", "saliency by max_sensitivity"]
    assert list(found.scores["saliency"]) == metrics


@pytest.mark.parametrize(
    ("methods", "metrics", "name"),
    [
        (["saliency", Saliency(absolute=False)], ["sparseness"], "saliency"),
        (["saliency"], [Deletion(steps=2), Deletion(steps=4)], "deletion"),
    ],
)
def test_the_scores_of_one_do_not_stand_for_those_of_another_of_its_name(methods, metrics, name):
    with pytest.raises(ParameterError, match=f"'{name}' is named twice"):
        score_table(tiny.trained("digits_cnn"), load_digits().images[:2, None].astype(np.float32), methods, metrics)


def test_what_has_scores_is_not_said_to_have_none():
    known = {"lime": {"deletion": scores("lime", [0.1, 0.2], [0.3, 0.3])}, "lrp": {}}
    reasons = {"lime": "late", "lime by deletion": "late", "lime by road": "late", "lrp": "no rule"}
    kept = ScoreTable(known, reasons).without_refusals_of_scored()
    assert kept.refused == {"lime by road": "late", "lrp": "no rule"}


@pytest.mark.parametrize("kind", ["ties", "zeros", "neither"])
@pytest.mark.parametrize("count", [6, 9, 12, 60])
def test_signed_ranks_have_the_p_values_of_scipy(kind, count):
    """Which tries all signs of up to 13 differences with ties."""
    draw = np.random.default_rng(count)
    found = draw.normal(0.3, 1, count)
    found = {"ties": np.round(found, 1), "zeros": np.where(np.arange(count) < 2, 0, found), "neither": found}[kind]
    assert p_of_signed_ranks(found) == pytest.approx(
        wilcoxon(found, zero_method="zsplit", alternative="greater").pvalue
    )


@pytest.mark.parametrize("count", [20, 40])
def test_signed_ranks_are_exact_with_ties_of_many_differences(count):
    draw = np.random.default_rng(0)
    found = np.round(draw.normal(0.3, 1, count), 1)
    ranks = rankdata(np.abs(found))
    positive = (draw.random((200_000, count)) < 0.5)[:, found != 0] @ ranks[found != 0]
    share = (positive >= ranks[found > 0].sum()).mean()
    assert p_of_signed_ranks(found) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 200_000))


@pytest.mark.parametrize("target", [None, Target.box(), Target.detection()], ids=["next token", "box", "detection"])
def test_targets_that_add_tensors_are_scored_in_tables_as_alone(target):
    if target is None:
        model, x = tiny.trained("tiny_gpt"), ["The cat sat on the", "Once upon a time"]
    else:
        model = planted.load(planted.detector())
        x = np.random.default_rng(0).random((3, 1, 16, 16), np.float32)
    metrics = ["deletion", "parameter_randomisation"]
    found = score_table(model, x, ["occlusion"], metrics, target)
    assert not found.refused
    for metric in metrics:
        alone = evaluate(model, x, "occlusion", metric, target)
        np.testing.assert_allclose(found.scores["occlusion"][metric].values, alone.values, rtol=1e-6, atol=1e-9)
