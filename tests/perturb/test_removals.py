"""Removals of several samples: one that is shared is the same as a list of them."""

import hashlib

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Baseline, Features
from xaionnx.data.sample import split
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.players import Players
from xaionnx.perturb.removals import Removals, SharedRemoval

X = np.round(np.random.default_rng(0).uniform(-1, 1, (9, 4))).astype(np.float32)
ROWS = np.float32([[0, 0, 1, 1], [0, 1, 1, 0]])


@pytest.fixture
def both():
    samples = split({"x": X}, "x", None, frozenset())
    players = Features.of(np.array([0, 0, 1, 2])).players(samples[0])
    like = Select(samples[0], players, Baseline.background(ROWS).draws(samples[0], ("x",), 0))
    numbers = np.arange(1, 8)
    return SharedRemoval(like, samples, numbers), Removals.of([like.of_sample(samples[n]) for n in numbers])


def _all_equal(first: Removals, second: Removals) -> None:
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.inputs("x"), second.inputs("x"))
    np.testing.assert_array_equal(
        np.broadcast_to(first.baselines("x"), (len(first), *ROWS.shape)),
        np.broadcast_to(second.baselines("x"), (len(first), *ROWS.shape)),
    )
    for one, other in zip(first, second, strict=True):
        assert one.sample.number == other.sample.number
        np.testing.assert_array_equal(one.element_labels("x"), other.element_labels("x"))


def test_a_shared_removal_is_the_list_of_its_removals(both):
    shared, listed = both
    _all_equal(shared, listed)
    _all_equal(shared[2:5], listed[2:5])
    _all_equal(shared.some(np.array([6, 0, 3])), listed.some(np.array([6, 0, 3])))
    np.testing.assert_array_equal(shared.null_players(), listed.null_players())
    with pytest.raises(IndexError):
        shared[7]


def test_each_sample_may_have_players_of_its_own(both):
    null = both[0].null_players()
    expected = [[(X[n, own] == ROWS[:, own]).all() for own in ([0, 1], [2], [3])] for n in range(1, 8)]
    np.testing.assert_array_equal(null, expected)
    kept, which = np.unique(~null, axis=0, return_inverse=True)
    players: list[Players] = [both[0][0].players.only(row) for row in kept]
    shared, listed = (each.of_players(players, which) for each in both)
    _all_equal(shared, listed)
    for each in (shared, listed):
        different, numbers = each.by_players()
        assert len(different) == len(kept)
        for n, one in enumerate(each):
            np.testing.assert_array_equal(different[numbers[n]].element_labels("x"), one.element_labels("x"))


def test_samples_are_made_when_they_are_read():
    samples = split({"x": X, "w": np.float32([3, 4])}, "x", None, frozenset({"w"}))
    assert samples[-1] is samples[8]
    assert [sample.number for sample in samples[2:4]] == [2, 3]
    assert [sample.number for sample in samples] == [*range(9)]
    np.testing.assert_array_equal(samples[5].array, X[5])
    np.testing.assert_array_equal(samples[5].x["w"], [3, 4])
    with pytest.raises(IndexError):
        samples[9]


def test_the_hash_of_a_sample_is_that_of_its_names_types_and_bytes():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0, 0.5]]))
    found = xaionnx.explain(model, X, "occlusion").provenance["input_sha256"]
    name = model.input().name
    assert found == [hashlib.sha256(f"{name}float32(1, 4)".encode() + row.tobytes()).hexdigest() for row in X]
