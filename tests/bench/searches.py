"""What a step of a search for a picture costs, over a run of its own gradient graph."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.tasks import MODELS
from tests.bench.turns import Step, runner, turns
from xaionnx import Model
from xaionnx.optimization import Search
from xaionnx.optimization.objective import Objective
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.parametrisation import PARAMETRISATIONS
from xaionnx.optimization.scene import Scene
from xaionnx.optimization.search_state import SearchState

# Steps that are timed as one, so that no view is timed alone.
STEPS: Final = 8
# The required ratio.
LIMIT: Final = 1.15
NET: Final = MODELS / "efficientnet_lite0.onnx"
# What is searched for, with how many pictures at once.
SEARCHES: Final[dict[str, tuple[Objective, int]]] = {
    "a class": (ClassScore(label=967), 1),
    "a channel of the last block": (Channel(layer="/_blocks.15/_project_conv/Conv_output_0", channel=32), 1),
    "a channel of block 10 of 16": (Channel(layer="/_blocks.10/Add_output_0", channel=11), 1),
    "a class, 4 pictures": (ClassScore(label=967), 4),
}


def rows(only: str, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each search, on one thread, in turns with the bare session of its gradient graph."""
    for said, (objective, count) in SEARCHES.items():
        name = f"step of a search, {said}, EfficientNet-Lite0"
        if only not in name:
            continue
        model = Model.load(NET, device="cpu", threads=1)
        scene = Scene.of(model, objective, count, PARAMETRISATIONS.configured("fourier", {}))
        with tempfile.TemporaryDirectory() as scratch:
            graph = _graph(scene, Path(scratch) / "gradient.onnx")
            times = turns({"graph": graph, "steps": steps(Search(count=count), scene, objective)}, rounds)
        yield {
            "kind": "search",
            "name": name,
            "target": LIMIT,
            "rounds": [round(b / a, 3) for a, b in zip(times["graph"], times["steps"], strict=True)],
            "graph_s": round(statistics.median(times["graph"]) / STEPS, 5),
        }


def _graph(scene: Scene, path: Path) -> Step:
    """Runs of the bare session of a gradient graph, as many as there are steps."""
    slope = scene.slope
    assert slope.model.graph is not None
    path.write_bytes(slope.model.graph.SerializeToString())
    shape = (scene.canvas.count, *slope.model.input(scene.name).shape[1:])
    feeds = {
        scene.name: np.random.default_rng(0).standard_normal(shape, dtype=np.float32),
        slope.cotangent: scene.weights,
    }
    run = runner(path, [slope.out, slope.names[scene.name]], feeds)
    return lambda: [run() for _ in range(STEPS)]


def steps(search: Search, scene: Scene, objective: Objective) -> Step:
    """Some steps of a search that goes on and on, with the compiled loops at hand."""
    state = SearchState(search._start(scene, objective, np.random.default_rng(0), None))
    done = 0

    def more() -> None:
        nonlocal state, done
        # A trace of thousands of steps is no part of a search.
        state = SearchState(state.parameters, state.optimiser, state.trace[-1:], state.scale)
        for _ in range(STEPS):
            state = search._stepped(scene, objective, state, done)
            done += 1

    for _ in range(STEPS):
        more()
    return more
