"""Intervals of mean scores."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from xaionnx.evaluation import Scores, ScoreTable
from xaionnx.evaluation.scores import bootstrap_interval
from xaionnx.render import score_page

DRAWS = {
    "exponential": lambda rng, count: rng.exponential(size=count),
    "rare": lambda rng, count: (rng.random(count) < 0.05).astype(float),
    "lognormal": lambda rng, count: rng.lognormal(size=count),
    "normal": lambda rng, count: rng.normal(size=count),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_of_many_values_is_that_of_the_bootstrap(kind):
    """Within twice the distance of two bootstraps with other draws; a normal interval is 8 % of the width off."""
    values = DRAWS[kind](np.random.default_rng(1), 501)
    one, other = (
        bootstrap((values,), np.mean, n_resamples=9_999, rng=np.random.default_rng(seed)).confidence_interval
        for seed in (0, 1)
    )
    width = one.high - one.low
    own = max(abs(one.low - other.low), abs(one.high - other.high)) / width
    found = np.abs(np.array(bootstrap_interval(values)) - np.array([one.low, one.high])).max() / width
    assert found < max(2 * own, 0.04)


def test_the_interval_of_few_values_is_the_bootstrap():
    values = DRAWS["exponential"](np.random.default_rng(2), 500)
    known = bootstrap((values,), np.mean, n_resamples=9_999, rng=np.random.default_rng(0)).confidence_interval
    assert bootstrap_interval(values) == (known.low, known.high)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    """Of 1,000 samples of 600 exponential values within 4 standard errors of 95 %; either side errs as often."""
    rng, below, above = np.random.default_rng(3), 0, 0
    for _ in range(1000):
        low, high = bootstrap_interval(rng.exponential(size=600))
        below, above = below + (high < 1), above + (low > 1)
    assert below + above == pytest.approx(50, abs=4 * np.sqrt(1000 * 0.05 * 0.95))
    assert below == pytest.approx(25, abs=4 * np.sqrt(25))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([np.nan, np.nan], "none, lower is better, 0 of 2 samples\n  random control  0.5\n"),
        ([0.25, np.nan], "0.25, lower is better, 1 of 2 samples\n  random control  0.5; better by 0.25\n"),
    ],
)
def test_scores_say_no_mean_and_no_interval_of_too_few_values(values, said):
    control = Scores("m", "random", np.full(2, 0.5), "lower", (0, 1))
    found = Scores("m", "a", np.array(values), "lower", (0, 1), {1: "all values are 0"}, controls={"random": control})
    assert repr(found) == f"Scores of a by m: {said}  undefined  sample 1: all values are 0"
    page = score_page(ScoreTable({"a": {"m": found}}))
    assert "nan" not in page
    assert "undefined to" not in page
