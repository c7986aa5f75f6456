"""Equal rows are found by their bits."""

import numpy as np
import pytest
from xaionnx_kernels import distinct
from xaionnx_kernels.distinct import distinct_rows

pytestmark = pytest.mark.usefixtures("tier")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64, np.bool_])
@pytest.mark.parametrize("columns", [1, 3, 20])
def test_each_row_equals_the_first_of_its_set(dtype, columns):
    rows = np.random.default_rng(0).integers(0, 2, (500, columns)).astype(dtype)
    first, which = distinct_rows([rows])
    assert len(first) == len(np.unique(rows, axis=0))
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(rows[first[which]], rows)


def test_several_arrays_are_compared_together():
    left, right = np.float32([1, 1, 2, 1]), np.array([[7, 1], [7, 2], [7, 1], [7, 1]])
    assert distinct_rows([left, right])[1].tolist() == [0, 1, 2, 0]


def test_zeros_of_both_signs_differ_and_nan_equals_itself():
    assert distinct_rows([np.float32([0.0, -0.0, np.nan, np.nan])])[1].tolist() == [0, 1, 2, 2]


def test_equal_hashes_of_rows_that_differ_are_noticed(monkeypatch, tier):
    # With one factor for all columns, their order does not matter.
    monkeypatch.setattr(distinct.counter, "bits", lambda *_: np.zeros((1, 2), np.uint64))
    found = distinct_rows([np.float64([[1, 2], [2, 1]])])
    # The table compares the rows themselves.
    assert found is None if tier == "numpy" else found[1].tolist() == [0, 1]
