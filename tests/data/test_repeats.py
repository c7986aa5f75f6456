"""Arrays that repeat along axes are joined and cut without copies of their repetitions."""

import numpy as np

from xaionnx.data.repeats import concatenate, stack, unrepeated


def test_axes_that_all_parts_repeat_stay_repeated():
    rng = np.random.default_rng(0)
    parts = [np.broadcast_to(rng.normal(size=(n, 1, 4)), (n, 3, 4)) for n in (2, 5)]
    joined = concatenate(parts, 0)
    np.testing.assert_array_equal(joined, np.concatenate(parts))
    assert joined.strides[1] == 0
    assert unrepeated(joined).shape == (7, 1, 4)


def test_an_axis_that_one_part_does_not_repeat_is_written_out():
    rng = np.random.default_rng(0)
    parts = [np.broadcast_to(rng.normal(size=(2, 1, 4)), (2, 3, 4)), rng.normal(size=(2, 3, 4))]
    joined = concatenate(parts, 0)
    np.testing.assert_array_equal(joined, np.concatenate(parts))
    assert unrepeated(joined).shape == (4, 3, 4)


def test_parts_that_repeat_along_the_joined_axis_are_written_out_there():
    parts = [np.broadcast_to(np.full((1, 4), value), (3, 4)) for value in (1.0, 2.0)]
    np.testing.assert_array_equal(concatenate(parts, 0), np.concatenate(parts))


def test_stacked_parts_stay_repeated():
    parts = [np.broadcast_to(np.arange(4.0), (3, 4)), np.broadcast_to(np.arange(4.0) + 1, (3, 4))]
    stacked = stack(parts, 1)
    np.testing.assert_array_equal(stacked, np.stack(parts, axis=1))
    assert stacked.strides[0] == 0
    assert stack(parts[:1], 1).base is not None
