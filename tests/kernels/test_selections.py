"""Inputs of short samples: each distinct one is written once, and means over baselines have bits of their own."""

import numpy as np
import pytest
from xaionnx_kernels import selections as kernels
from xaionnx_kernels.selections import distinct_selections, mean_of_draws, selections

pytestmark = pytest.mark.usefixtures("tier")


def drawn(dtype, samples=3, own=1, draws=4, codes=30, elements=5, patterns=1):
    """Samples, baselines, codes with a last column of ones, and labels; elements take few values."""
    rng = np.random.default_rng(elements)
    x = rng.integers(0, 2, (samples, elements)).astype(dtype)
    baselines = rng.integers(0, 2, (own, draws, elements)).astype(dtype)
    members = np.concatenate([rng.random((codes, 3)) < 0.5, np.ones((codes, 1), bool)], axis=1)
    return x, baselines, members, rng.integers(0, 4, (patterns, elements)).astype(np.int32)


def by_definition(x, baselines, members, labels):
    rows = [
        [x[r, e] if members[m, labels[min(r, len(labels) - 1), e]] else baselines[min(r, len(baselines) - 1), b, e]
         for e in range(x.shape[1])]
        for r in range(len(x)) for m in range(len(members)) for b in range(baselines.shape[1])
    ]  # fmt: skip
    return np.array(rows, x.dtype)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize(("own", "patterns"), [(1, 1), (3, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("apart", [True, False])
def test_each_input_is_the_definitions_and_each_distinct_one_is_written_once(dtype, own, patterns, apart):
    parts = drawn(dtype, own=own, patterns=patterns)
    expected = by_definition(*parts)
    np.testing.assert_array_equal(selections(*parts), expected)
    rows, which = distinct_selections(*parts, apart=apart)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows[which].reshape(expected.shape), expected)
    keys = [(n // (len(expected) // 3) if apart else 0, *row) for n, row in enumerate(expected.tolist())]
    # In the order of their first occurrence.
    assert which.reshape(-1).tolist() == [list(dict.fromkeys(keys)).index(key) for key in keys]
    assert len(rows) == len(set(keys)) < len(expected)


def test_inputs_without_elements_are_one():
    x, baselines = np.zeros((1, 0), np.uint32), np.zeros((1, 2, 0), np.uint32)
    rows, which = distinct_selections(x, baselines, np.ones((3, 1), bool), np.zeros((1, 0), np.int32), apart=False)
    assert rows.shape == (1, 0)
    assert which.tolist() == [[[0, 0]] * 3]


def test_equal_hashes_of_inputs_that_differ_are_noticed(monkeypatch, tier):
    # With one factor for all columns, their order does not matter.
    monkeypatch.setattr(kernels.counter, "bits", lambda *_: np.zeros((1, 3), np.uint64))
    codes = np.array([[True, True], [False, True]])
    x, baselines = np.uint32([[1, 2]]), np.uint32([[[2, 1]]])
    rows, which = distinct_selections(x, baselines, codes, np.zeros((1, 2), np.int32), apart=False)
    assert rows[which.reshape(-1)].tolist() == [[1, 2], [2, 1]]


@pytest.mark.parametrize("weights", [None, np.array([0.5, 0.125, 0.25, 0.125])])
def test_means_are_added_up_in_the_order_of_the_baselines(weights):
    rng = np.random.default_rng(0)
    values, which = rng.normal(size=(7, 2)), rng.integers(0, 7, (3, 5, 4)).astype(np.int32)
    expected = np.zeros((3, 5, 2))
    for draw in range(4):
        expected += values[which[:, :, draw]] * (1 if weights is None else weights[draw])
    np.testing.assert_array_equal(mean_of_draws(values, which, weights), expected / 4 if weights is None else expected)
