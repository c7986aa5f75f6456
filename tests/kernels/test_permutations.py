"""Permutations: uniform, reversed in pairs, orthogonal in blocks, and independent of how requests are split."""

import itertools
import tracemalloc

import numpy as np
import pytest
from xaionnx_kernels.permutations import permutation_coalitions, permutations

from tests.tolerances import Tolerance, assert_close

SCHEMES = ["plain", "antithetic", "orthogonal"]


def concordance(first, second):
    """Kendall's tau: over pairs of players, +1 where both orders agree and -1 where not, averaged."""
    a, b = np.argsort(first), np.argsort(second)
    signs = [np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)]
    return np.mean(signs)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("players", [1, 2, 3, 8, 33])
def test_rows_are_permutations_and_do_not_depend_on_the_batch(scheme, players):
    whole = permutations(5, 0, 90, players, scheme)
    assert whole.dtype == np.int32
    assert np.array_equal(np.sort(whole, axis=1), np.tile(np.arange(players), (90, 1)))
    for a, b in ((0, 1), (1, 2), (3, 50), (51, 90), (90, 90)):
        assert np.array_equal(permutations(5, a, b, players, scheme), whole[a:b])
    if scheme != "plain":
        assert np.array_equal(whole[1::2], whole[::2, ::-1])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_permutation_is_equally_likely(scheme):
    count = 24_000
    made = permutations(1, 0, count, 4, scheme)
    _, counts = np.unique(made @ (4 ** np.arange(4)), return_counts=True)
    assert len(counts) == 24
    # The rows of a pair or block are dependent; with b rows in a block the error is at most sqrt(b) times larger.
    block = {"plain": 1, "antithetic": 2, "orthogonal": 6}[scheme]
    assert np.abs(counts / count - 1 / 24).max() < 4 * np.sqrt(block / 24 / count)


def test_the_frame_behind_a_block_is_orthonormal_and_sums_to_zero():
    from xaionnx_kernels import counter
    from xaionnx_kernels.permutations import _embed_in_hyperplane, _orthonormal_frame

    vectors = _embed_in_hyperplane(_orthonormal_frame(counter.normal(0, 0, 0, 11, 11)))
    assert_close(vectors @ vectors.T, np.eye(11), Tolerance.FLOAT64)
    assert_close(vectors.sum(axis=1), 0, Tolerance.FLOAT64)


def test_orthogonal_blocks_spread_more_than_independent_ones():
    players, blocks = 8, 60

    def alike(scheme):
        bases = permutations(3, 0, 2 * (players - 1) * blocks, players, scheme)[::2].reshape(blocks, -1, players)
        pairs = [concordance(a, b) ** 2 for block in bases for a, b in itertools.combinations(block, 2)]
        return np.mean(pairs), np.std(pairs) / np.sqrt(len(pairs))

    orthogonal, error = alike("orthogonal")
    independent, other_error = alike("antithetic")
    assert orthogonal < independent - 4 * np.hypot(error, other_error)


def test_prefixes_are_the_first_players_of_each_permutation():
    orders = permutations(0, 0, 7, 5)
    expected = []
    for order in orders:
        expected += [[player in order[:k] for player in range(5)] for k in range(6)]
    rows = permutation_coalitions(orders)
    assert rows.tolist() == expected
    assert np.array_equal(permutation_coalitions(orders, 9, 31), rows[9:31])


def test_antithetic_orders_are_exact_for_second_order_games():
    # f = d0 d2 + d1 + d2 + d2 d3 has the Shapley values (d0 d2/2, d1, d0 d2/2 + d2 + d2 d3/2, d2 d3/2, 0).
    orders = permutations(2, 0, 2, 5)
    d = permutation_coalitions(orders).astype(float).T
    gains = np.diff((d[0] * d[2] + d[1] + d[2] + d[2] * d[3]).reshape(2, 6), axis=1)
    added = np.zeros((2, 5))
    np.put_along_axis(added, orders, gains, axis=1)
    assert added.mean(axis=0).tolist() == [0.5, 1, 2, 0.5, 0]


def test_refusals_name_the_interval():
    for wrong, message in (
        (lambda: permutations(0, 0, 1, 0), "'players' must be"),
        (lambda: permutations(0, 2, 1, 3), "0 <= start <= stop"),
        (lambda: permutations(0, 0, 1, 3, "sorted"), "'scheme' must be 'antithetic', 'orthogonal' or 'plain'"),
        (lambda: permutations(0, 0, 1, 2000, "orthogonal"), "limited to 1024 players"),
        (lambda: permutation_coalitions(np.zeros(3, int)), "must have the shape"),
        (lambda: permutation_coalitions(np.zeros((2, 3), int), 0, 9), r"must lie in \[0, 8\]"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_rows_of_many_players_take_no_more_than_they_hold():
    orders = np.arange(20_000, dtype=np.int32)[None, ::-1]
    tracemalloc.start()
    rows = permutation_coalitions(orders, 7_000, 7_010)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(rows.sum(axis=1), np.arange(7_000, 7_010))
    assert rows[0, -7_000:].all()
    assert peak < 5 << 20
