"""Standard errors of means over draws that are spread evenly: against the spread of the means over many seeds."""

import numpy as np
import pytest

from xaionnx.explainers._gradients.stratified_errors import stratified_error

SEEDS = 150


def design(seed, baselines, draws):
    rng = np.random.default_rng(seed)
    draw = rng.permutation(baselines)[np.arange(draws) % baselines]
    share = (rng.permutation(draws) + rng.random(draws)) / draws
    return draw, np.sort(share) if baselines == 1 else share


def errors(parts, draw, share, baselines, batch=7):
    """The standard error of draws (n, P) of one target and point, added in batches."""
    found = stratified_error((1, 1, parts.shape[1]), draw, share, baselines)
    for start in range(0, len(parts), batch):
        some = parts[None, start : start + batch]
        found.add(np.array([0]), np.zeros(some.shape[1], int), np.arange(start, start + some.shape[1]), some)
    return found.of_means(parts.mean(axis=0)[None, None])[0, 0]


def curves(draw, share):
    """Draws of four functions of the baseline and the position."""
    b = np.cos(3.0 * draw)
    return np.stack([np.exp(share), np.sin(4 * share + b), b * share, np.exp(b + share)], axis=1)


@pytest.mark.parametrize(("baselines", "draws"), [(1, 50), (2, 40), (5, 50), (5, 53), (10, 80)])
def test_errors_hold_at_their_rate(baselines, draws):
    means, found = [], []
    for seed in range(SEEDS):
        draw, share = design(seed, baselines, draws)
        parts = curves(draw, share)
        means.append(parts.mean(axis=0))
        found.append(errors(parts, draw, share, baselines))
    off = np.abs(means - np.mean(means, axis=0))
    held = (off <= 1.96 * np.array(found))[:, 1:].mean()
    # The share itself is known to about 0.01; tests of standard errors over 400 seeds are more precise.
    assert 0.92 <= held <= (0.99 if draws % baselines else 0.98)


def test_what_varies_by_the_baseline_alone_has_no_error():
    draw, share = design(0, 5, 50)
    parts = np.stack([np.cos(draw), np.cos(draw) + 3 * share - share**2, 2 * share], axis=1)
    assert (errors(parts, draw, share, 5) < 1e-6).all()
    # With three baselines once more than the others, the first varies.
    draw, share = design(0, 5, 53)
    assert errors(np.cos(draw)[:, None], draw, share, 5) > 1e-3


def test_jumps_along_a_path_give_an_error_that_is_too_large():
    means, found = [], []
    for seed in range(SEEDS):
        _, share = design(seed, 1, 40)
        parts = (share > 0.511).astype(float)[:, None]
        means.append(parts.mean())
        found.append(errors(parts, np.zeros(40, int), share, 1))
    assert np.std(means) < np.mean(found) < 3 * np.std(means)


@pytest.mark.parametrize(("baselines", "draws"), [(1, 5), (9, 60), (70, 60)])
def test_other_designs_have_the_error_of_independent_draws(baselines, draws):
    from xaionnx.explainers._games.student import student

    draw, share = design(1, baselines, draws)
    parts = curves(draw, share)
    expected = student(draws - 1) * parts.std(axis=0, ddof=1) / np.sqrt(draws)
    np.testing.assert_allclose(errors(parts, draw, share, baselines), expected, rtol=1e-9)


@pytest.mark.parametrize(("baselines", "draws"), [(1, 50), (5, 53), (60, 50)])
def test_points_and_targets_are_kept_apart_for_any_batch(baselines, draws):
    draw, share = design(2, baselines, draws)
    base = curves(draw, share)
    # Two targets and three points, whose draws follow each other.
    parts = np.stack([[base * (1 + p + 3 * t) for p in range(3)] for t in range(2)]).reshape(2, -1, 4)
    number, place = np.divmod(np.arange(3 * draws), draws)
    found = []
    for batch in (3, 3 * draws):
        one = stratified_error((2, 3, 4), draw, share, baselines)
        for start in range(0, len(number), batch):
            some = slice(start, start + batch)
            one.add(np.arange(2), number[some], place[some], parts[:, some])
        found.append(one.of_means(parts.reshape(2, 3, draws, 4).mean(axis=2)))
    np.testing.assert_array_equal(*found)
    single = errors(base, draw, share, baselines)
    factors = np.array([[1, 2, 3], [4, 5, 6]])[:, :, None]
    np.testing.assert_allclose(found[0], factors * single, rtol=1e-6, atol=1e-7)
