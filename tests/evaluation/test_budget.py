"""A budget of time: slow scores are of fewer samples, and none is lost that has time for two."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests import tiny
from xaionnx import discovery
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError, TimeLimitError
from xaionnx.evaluation import score_table
from xaionnx.evaluation.block_scoring import BlockScoring
from xaionnx.evaluation.first_scores import FirstScores
from xaionnx.evaluation.further_scores import FurtherScores
from xaionnx.evaluation.samples import Samples
from xaionnx.evaluation.score_times import ScoreTimes
from xaionnx.explainers.occlusion import Occlusion
from xaionnx.explainers.saliency import Saliency
from xaionnx.metrics.complexity.entropy import Entropy
from xaionnx.metrics.complexity.sparseness import Sparseness
from xaionnx.metrics.faithfulness.sufficiency import Sufficiency
from xaionnx.metrics.randomisation.random_logit import RandomLogit
from xaionnx.metrics.robustness.local_lipschitz import LocalLipschitz
from xaionnx.metrics.robustness.max_sensitivity import MaxSensitivity

COUNT = 200
# Either score is that of a method and of one control, which each of them pays alone.
WITH_CONTROL = 2


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:COUNT, None].astype(np.float32)


@pytest.fixture
def clock(monkeypatch):
    """A clock that metrics and methods move by a cost for each sample."""
    now = [0.0]

    def costs(kind, name, seconds, samples):
        inner = getattr(kind, name)

        def slow(self, given):
            now[0] += seconds * samples(given)
            return inner(self, given)

        monkeypatch.setattr(kind, name, slow)

    def of(explaining=0.0, **metrics):
        costs(Saliency, "compute", explaining, lambda request: len(request.samples))
        for kind in (Entropy, Sparseness, Sufficiency):
            costs(kind, "measure", metrics.get(kind.name(), 0.0), lambda evidence: len(evidence.samples))
        return lambda: now[0]

    return of


def scored(digits, clock, budget, *metrics, **options):
    data = Dataset.of(digits) if options.get("batch_size") else digits
    return score_table(tiny.trained("digits_cnn"), data, ["saliency"], metrics, budget_s=budget, clock=clock, **options)


def counts(table):
    return {metric: scores.count for metric, scores in table.scores["saliency"].items()}


@pytest.mark.parametrize("batch_size", [None, 64, 7, 1])
def test_a_slow_score_is_of_as_many_samples_as_its_share_of_the_time_lasts(digits, clock, batch_size):
    """Sparseness needs 40 s for all; 200 s are left for entropy, at 4 s a sample for at most 50."""
    time = clock(sparseness=0.1, entropy=2.0)
    found = scored(digits, time, 241, "sparseness", "entropy", batch_size=batch_size)
    assert counts(found)["sparseness"] == COUNT
    assert 25 <= counts(found)["entropy"] <= 50
    assert time() <= 241
    assert not found.stopped
    first = counts(found)["entropy"]
    assert found.refused == {"saliency by entropy": found.refused["saliency by entropy"]}
    assert found.refused["saliency by entropy"].startswith(f"left out after {first} inputs: It takes longer")


@pytest.mark.parametrize("batch_size", [None, 64])
def test_scores_within_a_budget_are_those_of_the_first_samples(digits, clock, batch_size):
    found = scored(digits, clock(entropy=1.0), 100, "sparseness", "entropy", batch_size=batch_size)
    whole = scored(digits, None, None, "sparseness", "entropy")
    for metric, count in counts(found).items():
        one, known = (table.scores["saliency"][metric] for table in (found, whole))
        np.testing.assert_array_equal(one.values[:count], known.values[:count])
        np.testing.assert_array_equal(one.control.values[:count], known.control.values[:count])
        assert len(one.values) == count


def test_all_of_the_time_is_used_where_no_score_has_time_for_all_samples(digits, clock):
    """At 2 s each with its explanation, a control and two metrics 100 samples."""
    time = clock(explaining=0.4, sparseness=0.4, entropy=0.4)
    found = scored(digits, time, 201, "sparseness", "entropy", batch_size=64)
    assert 90 <= len(found.inputs) <= 100
    assert 180 <= time() <= 201
    assert found.stopped.startswith("The time is used up.")
    assert counts(found) == dict.fromkeys(("sparseness", "entropy"), len(found.inputs))


def test_a_score_that_is_late_at_first_has_what_the_others_leave(digits, clock):
    """A quarter of 100 s is too short for entropy, which takes 40 s of those that are left."""
    found = scored(digits[:2], clock(entropy=10.0), 100, "sparseness", "entropy")
    assert counts(found) == {"sparseness": 2, "entropy": 2}
    assert not found.refused


def test_methods_of_few_runs_are_explained_before_those_that_leave_them_no_time(digits, clock, monkeypatch):
    """Occlusion comes first by name, and runs the model for each window."""
    time = clock(explaining=0.5)
    inner, ran = Occlusion.compute, list[float]()

    def slow(self, request):
        ran.append(time())
        return inner(self, request)

    monkeypatch.setattr(Occlusion, "compute", slow)
    found = score_table(
        tiny.trained("digits_cnn"), digits[:2], ["occlusion", "saliency"], ["sparseness"], budget_s=100, clock=time
    )
    assert min(ran) >= 1.0, "saliency was explained before"
    assert found.methods == ("occlusion", "saliency"), "the table has the order that was given"


@pytest.mark.parametrize(("budget", "judged"), [(50, 1), (70, 2), (200, 3)])
def test_what_a_metric_costs_with_one_method_tells_with_how_many_others_there_is_time_for_it(
    digits, clock, budget, judged
):
    """Entropy takes 20 s for two samples, and 20 for their control."""
    time, methods = clock(entropy=10.0), ["saliency", "input_x_gradient", "lrp"]
    data, metrics = Dataset.of(digits[:2]), ["sparseness", "entropy"]
    found = score_table(tiny.trained("digits_cnn"), data, methods, metrics, budget_s=budget, clock=time)
    assert all("sparseness" in each for each in found.scores.values())
    assert sum("entropy" in each for each in found.scores.values()) == judged
    late = [name for name in methods if "entropy" not in found.scores[name]]
    assert {name: why[:14] for name, why in found.refused.items() if name.split()[0] in late} == {
        f"{name} by entropy": "It takes longe" for name in late
    }


def test_what_compares_all_samples_has_a_share_too(digits, clock):
    time = clock(sparseness=1.0, sufficiency=0.1)
    found = scored(digits, time, 200, "sparseness", "sufficiency")
    known = scored(digits, None, None, "sufficiency").scores["saliency"]["sufficiency"]
    np.testing.assert_array_equal(found.scores["saliency"]["sufficiency"].values, known.values)
    assert list(found.scores["saliency"]) == ["sparseness", "sufficiency"]
    assert 50 <= counts(found)["sparseness"] <= 100
    assert len(found.inputs) == COUNT


def test_what_has_no_time_for_all_samples_at_once_costs_no_score_of_some(digits, clock):
    """Explaining all 200 samples, as sufficiency needs, takes 60 s of 100, and a quarter is its share."""
    found = scored(digits, clock(explaining=0.3), 100, "sparseness", "sufficiency")
    assert "sufficiency" not in found.scores["saliency"]
    assert found.refused["saliency by sufficiency"].startswith("It takes longer")
    assert "saliency" not in found.refused
    assert counts(found)["sparseness"] >= 2


def test_faulty_samples_ahead_of_all_others_cost_no_other(digits, clock):
    faulty = digits[:20].copy()
    faulty[:2] = np.nan
    found = scored(faulty, clock(entropy=0.1), 100, "entropy", batch_size=8)
    assert [one.unit for one in found.left_out] == [0, 1]
    assert counts(found) == {"entropy": 18}


def test_a_faulty_sample_in_memory_is_an_error_before_anything_is_scored(digits, clock):
    faulty, time = digits[:20].copy(), clock(entropy=0.1)
    faulty[15] = np.nan
    with pytest.raises(DataError, match="NaN"):
        scored(faulty, time, 100, "entropy")
    assert time() == 0


def charged(times, seconds, samples):
    for (method, metric), cost in seconds.items():
        with times.charged(method, metric):
            times.clock.now += cost * samples
    times.end_part([pair for pair in seconds if "" not in pair], samples)


class Clock:
    """Shows the time that it is set to."""

    now = 0.0

    def __call__(self):
        return self.now


def first_scores(costs, methods=("fast", "slow"), samples=2):
    times = ScoreTimes(Clock(), [MaxSensitivity(), LocalLipschitz(), RandomLogit()])
    plan = FirstScores(times, methods, samples)
    for name in costs:
        assert plan.next({(name, "deletion")}, 100.0) == {(name, ""): pytest.approx(25)}
        with times.charged(name):
            times.clock.now += costs[name]
        times.prices[name] = costs[name] / samples
        assert plan.note({(name, ""): 25.0}, {(name, "deletion")}, {}) == set()
    return plan


def scored_in(plan, method, metric, seconds, late=False):
    pair = (method, metric)
    with plan.times.charged(*pair):
        plan.times.clock.now += seconds
    plan.note({pair: 1.0}, {pair} if late else set(), {pair: seconds} if late else {})


def test_methods_that_a_quarter_of_the_time_is_too_short_for_are_explained_after_the_others_are_scored():
    plan = first_scores({"fast": 0.1}, ["fast", "slow"])
    pairs = {("fast", "deletion"), ("slow", "deletion")}
    assert plan.next(pairs, 80.0) == {("slow", ""): pytest.approx(5)}
    assert plan.next(pairs, 74.0) == {("fast", "deletion"): 37.0}
    scored_in(plan, "fast", "deletion", 10.0)
    assert plan.next({("slow", "deletion")}, 64.0) == {("slow", ""): 64.0}


def test_the_cheapest_method_shows_what_metrics_cost():
    plan = first_scores({"slow": 1.0, "fast": 0.1})
    pairs = {(method, metric) for method in ("slow", "fast") for metric in ("deletion", "road")}
    assert plan.next(pairs, 80.0) == {("fast", "deletion"): 20.0, ("fast", "road"): 20.0}


def test_cheaper_scores_come_before_any_of_which_there_is_no_time_for_all():
    """Deletion takes 10 s with either method, and ROAD 50 s: of 55 s, 20 are for deletion and none for ROAD."""
    plan = first_scores({"slow": 1.0, "fast": 0.1})
    scored_in(plan, "fast", "deletion", 10.0)
    scored_in(plan, "fast", "road", 50.0)
    pairs = {("slow", "deletion"), ("slow", "road")}
    assert plan.next(pairs, 55.0) == {("slow", "deletion"): 40.0}
    assert set(plan.next(pairs, 65.0)) == pairs


def test_a_metric_that_explains_again_costs_more_with_a_slow_method():
    """Random logit explains once more: 0.1 s of 0.3 with the fast method, and 1 s of 1.2 with the slow one."""
    plan = first_scores({"slow": 1.0, "fast": 0.1})
    scored_in(plan, "fast", "random_logit", 0.3)
    assert not plan.next({("slow", "random_logit")}, 1.1)
    assert plan.next({("slow", "random_logit")}, 1.3)


def test_neighbours_are_paid_once_by_the_metrics_that_share_them():
    """Ten neighbours take 1 s with the fast method and 10 s with the slow one, for both metrics together."""
    plan = first_scores({"slow": 1.0, "fast": 0.1})
    work = MaxSensitivity().shared_work
    scored_in(plan, "fast", work, 1.0)
    pairs = {("slow", "max_sensitivity"), ("slow", "local_lipschitz")}
    for metric in ("max_sensitivity", "local_lipschitz"):
        scored_in(plan, "fast", metric, 0.0)
    assert set(plan.next(pairs, 10.5)) == pairs
    assert not plan.next({("slow", "max_sensitivity")}, 9.5)


def test_what_was_stopped_is_tried_again_where_there_is_time_for_what_it_needs():
    plan = first_scores({"fast": 0.1}, ["fast"])
    scored_in(plan, "fast", "road", 30.0, late=True)
    assert not plan.next({("fast", "road")}, 29.0)
    assert plan.next({("fast", "road")}, 31.0) == {("fast", "road"): pytest.approx(120)}
    scored_in(plan, "fast", "road", 31.0, late=True)
    assert not plan.next({("fast", "road")}, 59.0)


A, B, C = ("m", "a"), ("m", "b"), ("n", "a")


def test_equal_costs_share_what_is_left():
    times = ScoreTimes(Clock())
    charged(times, {A: 1.0, C: 1.0}, 4)
    assert FurtherScores(times).next({A, C}, 16.0, 100, 100) == (8, {A, C})
    assert FurtherScores(times).next({A, C}, 1e6, 100, 100) == (16, {A, C})
    assert FurtherScores(times).next({A, C}, 1e6, 100, 5) == (5, {A, C})


def test_a_score_goes_on_until_its_share_is_used_up():
    """Of 108 s, 8 are spent by the slow score and 0.4 by the fast one, which needs 10 more: 97.6 stay for the slow."""
    times = ScoreTimes(Clock())
    charged(times, {A: 2.0, C: 0.1}, 4)
    assert FurtherScores(times).next({A, C}, 99.6, 100, 100) == (16, {A, C})
    assert FurtherScores(times).next({A, C}, 20.0, 100, 100) == (16, {C})


def test_what_scores_have_in_common_is_shared_by_those_that_go_on():
    """The explanation costs 4 s: with one metric less the other pays all of it."""
    times = ScoreTimes(Clock())
    charged(times, {("m", ""): 4.0, ("", "a"): 2.0, A: 1.0, B: 1.0, C: 1.0}, 2)
    costs = times.costs([A, B, C])
    assert costs == {A: 4.0, B: 3.0, C: 2.0}
    assert times.costs([B]) == {B: 5.0}


def test_the_dearest_scores_leave_first_where_a_share_is_too_short_for_one_sample():
    times = ScoreTimes(Clock())
    charged(times, {A: 10.0, B: 8.0, C: 1.0}, 2)
    count, pairs = FurtherScores(times).next({A, B, C}, 5.0, 50, 50)
    assert (count, pairs) == (5, {C})
    assert FurtherScores(times).next({A, B, C}, 0.5, 50, 50) == (0, frozenset())


def test_what_is_given_up_is_listed_in_one_order(digits):
    """It was that of a set, which is another one in each process."""
    methods = [
        discovery.method(name)() for name in ("saliency", "lime", "rise", "occlusion", "sobol", "banzhaf", "lrp")
    ]
    model, judges = tiny.trained("digits_cnn"), [Entropy(), Sparseness(), MaxSensitivity(), Sufficiency()]
    blocks = Samples.of(model, digits[:2]).blocks()
    scoring = BlockScoring(blocks, methods, judges, None, controls=(), seed=0, times=ScoreTimes(None, judges))
    scoring.give_up({pair for pair in scoring.going if pair[1] != "entropy"}, TimeLimitError("late"))
    found = [*scoring.reasons()]
    assert len(found) == 21
    assert found == sorted(found)
    scoring.give_up(scoring.going, TimeLimitError("late"))
    assert [*scoring.reasons()] == sorted(one.name() for one in methods)
