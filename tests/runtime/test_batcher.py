"""Batching: the batch size is tuned on invented timings, and batched outputs are compared with single rows."""

from itertools import pairwise

import numpy as np
import pytest

from xaionnx.runtime.batcher import BatchSizeTuner, same_rows


def walk(pace, seconds_a_sample, runs=400, memory=None):
    """The batch sizes that the tuner chooses, given the seconds per sample at each batch size."""
    asked = []
    for _ in range(runs):
        size = pace.size(10**6)
        asked.append(size)
        if memory is not None and size > memory:
            pace.out_of_memory(size)
        else:
            pace.record(size, size * seconds_a_sample(size))
    return asked


@pytest.mark.parametrize("best", [1, 4, 16, 64])
def test_it_climbs_while_a_sample_gets_cheaper_and_settles_at_the_best(best):
    asked = walk(BatchSizeTuner.for_samples(1000, None), lambda size: 0.05 * (1 + 2 * abs(np.log2(size / best))))
    assert asked[0] <= 4
    assert asked.count(best) > 0.8 * len(asked)
    # Clearly slower sizes are not tried repeatedly.
    assert max(asked) <= max(8, 4 * best)
    assert sum(size > best for size in asked) < 0.1 * len(asked)


def test_other_work_on_the_machine_seldom_keeps_batches_of_short_samples_small():
    rng, medians = np.random.default_rng(0), []
    for _ in range(40):
        # Each fifth run waits for some milliseconds.
        pace = BatchSizeTuner.for_samples(80, None)
        asked = walk(pace, lambda size: 2e-7 + (1e-5 + 3e-3 * (rng.random() < 0.2)) / size, runs=60)
        medians.append(np.median(asked))
    assert np.mean(np.array(medians) < 512) <= 0.1


def test_where_all_sizes_cost_the_same_it_stays_small():
    asked = walk(BatchSizeTuner.for_samples(1000, None), lambda size: 0.05)
    assert np.median(asked) <= 8


@pytest.mark.parametrize("memory", [1, 2, 7, 40])
def test_after_memory_ran_out_no_batch_is_that_large_again(memory):
    asked = walk(BatchSizeTuner.for_samples(1000, None), lambda size: 0.05 / size, memory=memory)
    failed = [n for n, size in enumerate(asked) if size > memory]
    assert failed
    for first, second in pairwise(failed):
        assert asked[second] < asked[first]
    assert max(asked[failed[-1] + 1 :]) <= memory
    assert len(failed) <= 8


@pytest.mark.parametrize("sample_bytes", [1, 10**6, 10**9])
def test_a_given_size_is_kept_whatever_the_times_and_the_bytes(sample_bytes):
    asked = walk(BatchSizeTuner.for_samples(sample_bytes, 24), lambda size: 0.05 * size)
    assert set(asked) == {24}


def test_a_given_size_that_does_not_fit_is_halved():
    asked = walk(BatchSizeTuner.for_samples(1000, 24), lambda size: 0.05, runs=6, memory=7)
    assert asked == [24, 12, 6, 6, 6, 6]


def test_the_inputs_of_one_batch_are_bounded_whatever_the_gain():
    asked = walk(BatchSizeTuner.for_samples(3 * 2**20, None), lambda size: 0.05 / size)
    assert max(asked) * 3 * 2**20 <= 64 * 2**20
    assert set(walk(BatchSizeTuner.for_samples(10**9, None), lambda size: 0.05, runs=10)) == {1}


ROW = np.array([[1.0, -200.0, 3e-4]], np.float32)


@pytest.mark.parametrize(
    ("alone", "together", "same"),
    [
        (ROW, np.concatenate([ROW, ROW + 1]), True),
        (ROW, np.concatenate([ROW + 0.1, ROW]), True),  # 1e-3 of 200
        (ROW, np.concatenate([ROW + 0.3, ROW]), False),
        (ROW, np.concatenate([ROW + 1, ROW]), False),
        (ROW.astype(np.float16), np.concatenate([ROW + 3, ROW]).astype(np.float16), True),
        (ROW.astype(np.float16), np.concatenate([ROW + 5, ROW]).astype(np.float16), False),
        (ROW, ROW, False),
        (ROW, np.concatenate([ROW, ROW, ROW]), False),
        (ROW[0], np.concatenate([ROW[0], ROW[0]]), False),
        (ROW, np.zeros((2, 4), np.float32), False),
        (np.float32(3), np.float32(3), False),
        (np.array([[1, 2]]), np.array([[1, 2], [3, 4]]), True),
        (np.array([[1, 2]]), np.array([[1, 3], [3, 4]]), False),
        (np.array([["a"]], object), np.array([["a"], ["b"]], object), True),
        (np.array([["a"]], object), np.array([["b"], ["b"]], object), False),
        (np.array([[np.inf, np.nan, 1.0]]), np.array([[np.inf, np.nan, 1.0], [0, 0, 0]]), True),
        (np.array([[np.inf, np.nan, 1.0]]), np.array([[2.0, np.nan, 1.0], [0, 0, 0]]), False),
        (np.zeros((1, 3)), np.zeros((2, 3)), True),
        (np.zeros((1, 0)), np.zeros((2, 0)), True),
    ],
)
def test_rows_alone_and_together(alone, together, same):
    assert same_rows({"y": alone}, {"y": together}, 2) is same
    # One differing output is enough.
    assert same_rows({"z": ROW, "y": alone}, {"z": np.concatenate([ROW, ROW]), "y": together}, 2) is same


def after(pace, seconds, samples):
    """The sizes of the runs for that many samples, if run n of b samples takes ``seconds(b, n)``."""
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
    sizes = after(BatchSizeTuner.for_samples(600_000, None), convolutional, 2000)
    assert np.mean([size in (8, 16) for size in sizes[-40:]]) > 0.9
    # Trying a slower size costs half a batch.
    assert sum(size for size in sizes if size == 32) <= 64


def test_one_slow_run_does_not_settle_it():
    for slow in range(1, 12):
        sizes = after(
            BatchSizeTuner.for_samples(600_000, None),
            lambda b, n, s=slow: convolutional(b) * (5 if n == s else 1),
            6000,
        )
        assert np.mean([size in (8, 16) for size in sizes[-40:]]) > 0.9, slow


def test_it_grows_to_thousands_where_a_run_takes_no_time():
    sizes = after(BatchSizeTuner.for_samples(80, None), lambda b, n: 5e-5 + b * 1.5e-7, 100_000)
    assert max(sizes) == 4096
    assert sizes.index(4096) < 8
    assert len(sizes) < 40


@pytest.mark.parametrize("fixed", [None, 16])
def test_no_batch_is_larger_than_what_fitted(fixed):
    pace = BatchSizeTuner.for_samples(600_000, fixed)
    after(pace, convolutional, 500)
    pace.out_of_memory(8)
    assert max(after(pace, convolutional, 2000)) <= 4


def test_a_given_size_is_kept_after_many_runs():
    assert after(BatchSizeTuner.for_samples(600_000, 7), convolutional, 30) == [7, 7, 7, 7, 2]


def test_only_a_run_known_to_be_short_is_called_brief():
    pace = BatchSizeTuner.for_samples(600_000, None)
    assert not pace.is_brief(1)
    pace.record(4, 0.04)
    assert pace.is_brief(4)
    assert not pace.is_brief(16)
