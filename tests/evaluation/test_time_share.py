"""A budget of time that is shared by the parts of a long computation."""

import pytest

from xaionnx.errors import ParameterError, TimeLimitError
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.runtime import progress


class Clock:
    """Shows the time that it is set to."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_part_is_stopped_after_its_share_and_cheap_ones_leave_theirs():
    clock = Clock()
    whole = TimeShare(12.0, clock)
    clock.now = 4.0  # the first of four parts took one second more than its share
    share = whole.of(2)
    assert share.end == 8.0
    with share.limit():
        progress.expect(1)
        clock.now = 7.0
        progress.advance(1)
    with share.limit():
        clock.now = 8.5
        with pytest.raises(TimeLimitError, match="longer than its share of the time"):
            progress.advance(1)
    assert whole.of(1).end == 12.0
    clock.now = 12.0
    with pytest.raises(TimeLimitError, match="The time is used up"):
        whole.of(1)


def test_evaluations_that_will_clearly_take_too_long_are_stopped_early():
    """Each takes a second after the first ten, so that 89 more take 89 s, of a limit of 10."""
    clock = Clock()
    with TimeShare(10.0, clock).limit():
        progress.expect(100)
        clock.now = 1.0
        progress.advance(10)
        clock.now = 2.0
        with pytest.raises(TimeLimitError) as stopped:
            progress.advance(1)
    assert stopped.value.seconds == pytest.approx(91)


def test_evaluations_that_may_be_done_within_twice_their_limit_go_on():
    clock = Clock()
    with TimeShare(10.0, clock).limit():
        progress.expect(20)
        for done in range(1, 10):
            clock.now = float(done)
            progress.advance(1)
        progress.expect(-11)


def test_progress_is_passed_on():
    seen = []

    class Listener(progress.Silent):
        def advance(self, evaluations):
            seen.append(evaluations)

    with progress.listening(Listener()), TimeShare(1.0, Clock()).limit():
        progress.advance(3)
    assert seen == [3]


def test_without_an_end_nothing_is_limited():
    forever = TimeShare(None, lambda: 1 / 0)
    with forever.of(3).limit():
        progress.advance(1)


def test_a_budget_that_no_time_is_after_is_refused():
    clock = Clock()
    clock.now = 3.0
    assert TimeShare.starting(4.0, clock).end == 7.0
    assert TimeShare.starting(None, clock).end is None
    with pytest.raises(ParameterError, match="must be a number of seconds"):
        TimeShare.starting(float("nan"), clock)
