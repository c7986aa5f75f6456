"""The n-th write, rename, read, run or allocation of a command fails, for every n until none does."""

from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.case import COUNT, PLACES, Outcome, Trial, check_message, check_rerun, messages

# The codes that are right for a fault of a kind; 0 where it costs nothing, as a part of a file does.
_CODES: Final = {
    "write": {0, 4, 6},
    "sync": {0, 4, 6},
    "rename": {0, 4, 6},
    "read": {2, 3, 4},
    "open": {3, 4, 6},
    "run": {0, 3, 4, 6},
    "allocation": {0, 2, 3, 4, 6},
}
_FAULTS: Final = [
    (kind, number)
    for kind in _CODES
    for number in ((errno.ENOSPC, errno.EIO) if kind in ("write", "sync", "rename") else (errno.EIO,))
]
# More calls of a kind than a command makes. Of about a thousand allocations each is tried in one place, and every
# seventh in the others.
_MOST: Final = 100_000
_STEP: Final = {"allocation": 7}


def check(trial: Trial, fault: dict[str, Any], reference: dict[str, Any]) -> bool:
    """Run a command with a fault and once more without; return whether the fault happened."""
    first = trial.run(fault)
    check_message(first)
    if not first.fired:
        assert first.code == 0, first.err
        return False
    assert first.code in _CODES[fault["kind"]], (first.code, first.err)
    assert bool(messages(first)) == (first.code != 0), first.err
    _check_document(first)
    check_rerun(trial, first, reference)
    return True


def _check_document(first: Outcome) -> None:
    """A complete document lists each input as done or as refused."""
    document = first.document
    if document is not None and document["complete"]:
        names = [Path(one["input"]).stem for key in ("results", "refused") for one in document[key]]
        assert sorted(names) == [str(n) for n in range(COUNT)]


@pytest.mark.parametrize(("kind", "number"), _FAULTS)
def test_a_fault_costs_at_most_what_it_hits(kind, number, runner, tmp_path, reference):
    rng = random.Random(f"{kind} {number}")
    fault = {"kind": kind, "n": rng.randint(1, 12), "errno": number}
    check(Trial(runner, tmp_path / "one", rng.choice(PLACES[:2]), rng.random() < 0.5), fault, reference)


@pytest.mark.slow
@pytest.mark.parametrize("json_too", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("kind", "number"), _FAULTS)
def test_no_fault_costs_more_than_it_hits(kind, number, place, json_too, runner, tmp_path, reference):
    if place == "document" and not json_too:
        pytest.skip("nothing would be kept")
    step = 1 if (place, json_too) == ("folder", True) else _STEP.get(kind, 1)
    for n in range(1, _MOST, step):
        fault = {"kind": kind, "n": n, "errno": number}
        if not check(Trial(runner, tmp_path / str(n), place, json_too), fault, reference):
            break
