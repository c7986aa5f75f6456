"""Standard errors of means over draws that are spread evenly: against the spread of the means over many seeds."""

import numpy as np
import pytest

from xaionnx.explainers._gradients.path_draws import PathDraws
from xaionnx.explainers._gradients.stratified_errors import stratified_error, why_no_error

SEEDS = 150


def drawn(seed, baselines, draws):
    return PathDraws.of(draws, baselines, np.random.default_rng(seed))


def errors(parts, draws, batch=7):
    """The standard error of draws (n, P) of one target and point, added in batches."""
    found = stratified_error((1, 1, parts.shape[1]), draws)
    for start in range(0, len(parts), batch):
        some = parts[None, start : start + batch]
        found.add(np.array([0]), np.zeros(some.shape[1], int), np.arange(start, start + some.shape[1]), some)
    return found.result()[0, 0]


def curves(draws):
    """Draws of four functions of the baseline and the position."""
    b, a = np.cos(3.0 * draws.baseline), draws.position
    return np.stack([np.exp(a), np.sin(4 * a + b), b * a, np.exp(b + a)], axis=1)


@pytest.mark.parametrize(("baselines", "draws"), [(1, 50), (2, 40), (5, 50), (5, 53), (10, 80)])
def test_errors_hold_at_their_rate(baselines, draws):
    means, found = [], []
    for seed in range(SEEDS):
        one = drawn(seed, baselines, draws)
        means.append(one.weight @ curves(one))
        found.append(errors(curves(one), one))
    off = np.abs(means - np.mean(means, axis=0))
    held = (off <= 1.96 * np.array(found))[:, 1:].mean()
    # The share itself is known to about 0.01; tests of standard errors over 400 seeds are more precise.
    assert 0.92 <= held <= 0.98


@pytest.mark.parametrize("draws", [50, 53])
def test_what_varies_by_the_baseline_alone_has_no_error(draws):
    one = drawn(0, 5, draws)
    b, a = np.cos(one.baseline), one.position
    parts = np.stack([b, b + 3 * a - a**2, 2 * a], axis=1)
    assert (errors(parts, one) < 1e-6).all()
    np.testing.assert_allclose(one.weight @ b, np.cos(np.arange(5)).mean(), rtol=1e-12)


@pytest.mark.parametrize(("baselines", "draws"), [(1, 9), (4, 3), (4, 4), (4, 10), (4, 12)])
def test_draws_are_even_in_baselines_and_positions(baselines, draws):
    one = drawn(3, baselines, draws)
    np.testing.assert_allclose(one.weight.sum(), 1, rtol=1e-12)
    times = np.bincount(one.baseline, minlength=baselines)
    assert np.ptp(times) <= 1
    totals = np.bincount(one.baseline, one.weight, minlength=baselines)
    np.testing.assert_allclose(totals[times > 0], 1 / min(draws, baselines), rtol=1e-12)
    # One position in each of as many equal parts as there are draws of the same weight.
    for weight in np.unique(one.weight):
        some = one.position[one.weight == weight]
        np.testing.assert_array_equal(np.sort(some * len(some)).astype(int), np.arange(len(some)))


def test_jumps_along_a_path_give_an_error_that_is_too_large():
    means, found = [], []
    for seed in range(SEEDS):
        one = drawn(seed, 1, 40)
        parts = (one.position > 0.511).astype(float)[:, None]
        means.append(parts.mean())
        found.append(errors(parts, one))
    assert np.std(means) < np.mean(found) < 3 * np.std(means)


@pytest.mark.parametrize(
    ("baselines", "draws", "why"),
    [(1, 5, "5 draws are too few, it needs 8"), (9, 60, "set draws to at least 72"), (70, 60, "at least 560, or give")],
)
def test_few_draws_of_a_baseline_have_no_error_and_say_why(baselines, draws, why):
    assert why in why_no_error(draws, baselines)
    assert why_no_error(8 * baselines, baselines) is None


@pytest.mark.parametrize(("baselines", "draws"), [(1, 50), (5, 53), (6, 48)])
def test_points_and_targets_are_kept_apart_for_any_batch(baselines, draws):
    one = drawn(2, baselines, draws)
    base = curves(one)
    # Two targets and three points, whose draws follow each other.
    parts = np.stack([[base * (1 + p + 3 * t) for p in range(3)] for t in range(2)]).reshape(2, -1, 4)
    number, place = np.divmod(np.arange(3 * draws), draws)
    found = []
    for batch in (3, 3 * draws):
        error = stratified_error((2, 3, 4), one)
        for start in range(0, len(number), batch):
            some = slice(start, start + batch)
            error.add(np.arange(2), number[some], place[some], parts[:, some])
        found.append(error.result())
    np.testing.assert_array_equal(*found)
    single = errors(base, one)
    factors = np.array([[1, 2, 3], [4, 5, 6]])[:, :, None]
    np.testing.assert_allclose(found[0], factors * single, rtol=1e-6, atol=1e-7)
