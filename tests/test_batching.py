"""The batch size that a model settles at, from run times that are made up."""

import numpy as np
import pytest

from xaionnx.batching import Pace


def after(pace, seconds, samples):
    """Answer so many samples, a run of b taking ``seconds(b, n)`` at run n; the sizes of the runs."""
    sizes, left = [], samples
    while left:
        size = pace.size(left)
        assert 1 <= size <= left
        sizes.append(size)
        pace.record(size, seconds(size, len(sizes)))
        left -= size
    return sizes


def convolutional(size, run=0):
    """4 ms a picture in a batch of 1, 2 at 8 or 16, and 5 from 32 on."""
    return size * {1: 4e-3, 4: 2.5e-3, 8: 2e-3, 16: 2e-3}.get(size, 5e-3)


def test_it_settles_where_a_sample_takes_the_least_time():
    sizes = after(Pace.for_samples(600_000, None), convolutional, 2000)
    assert np.mean([size in (8, 16) for size in sizes[-40:]]) > 0.9
    # Half a batch that is slower is what looking costs.
    assert sum(size for size in sizes if size == 32) <= 64


def test_one_slow_run_does_not_settle_it():
    for slow in range(1, 12):
        sizes = after(
            Pace.for_samples(600_000, None), lambda b, n, s=slow: convolutional(b) * (5 if n == s else 1), 6000
        )
        assert np.mean([size in (8, 16) for size in sizes[-40:]]) > 0.9, slow


def test_it_grows_to_thousands_where_a_run_takes_no_time():
    sizes = after(Pace.for_samples(80, None), lambda b, n: 5e-5 + b * 1.5e-7, 100_000)
    assert max(sizes) == 4096
    assert sizes.index(4096) < 8
    assert len(sizes) < 40


@pytest.mark.parametrize("fixed", [None, 16])
def test_no_batch_is_larger_than_what_fitted(fixed):
    pace = Pace.for_samples(600_000, fixed)
    after(pace, convolutional, 500)
    pace.out_of_memory(8)
    assert max(after(pace, convolutional, 2000)) <= 4


def test_a_given_size_is_kept():
    assert after(Pace.for_samples(600_000, 7), convolutional, 30) == [7, 7, 7, 7, 2]


def test_only_a_run_known_to_be_short_is_called_brief():
    pace = Pace.for_samples(600_000, None)
    assert not pace.is_brief(1)
    pace.record(4, 0.04)
    assert pace.is_brief(4)
    assert not pace.is_brief(16)
