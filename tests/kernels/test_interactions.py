"""Derivatives of games on all coalitions."""

from itertools import combinations

import numpy as np
import pytest
from xaionnx_kernels import interactions


def inside(row, players):
    return {j for j in range(players) if row >> j & 1}


@pytest.mark.parametrize("players", [1, 2, 5])
def test_dividends_add_up_to_the_game_and_superset_sums_are_their_transpose(players):
    v = np.random.default_rng(players).normal(size=(2**players, 3))
    m, up = interactions.dividends(v), interactions.superset_sums(v)
    for row in range(2**players):
        below = [r for r in range(2**players) if inside(r, players) <= inside(row, players)]
        above = [r for r in range(2**players) if inside(r, players) >= inside(row, players)]
        np.testing.assert_allclose(m[below].sum(axis=0), v[row], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(v[above].sum(axis=0), up[row], rtol=1e-12, atol=1e-12)


def test_terms_of_sets():
    rows = np.random.default_rng(0).random((20, 6)) < 0.5
    for sets in interactions.subsets(6, 3):
        assert sets.tolist() == [list(s) for s in combinations(range(6), sets.shape[1])]
        expected = rows[:, sets].sum(axis=2)
        np.testing.assert_array_equal(interactions.members_present(rows, sets), expected)
        np.testing.assert_array_equal(interactions.products(rows, sets), expected == sets.shape[1])


def test_what_is_no_game_is_refused():
    with pytest.raises(ValueError, match=r"those of all 2\^P coalitions. Got 3"):
        interactions.dividends(np.zeros(3))
    with pytest.raises(ValueError, match=r"must be in \[1, inf\). Got 0, 2"):
        interactions.subsets(0, 2)
