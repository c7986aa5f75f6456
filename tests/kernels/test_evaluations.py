"""What the design of KernelSHAP is for: the same error from several times fewer evaluations.

The games are small random networks, so every coalition's value is in a table and the Shapley values are exact.
"""

import math

import numpy as np
import pytest
from xaionnx_kernels.coalitions import all_coalitions, kernel_shap_coalitions, kernel_shap_plan
from xaionnx_kernels.permutations import permutation_coalitions, permutations
from xaionnx_kernels.regression import kernel_shap_values, smoothed_kernel_shap_values

SEEDS = range(12)


def network(players, seed):
    rng = np.random.default_rng(seed)
    hidden = np.tanh((all_coalitions(players) * rng.standard_normal(players)) @ rng.standard_normal((players, 32)))
    return np.maximum(hidden @ rng.standard_normal((32, 16)) / 4, 0) @ rng.standard_normal(16)


def exact(table, players):
    sizes = all_coalitions(players).sum(axis=1)
    weights = np.array([1 / (players * math.comb(players - 1, k)) for k in range(players)])
    rows = np.arange(2**players)
    values = []
    for player in range(players):
        without = rows[rows >> player & 1 == 0]
        values.append(weights[sizes[without]] @ (table[without | 1 << player] - table[without]))
    return np.array(values)


def by_regression(solve):
    def estimate(table, players, evaluations, seed):
        plan = kernel_shap_plan(players, evaluations)
        rows, weights = kernel_shap_coalitions(seed, 0, plan.evaluations, plan)
        values = table[rows @ (1 << np.arange(players))][:, None]
        return solve(rows, weights, values, table[:1], table[-1:])[:, 0]

    return estimate


def by_permutations(scheme):
    def estimate(table, players, evaluations, seed):
        orders = permutations(seed, 0, evaluations // (players - 1), players, scheme)
        codes = permutation_coalitions(orders) @ (1 << np.arange(players))
        added = np.empty(orders.shape)
        np.put_along_axis(added, orders, np.diff(table[codes].reshape(len(orders), -1), axis=1), axis=1)
        return added.mean(axis=0)

    return estimate


@pytest.fixture(scope="module")
def error():
    games = [(players, network(players, players + seed)) for players in (10, 12) for seed in range(3)]
    known = [exact(table, players) for players, table in games]

    def measure(estimator, evaluations):
        errors = [
            np.linalg.norm(estimator(table, players, evaluations, seed) - values) / np.linalg.norm(values)
            for (players, table), values in zip(games, known, strict=True)
            for seed in SEEDS
        ]
        return np.exp(np.log(errors).mean())

    return measure


def test_the_regression_needs_4_times_fewer_evaluations_than_plain_permutations(error):
    assert error(by_regression(kernel_shap_values), 300) < error(by_permutations("plain"), 4 * 300)


def test_the_regression_needs_2_times_fewer_evaluations_than_antithetic_permutations(error):
    assert error(by_regression(kernel_shap_values), 300) < error(by_permutations("antithetic"), 2 * 300)


def test_smoothing_saves_another_quarter_of_the_evaluations(error):
    assert error(by_regression(smoothed_kernel_shap_values), 300) < error(by_regression(kernel_shap_values), 400)


def test_orthogonal_permutations_need_fewer_evaluations_than_antithetic_ones(error):
    assert error(by_permutations("orthogonal"), 1000) < error(by_permutations("antithetic"), 1200)
