"""A command that is killed or interrupted anywhere has lost nothing that was finished."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.case import TABLE, Trial, check_message, check_rerun, reported
from tests.faults.comparison import ComparisonTrial

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such signals")

_KILLS = 300
_SAMPLE = 6
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What a run does of each kind, about, and its time on an idle machine.
_CALLS = {
    "folder": {"read": 15, "run": 20, "write": 120, "sync": 12, "rename": 12},
    "file": {"read": 15, "run": 20, "write": 60, "sync": 4, "rename": 4},
    "document": {"read": 15, "run": 20},
    TABLE: {"read": 15, "run": 60, "write": 60, "sync": 8, "rename": 8},
    "compare": {"read": 12, "run": 30, "write": 4, "sync": 1, "rename": 1},
}
_SECONDS = 0.4


@dataclass(frozen=True)
class Kill:
    place: str
    number: int
    json: bool
    where: dict[str, Any]

    def __str__(self) -> str:
        at = f"{self.where['after_s']:.2f}s" if "after_s" in self.where else f"{self.where['kind']}-{self.where['n']}"
        return f"{self.place}-{signal.Signals(self.number).name}-{at}"


def _kills() -> list[Kill]:
    rng, places = random.Random(0), [*_CALLS]
    found = []
    for count in range(_KILLS):
        place, number = places[count % len(places)], _SIGNALS[count // len(places) % len(_SIGNALS)]
        calls = _CALLS[place]
        kind = rng.choice(["time", *calls])
        at = (
            {"after_s": rng.uniform(0, _SECONDS)}
            if kind == "time"
            else {"kind": kind, "n": rng.randint(1, calls[kind])}
        )
        found.append(Kill(place, int(number), rng.random() < 0.5, {**at, "signal": int(number)}))
    return found


KILLS = _kills()


@pytest.fixture
def check(runner, tmp_path, request) -> Callable[[Kill], None]:
    """Kill a command and start it again."""

    def check(kill: Kill) -> None:
        compares = kill.place == "compare"
        trial = ComparisonTrial(runner, tmp_path) if compares else Trial(runner, tmp_path, kill.place, kill.json)
        first = trial.run(kill.where)
        check_message(first)
        # A timer may be too late.
        if first.fired:
            assert first.code in {0, -kill.number, 128 + kill.number}, first.err
        if isinstance(trial, ComparisonTrial):
            trial.check_rest(first, request.getfixturevalue("comparison"))
            return
        if kill.number != signal.SIGKILL and first.code != -kill.number:
            assert reported(first) <= {str(n) for n in range(trial.count)}
        check_rerun(trial, first, request.getfixturevalue("rows_reference" if kill.place == TABLE else "reference"))

    return check


@pytest.mark.parametrize("kill", random.Random(1).sample(KILLS, _SAMPLE), ids=str)
def test_a_kill_loses_nothing_that_is_finished(kill, check):
    check(kill)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(_KILLS), ids=lambda number: f"{number}-{KILLS[number]}")
def test_no_kill_loses_anything_that_is_finished(number, check):
    check(KILLS[number])
