"""A command that is killed or interrupted anywhere has lost nothing that was finished."""

from __future__ import annotations

import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.runner import Runner
from tests.faults.case import PLACES, Trial, check_message, check_rerun, reported

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such signals")

_KILLS = 200
_SAMPLE = 6
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What a run of six pictures does of each kind, about, and its time on an idle machine.
_CALLS = {
    "folder": {"read": 15, "run": 20, "write": 120, "sync": 12, "rename": 12},
    "file": {"read": 15, "run": 20, "write": 60, "sync": 4, "rename": 4},
    "document": {"read": 15, "run": 20},
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
    rng = random.Random(0)
    found = []
    for count in range(_KILLS):
        place, number = PLACES[count % len(PLACES)], _SIGNALS[count // len(PLACES) % len(_SIGNALS)]
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


def check(kill: Kill, runner: Runner, folder: Path, reference: dict[str, Any]) -> bool:
    """Kill a command and start it again; return whether it was still running."""
    trial = Trial(runner, folder, kill.place, kill.json)
    first = trial.run(kill.where)
    check_message(first)
    # A timer may be too late.
    if first.fired:
        assert first.code in {0, -kill.number, 128 + kill.number}, first.err
    if kill.number != signal.SIGKILL and first.code != -kill.number:
        assert reported(first) <= {str(n) for n in range(6)}
    check_rerun(trial, first, reference)
    return first.fired


@pytest.mark.parametrize("kill", random.Random(1).sample(KILLS, _SAMPLE), ids=str)
def test_a_kill_loses_nothing_that_is_finished(kill, runner, tmp_path, reference):
    check(kill, runner, tmp_path, reference)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(_KILLS), ids=lambda number: f"{number}-{KILLS[number]}")
def test_no_kill_loses_anything_that_is_finished(number, runner, tmp_path, reference):
    check(KILLS[number], runner, tmp_path, reference)
