"""Inputs that are drawn at random: read when they are drawn, and left out where they cannot be."""

import numpy as np
import pytest

from tests.tiny import trained
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError
from xaionnx.optimization import input_pool
from xaionnx.optimization.input_pool import InputPool

MODEL = "mnist_cnn"


class Counted:
    """A sequence that knows which of its items were read; every third cannot be."""

    def __init__(self, count):
        self.read = []
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, at):
        self.read.append(at)
        side = 27 if at % 3 == 2 else 28
        return np.full((1, side, side), at, np.float32)


def test_only_what_is_drawn_is_read():
    items = Counted(10**6)
    pool = InputPool.of(trained(MODEL), Dataset.of(items))
    found = pool.drawn(32, np.random.default_rng(0))
    assert found.shape == (32, 1, 28, 28)
    assert len(set(items.read)) < 100
    assert set(found[:, 0, 0, 0]) <= set(items.read)
    assert {unit % 3 for unit in pool.refused} == {2}
    assert [one.unit for one in pool.left_out] == sorted(pool.refused)
    np.testing.assert_array_equal(found, pool.drawn(32, np.random.default_rng(0)))


def test_no_more_inputs_stay_in_memory_than_fit(monkeypatch):
    monkeypatch.setattr(input_pool, "_KEPT", 5 * 28 * 28 * 4)
    items = Counted(30)
    pool = InputPool.of(trained(MODEL), Dataset.of(items))
    first = pool.drawn(64, np.random.default_rng(0))
    assert len(pool._read) == 5
    assert len(items.read) > len(set(items.read))
    monkeypatch.undo()
    whole = InputPool.of(trained(MODEL), Dataset.of(Counted(30)))
    np.testing.assert_array_equal(whole.drawn(64, np.random.default_rng(0)), first)
    assert len(whole._read) + len(whole.refused) <= 30


def test_what_has_no_inputs_is_refused():
    with pytest.raises(DataError, match="Give a list of them"):
        InputPool.of(trained(MODEL), Dataset.of(iter([np.zeros((1, 28, 28), np.float32)])))
    with pytest.raises(DataError, match="27"):
        InputPool.of(trained(MODEL), Dataset.of([np.zeros((1, 27, 27), np.float32)] * 3))
