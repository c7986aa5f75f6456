"""Coalitions: their design by its definition, and KernelSHAP on games whose Shapley values are known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xaionnx_kernels import _dealing
from xaionnx_kernels import coalitions as module
from xaionnx_kernels.coalitions import (
    all_coalitions,
    bernoulli,
    kernel_shap_coalitions,
    kernel_shap_plan,
    kernel_shap_size_weights,
    kernel_shap_weights,
)

from tests.tolerances import Tolerance, assert_close

PLANS = [(5, 12), (6, 20), (6, 40), (7, 100), (8, 60), (9, 301), (10, 200), (11, 1500), (12, 64), (40, 2000), (70, 90)]


def regression(rows, weights, values, empty, full):
    """The weighted least squares of KernelSHAP, its constraint solved for the last player."""
    total = full - empty
    design = rows[:, :-1].astype(float) - rows[:, -1:]
    root = np.sqrt(weights)
    answer = values - empty - rows[:, -1] * total
    head = np.linalg.lstsq(design * root[:, None], answer * root, rcond=None)[0]
    return np.append(head, total - head.sum())


def shapley(game, players):
    """The mean over all orders of what each player adds, from the definition."""
    added = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present = np.zeros(players, bool)
        for player in order:
            before = game(present)
            present[player] = True
            added[player] += game(present) - before
    return added / math.factorial(players)


def test_all_coalitions_count_in_binary():
    rows = all_coalitions(5)
    assert (rows @ (1 << np.arange(5))).tolist() == list(range(32))
    assert np.array_equal(all_coalitions(5, 7, 20), rows[7:20])
    assert all_coalitions(40, 2**39, 2**39 + 1).sum() == 1


@pytest.mark.parametrize("players", [6, 64, 150])
def test_bernoulli_players_are_present_by_even_chance_independently(players):
    rows = bernoulli(4, 0, 20_000, players)
    assert rows.shape == (20_000, players)
    assert np.abs(rows.mean(axis=0) - 0.5).max() < 4 * np.sqrt(0.25 / 20_000)
    off_diagonal = np.corrcoef(rows.T.astype(float)) - np.eye(players)
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)
    parts = [bernoulli(4, a, b, players) for a, b in ((0, 3), (3, 777), (777, 20_000))]
    assert np.array_equal(np.concatenate(parts), rows)


def test_size_weights_of_5_players():
    weights = kernel_shap_size_weights(5)
    assert_close(weights, [4 / (k * (5 - k)) for k in (1, 2, 3, 4)], Tolerance.FLOAT64)
    assert_close(weights / weights.sum(), [0.3, 0.2, 0.2, 0.3], Tolerance.FLOAT64)


@settings(max_examples=200)
@given(st.integers(1, 200), st.integers(2, 5000))
def test_a_plan_keeps_its_budget_and_spends_it(players, budget):
    plan = kernel_shap_plan(players, budget)
    every = 2**players - 2
    assert plan.evaluations == min(budget // 2 * 2, every)
    assert plan.complete == (budget >= every)
    for h, count in enumerate(plan.pairs, 1):
        assert 0 <= count <= math.comb(players, h) // (2 if 2 * h == players else 1)


def test_sizes_get_as_many_coalitions_except_those_that_are_complete():
    # 8 pairs of one player and 7, and 20 for each pair of sizes else; half of the players is one size.
    assert kernel_shap_plan(8, 116).pairs == (8, 20, 20, 10)


@pytest.mark.parametrize(("players", "budget"), PLANS)
def test_the_design_is_paired_distinct_balanced_and_weighed_by_size(players, budget):
    plan = kernel_shap_plan(players, budget)
    rows, weights = kernel_shap_coalitions(3, 0, plan.evaluations, plan)
    assert np.array_equal(rows[1::2], ~rows[::2])
    assert len(np.unique(rows, axis=0)) == len(rows)
    sizes = rows.sum(axis=1)
    assert sizes.min() >= 1
    assert sizes.max() <= players - 1
    for h, count in enumerate(plan.pairs, 1):
        of_size = sizes == h
        assert of_size.sum() == (2 * count if 2 * h == players else count)
        if not count:
            continue
        mass = kernel_shap_size_weights(players)[h - 1]
        assert_close(weights[of_size], mass / of_size.sum(), Tolerance.FLOAT64)
        assert_close(weights[of_size].sum(), mass, Tolerance.FLOAT64)


@pytest.mark.parametrize(("players", "budget"), [(9, 301), (10, 200), (11, 1500), (12, 600), (40, 2000)])
def test_players_appear_more_evenly_than_in_a_random_sample(players, budget):
    plan = kernel_shap_plan(players, budget)
    found = expected = 0.0
    for seed in range(10):
        rows, _ = kernel_shap_coalitions(seed, 0, plan.evaluations, plan)
        sizes = rows.sum(axis=1)
        for h, count in enumerate(plan.pairs, 1):
            available = math.comb(players, h)
            if 1 < count < available and 2 * h != players:  # at half size, each pair contains every player
                found += rows[sizes == h].sum(axis=0).var(ddof=1)
                # the variance of a count when the coalitions are drawn at random without replacement
                share = h / players
                spread = count * share * (1 - share) * players / (players - 1)
                expected += spread * (available - count) / (available - 1)
    assert found < 0.35 * expected


@pytest.mark.parametrize("size", [2, 3, 5, 6])
def test_chunks_deal_the_players_out_like_cards(size):
    players = 13
    rows = _dealing._chunks(9, players, size, 13 * 4)
    assert (rows.sum(axis=1) == size).all()
    for count in range(1, len(rows) + 1):
        assert np.ptp(rows[:count].sum(axis=0)) <= 2
    whole = players * (size // math.gcd(size, players)) // size
    for count in range(whole, len(rows) + 1, whole):
        assert np.ptp(rows[:count].sum(axis=0)) == 0
    # A shorter request is a prefix of a longer one.
    assert np.array_equal(_dealing._chunks(9, players, size, 5), rows[:5])


def test_sparse_sizes_share_their_cards():
    plan = kernel_shap_plan(40, 200)
    sizes = module._sizes_in_order(plan) + 1
    # A coalition of one player may repeat and be skipped; one of half of the players may be complemented.
    sizes = sizes[(sizes > 2) & (sizes < 20)]
    rows = np.unpackbits(_dealing.deal_sizes(0, 40, sizes), axis=1, count=40)
    assert np.array_equal(rows.sum(axis=1), sizes)
    assert np.ptp(rows.sum(axis=0)) <= 2


def test_every_coalition_of_a_size_is_equally_likely():
    plan = kernel_shap_plan(6, 26)
    assert plan.pairs == (5, 5, 3)
    tries = 3000
    codes = np.zeros(64)
    for seed in range(tries):
        rows, _ = kernel_shap_coalitions(seed, 0, plan.evaluations, plan)
        codes[rows @ (1 << np.arange(6))] += 1
    for size, expected in ((1, 5 / 6), (2, 5 / 15), (3, 6 / 20)):
        share = codes[[sum(1 << j for j in c) for c in itertools.combinations(range(6), size)]] / tries
        assert np.abs(share - expected).max() < 4 * np.sqrt(expected * (1 - expected) / tries)


@pytest.mark.parametrize(("players", "budget"), PLANS)
def test_rows_do_not_depend_on_the_batch_or_on_earlier_requests(players, budget):
    plan = kernel_shap_plan(players, budget)
    whole, weights = kernel_shap_coalitions(3, 0, plan.evaluations, plan)
    for step in (1, 7, 64):
        module._packed_pairs.cache_clear()
        pieces = [
            kernel_shap_coalitions(3, a, min(a + step, plan.evaluations), plan)
            for a in range(0, plan.evaluations, step)
        ]
        assert np.array_equal(np.concatenate([piece[0] for piece in pieces]), whole)
        assert np.concatenate([piece[1] for piece in pieces]).tobytes() == weights.tobytes()
        if plan.evaluations > 500:
            break
    other, _ = kernel_shap_coalitions(4, 0, plan.evaluations, plan)
    assert plan.complete or not np.array_equal(other, whole)


@pytest.mark.parametrize("players", [2, 3, 4, 5, 6, 7])
def test_the_complete_regression_is_the_exact_shapley_value(players):
    table = np.random.default_rng(players).standard_normal(2**players)

    def game(present):
        return table[present @ (1 << np.arange(players))]

    plan = kernel_shap_plan(players, 2**players - 2)
    assert plan.complete
    rows, weights = kernel_shap_coalitions(0, 0, plan.evaluations, plan)
    estimate = regression(rows, weights, game(rows), table[0], table[-1])
    assert_close(estimate, shapley(game, players), Tolerance.FLOAT64_SOLVED)


def test_games_of_second_order_are_exact_from_few_evaluations():
    # Paired coalitions cancel interactions of even order, so every design that determines P numbers is exact.
    players = 20
    rng = np.random.default_rng(0)
    linear, pairs = rng.standard_normal(players), np.triu(rng.standard_normal((players, players)), 1)
    plan = kernel_shap_plan(players, 4 * players)
    rows, weights = kernel_shap_coalitions(1, 0, plan.evaluations, plan)
    values = rows @ linear + np.einsum("mi,ij,mj->m", rows, pairs, rows)
    estimate = regression(rows, weights, values, 0.0, linear.sum() + pairs.sum())
    assert_close(estimate, linear + (pairs.sum(axis=0) + pairs.sum(axis=1)) / 2, Tolerance.FLOAT64_SOLVED)


def test_a_stopped_plan_weighs_what_it_has():
    plan = kernel_shap_plan(10, 400)
    evaluated = 200
    rows, _ = kernel_shap_coalitions(0, 0, evaluated, plan)
    weights = kernel_shap_weights(plan, 0, evaluated, evaluated)
    sizes = rows.sum(axis=1)
    for size in range(1, 10):
        assert_close(weights[sizes == size].sum(), kernel_shap_size_weights(10)[size - 1], Tolerance.FLOAT64)
    assert kernel_shap_weights(plan, 50, 90, evaluated).tobytes() == weights[50:90].tobytes()


def test_refusals_name_the_interval():
    plan = kernel_shap_plan(5, 12)
    for wrong, message in (
        (lambda: all_coalitions(63), r"'players' must be an int in \[1, 62\]. Got 63"),
        (lambda: all_coalitions(3, 2, 9), "must lie in"),
        (lambda: bernoulli(0, 0, 1, 0), "'players' must be"),
        (lambda: kernel_shap_plan(0, 9), "'players' must be in"),
        (lambda: kernel_shap_plan(4, 1), "'budget' in"),
        (lambda: kernel_shap_coalitions(0, 0, 13, plan), r"must lie in \[0, 12\]"),
        (lambda: kernel_shap_weights(plan, 0, 3, 3), "'evaluated' must be an even int"),
        (lambda: kernel_shap_coalitions(-1, 0, 12, plan), "'seed' must be an int"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
