"""The purpose of the design of KernelSHAP: the same error with several times fewer evaluations.

The games are small random networks, so every coalition's value is in a table and the Shapley values are exact.
"""

import math

import numpy as np
import pytest
from xaionnx_kernels.coalitions import all_coalitions, kernel_shap_coalitions, kernel_shap_plan
from xaionnx_kernels.permutations import permutation_coalitions, permutations

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


def by_regression(table, players, evaluations, seed):
    """Weighted least squares; the last player gets the remainder."""
    plan = kernel_shap_plan(players, evaluations)
    rows, weights = kernel_shap_coalitions(seed, 0, plan.evaluations, plan)
    last = rows[:, -1].astype(float)
    answers = table[rows @ (1 << np.arange(players))] - table[0] - last * (table[-1] - table[0])
    root = np.sqrt(weights)
    others = np.linalg.lstsq(root[:, None] * (rows[:, :-1] - last[:, None]), root * answers, rcond=None)[0]
    return np.append(others, table[-1] - table[0] - others.sum())


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
    assert error(by_regression, 300) < error(by_permutations("plain"), 4 * 300)


def test_the_regression_needs_2_times_fewer_evaluations_than_antithetic_permutations(error):
    assert error(by_regression, 300) < error(by_permutations("antithetic"), 2 * 300)
