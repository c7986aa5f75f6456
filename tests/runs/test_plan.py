"""Plans: shards grow with what they cost, and those that end workers are divided until the unit is known."""

from __future__ import annotations

import pytest

from xaionnx.runs.job import Outcome, Shard
from xaionnx.runs.plan import LIVES, Plan


def outcome(shard, seconds, size=100, stop=None):
    count = (shard.stop if stop is None else stop) - shard.start
    return Outcome(shard, shard.start + count, count, 0, seconds * count, size * count)


def sizes(plan, seconds, size=100):
    found = []
    while (shard := plan.next()) is not None:
        found.append(len(shard))
        assert plan.done(outcome(shard, seconds, size))
    return found


def test_shards_grow_to_ten_seconds():
    found = sizes(Plan([range(1000)]), 0.1)
    assert found[:4] == [1, 8, 64, 100]
    assert max(found) == 100
    assert sum(found) == 1000


def test_rows_that_take_little_time_are_not_done_one_by_one():
    assert sizes(Plan([range(10_000)]), 1e-4)[:2] == [1, 500]


def test_the_first_shards_begin_before_one_is_timed():
    plan = Plan([range(100)])
    first = [plan.next() for _ in range(4)]
    assert [len(shard) for shard in first] == [1, 2, 4, 4]
    assert plan.done(Outcome(first[0], 1, 0, 1, 0.1, 0))
    assert len(plan.next()) == 8
    assert plan.done(outcome(first[1], 5.0))
    assert len(plan.next()) == 2


@pytest.mark.parametrize(("seconds", "last"), [(5.0, [2, 2, 1, 1]), (0.01, [25, 13, 6, 6]), (0.1, [6, 3, 2, 1])])
def test_the_last_shards_are_halves_of_what_is_left_but_not_too_short(seconds, last):
    found = sizes(Plan([range(100), range(200, 300)]), seconds)
    assert sum(found) == 200
    assert found[-4:] == last


def test_shards_have_at_most_so_many_bytes():
    assert max(sizes(Plan([range(1000)]), 1e-6, 2**20 - 2**12)) == 16
    assert max(sizes(Plan([range(100_000)]), 1e-9, 0)) == 4096


def test_slow_rows_are_shards_of_their_own():
    assert sizes(Plan([range(5)]), 60.0) == [1] * 5


def test_an_iterable_ends_the_plan():
    plan = Plan([range(10**12)])
    shard = plan.next()
    plan.done(outcome(shard, 0.1))
    shard = plan.next()
    plan.done(outcome(shard, 0.1, stop=shard.start + 2))
    assert plan.next() is None


def test_what_is_told_twice_counts_once():
    plan = Plan([range(10)])
    shard = plan.next()
    assert plan.done(outcome(shard, 0.1))
    assert not plan.done(outcome(shard, 0.1))
    assert plan.lost([shard]) is None
    assert plan.in_flight == 0


@pytest.mark.parametrize("deadly", [{5}, {0}, {63}, {7, 8}, {0, 31, 32, 63}, set()])
@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_units_that_end_workers_are_found(deadly, capacity):
    plan, done, given_up, flying, killed = Plan([range(64)]), set(), [], [], dict.fromkeys(range(64), 0)
    while True:
        while len(flying) < capacity and (shard := plan.next()) is not None:
            flying.append(shard)
        if not flying:
            break
        shard = flying.pop(0)
        units = set(range(shard.start, shard.stop))
        if units & deadly:
            # The worker has others, which are lost with it.
            lost = [shard, *flying[:1]]
            flying = flying[1:]
            for unit in {unit for one in lost for unit in range(one.start, one.stop)}:
                killed[unit] += 1
            one = plan.lost(lost)
            if one is not None:
                given_up.append(one)
        else:
            plan.done(outcome(shard, 0.01))
            done |= units
    assert sorted(given_up) == [Shard(unit, unit + 1) for unit in sorted(deadly)]
    assert done == set(range(64)) - deadly
    assert all(killed[unit] >= LIVES for unit in deadly)
