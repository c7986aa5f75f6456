"""Time steps in turns, so that other work on the machine affects all of them equally."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort

from xaionnx.typing import Array

Step = Callable[[], object]
Clock = Callable[[], float]

# Minimum seconds of a turn.
TURN_S = 0.2


def runner(path: Path, fetch: list[str] | None, feeds: dict[str, Array]) -> Step:
    """A function that runs the bare session on one thread; it fetches all outputs unless one is named."""
    bare = session(path)
    return lambda: bare.run(fetch, feeds)


def session(path: Path) -> ort.InferenceSession:
    """The bare session on one thread."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def turns(
    steps: dict[str, Step], rounds: int, clock: Clock = time.process_time, between: Step = lambda: None
) -> dict[str, list[float]]:
    """Seconds of a run in each round; the first run, which plans memory, does not count.

    The clock is that of the processor unless another is given. What is done ``between`` the turns is not timed.
    """
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    repeats = {kind: max(1, math.ceil(TURN_S / _seconds(step, 2, clock))) for kind, step in steps.items()}
    for _ in range(rounds + 1):
        for kind, step in steps.items():
            between()
            times[kind].append(_seconds(step, repeats[kind], clock))
    return {kind: taken[1:] for kind, taken in times.items()}


def _seconds(step: Step, repeats: int, clock: Clock) -> float:
    began = clock()
    for _ in range(repeats):
        step()
    return (clock() - began) / repeats
