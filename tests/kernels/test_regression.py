"""The regressions of KernelSHAP against their definitions and games with known Shapley values."""

import itertools
import math

import numpy as np
import pytest
from xaionnx_kernels import regression
from xaionnx_kernels.coalitions import all_coalitions, kernel_shap_coalitions, kernel_shap_plan
from xaionnx_kernels.regression import kernel_shap_values, smoothed_kernel_shap_values

BOTH = pytest.mark.parametrize("solve", [kernel_shap_values, smoothed_kernel_shap_values])


def asked(game, players, evaluations, seed=0):
    plan = kernel_shap_plan(players, evaluations)
    rows, weights = kernel_shap_coalitions(seed, 0, plan.evaluations, plan)
    ends = game(np.array([[False] * players, [True] * players]))
    return rows, weights, game(rows), ends[0], ends[1]


def products(players, order, count, seed):
    """A sum of products of players for two targets, and its Shapley values: each product is shared equally."""
    rng = np.random.default_rng(seed)
    terms = [rng.choice(players, order, replace=False) for _ in range(count)]
    factors = rng.standard_normal((count, 2))
    known = np.zeros((players, 2))
    for term, factor in zip(terms, factors, strict=True):
        known[term] += factor / order
    return lambda rows: sum(rows[:, t].all(axis=1)[:, None] * f for t, f in zip(terms, factors, strict=True)), known


@BOTH
@pytest.mark.parametrize("players", [1, 2, 3, 4, 7, 9])
def test_a_complete_plan_gives_the_exact_shapley_values(solve, players):
    table = np.random.default_rng(players).standard_normal((2**players, 2))
    codes = 1 << np.arange(players)
    known = np.zeros((players, 2))
    everyone = all_coalitions(players)
    for player in range(players):
        without = everyone[~everyone[:, player]]
        share = np.array([1 / (players * math.comb(players - 1, size)) for size in without.sum(axis=1)])
        known[player] = share @ (table[without @ codes + codes[player]] - table[without @ codes])
    estimate = solve(*asked(lambda rows: table[rows @ codes], players, max(2, 2**players - 2)))
    np.testing.assert_allclose(estimate, known, atol=1e-9)


@BOTH
@pytest.mark.parametrize("order", [1, 2])
def test_games_of_second_order_are_exact(solve, order):
    game, known = products(20, order, 60, seed=order)
    np.testing.assert_allclose(solve(*asked(game, 20, 120)), known, atol=1e-8)


@BOTH
def test_the_values_sum_to_what_everyone_adds_and_targets_do_not_mix(solve):
    game, _ = products(12, 5, 80, seed=3)
    rows, weights, values, empty, full = asked(game, 12, 150)
    estimate = solve(rows, weights, values, empty, full)
    np.testing.assert_allclose(estimate.sum(axis=0), full - empty, atol=1e-9)
    for t in range(2):
        one = slice(t, t + 1)
        np.testing.assert_allclose(
            solve(rows, weights, values[:, one], empty[one], full[one]), estimate[:, one], atol=1e-9
        )


@BOTH
def test_equal_players_of_a_complete_plan_get_equal_values_and_idle_ones_nothing(solve):
    def game(rows):
        return (rows[:, 0] | rows[:, 1])[:, None] * (1.0 + rows[:, 2:3])

    estimate = solve(*asked(game, 6, 62))[:, 0]
    assert abs(estimate[0] - estimate[1]) < 1e-9
    np.testing.assert_allclose(estimate[3:], 0, atol=1e-9)


def test_the_kernel_is_the_sum_over_all_triples():
    rng = np.random.default_rng(0)
    z = rng.choice([-1.0, 1.0], (6, 7))
    triples = [z[:, list(t)].prod(axis=1) for t in itertools.combinations(range(7), 3)]
    explicit = sum(np.outer(t, t) for t in triples)
    np.testing.assert_allclose(regression._third_symmetric(z @ z.T, 7), explicit, atol=1e-9)


def test_the_ratio_is_the_one_of_least_leave_one_out_error():
    # Against leaving each pair out in turn and solving again.
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((12, 12))
    spectrum, axes = np.linalg.eigh(matrix @ matrix.T)
    answers = rng.standard_normal((12, 1)) + 3 * axes[:, -1:]
    kernel = (axes * spectrum) @ axes.T
    errors = []
    for ratio in regression._RATIOS:
        total = 0.0
        for i in range(12):
            rest = np.delete(np.arange(12), i)
            fit = np.linalg.solve(ratio * kernel[np.ix_(rest, rest)] + np.eye(11), answers[rest])
            total += float((answers[i] - ratio * kernel[i, rest] @ fit)[0]) ** 2
        errors.append(total)
    ratio = regression._RATIOS[int(np.argmin(errors))]
    assert ratio > 0
    dual = regression._least_leave_one_out(axes, spectrum, axes.T @ answers)
    np.testing.assert_allclose(dual, ratio * np.linalg.solve(ratio * kernel + np.eye(12), answers), atol=1e-9)


def test_smoothing_finds_interactions_of_three():
    game, known = products(12, 3, 40, seed=5)
    answers = asked(game, 12, 700)
    plain = np.linalg.norm(kernel_shap_values(*answers) - known)
    smoothed = np.linalg.norm(smoothed_kernel_shap_values(*answers) - known)
    assert smoothed < 0.05 * plain


def test_smoothing_does_no_harm_where_there_is_nothing_to_find():
    # Values at random on each coalition: all orders alike.
    ratios = []
    for seed in range(8):
        table = np.random.default_rng(seed).standard_normal((2**10, 1))
        answers = asked(lambda rows, t=table: t[rows @ (1 << np.arange(10))], 10, 300, seed)
        full = asked(lambda rows, t=table: t[rows @ (1 << np.arange(10))], 10, 1022)
        known = kernel_shap_values(*full)
        errors = [np.linalg.norm(f(*answers) - known) for f in (smoothed_kernel_shap_values, kernel_shap_values)]
        ratios.append(errors[0] / errors[1])
    assert np.exp(np.log(ratios).mean()) < 1.05


def test_refusals_say_what_does_not_fit():
    rows, weights, values, empty, full = asked(lambda rows: rows[:, :1] * 1.0, 5, 12)
    with pytest.raises(ValueError, match="must have the shapes"):
        kernel_shap_values(rows, weights[1:], values, empty, full)
    with pytest.raises(ValueError, match="'empty' and 'full' must have the shape"):
        kernel_shap_values(rows, weights, values, empty[:, None], full)
    with pytest.raises(ValueError, match="must be the complement"):
        smoothed_kernel_shap_values(rows[1:-1], weights[1:-1], values[1:-1], empty, full)
