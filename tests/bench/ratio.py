"""The wall time of an explanation over its limit: what the bare session needs for the same number of evaluations.

Other work on the machine changes its speed within seconds, so the two are interleaved batch by batch: whenever the
engine reports finished evaluations, the clock of the explanation stops and the bare session runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from xaionnx import Explanation
from xaionnx.runtime import progress
from xaionnx.typing import Array

SIZES = (1, 4, 8, 16, 32)
# If an evaluation takes microseconds, larger batches than 32 are still faster.
TABLE_SIZES = (*SIZES, 128, 512, 1024, 2048, 4096)


class Bare:
    """A bare session with the settings of the engine and the inputs of the task.

    Parameters
    ----------
    source : Path or bytes
        The file, or the graph that the engine runs instead: without a ZipMap, which would make the limit too easy.
    inputs : array (n, ...)
        Changed inputs as the method asks them; repeated where a batch is larger.
    output : str
        The one output that is fetched.
    sizes : tuple of int
        Batches among which the best is chosen.
    """

    def __init__(self, source: Path | bytes, inputs: Array, output: str, sizes: tuple[int, ...] = SIZES) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            source if isinstance(source, bytes) else str(source), options, providers=["CPUExecutionProvider"]
        )
        self._name = self._session.get_inputs()[0].name
        self._output = [output]
        self._batches = {size: np.ascontiguousarray(np.resize(inputs, (size, *inputs.shape[1:]))) for size in sizes}
        self.best = sizes[:1]

    def seconds(self, size: int) -> float:
        """Seconds of one run of ``size`` evaluations."""
        batch = self._batches[size]
        began = time.perf_counter()
        self._session.run(self._output, {self._name: batch})
        return time.perf_counter() - began

    def tune(self, passes: int = 7) -> None:
        """Choose the three batch sizes with the least time per evaluation; all sizes alternate."""
        for size in self._batches:
            self.seconds(size)  # the first run plans memory
        times: dict[int, list[float]] = {size: [] for size in self._batches}
        for _ in range(passes):
            for size in self._batches:
                repeats = max(1, 32 // size)
                took = sum(self.seconds(size) for _ in range(repeats)) / (repeats * size)
                times[size].append(took)
        self.best = tuple(sorted(times, key=lambda size: statistics.median(times[size]))[:3])


class Turns:
    """A progress listener that runs the bare session after each batch of the engine."""

    def __init__(self, bare: Bare, share: float) -> None:
        self._bare, self._share = bare, share
        self._engine_evaluations = self._bare_evaluations = 0
        self._spent = {size: [0.0, 0.0, 0] for size in bare.best}  # wall time, CPU time, runs
        self.away = self.away_cpu = 0.0

    def expect(self, evaluations: int) -> None:
        """Do nothing."""

    def advance(self, evaluations: int) -> None:
        """Run the bare session until it has done its share of the evaluations; its best batch sizes alternate."""
        began, cpu = time.perf_counter(), time.process_time()
        self._engine_evaluations += evaluations
        while self._bare_evaluations < self._share * self._engine_evaluations:
            for size, spent in self._spent.items():
                before = time.process_time()
                spent[0] += self._bare.seconds(size)
                spent[1] += time.process_time() - before
                spent[2] += 1
                self._bare_evaluations += size
        self.away += time.perf_counter() - began
        self.away_cpu += time.process_time() - cpu

    def phase(self, words: str) -> None:
        """Do nothing."""

    def limits(self) -> tuple[int, float, float]:
        """The best batch size, and its wall and CPU time per evaluation."""
        size, spent = min(self._spent.items(), key=lambda item: item[1][0] / (item[0] * item[1][2]))
        return size, spent[0] / (size * spent[2]), spent[1] / (size * spent[2])


@dataclass(frozen=True)
class Measured:
    """What a row of the table is made of.

    Attributes
    ----------
    rounds : tuple of float
        Wall over limit of each round, the model being open and its batch size known.
    cpu : tuple of float
        The same in seconds of all processors, which other work on the machine hardly changes.
    first : float
        Wall over limit for the first explanation of an opened model, which tunes the batch size.
    evaluations : int
        Of one explanation.
    batch : int
        The best of the bare session.
    limit_s : float
        Median over the rounds.
    """

    rounds: tuple[float, ...]
    cpu: tuple[float, ...]
    first: float
    evaluations: int
    batch: int
    limit_s: float

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)


def measure(explain: Callable[[], Explanation], bare: Bare, rounds: int, share: float = 0.5) -> Measured:
    """Explain once to tune, then ``rounds`` times; the bare session does ``share`` as many evaluations meanwhile."""
    bare.tune()
    walls, cpus, limits, sizes, evaluations = [], [], [], [], 0
    for _ in range(rounds + 1):
        turns = Turns(bare, share)
        with progress.listening(turns):
            began, cpu = time.perf_counter(), time.process_time()
            found = explain()
            wall = time.perf_counter() - began - turns.away
            busy = time.process_time() - cpu - turns.away_cpu
        evaluations = sum(found.diagnostics["evaluations"])
        size, alone, alone_cpu = turns.limits()
        walls.append(wall / (evaluations * alone))
        cpus.append(busy / (evaluations * alone_cpu))
        limits.append(evaluations * alone)
        sizes.append(size)
    batch, limit_s = statistics.mode(sizes[1:]), statistics.median(limits[1:])
    return Measured(tuple(walls[1:]), tuple(cpus[1:]), walls[0], evaluations, batch, limit_s)
