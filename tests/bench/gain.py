"""The speed-up of occlusion if only the part that a window changed is recomputed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import xaionnx
from xaionnx import Model

# Pixels of the picture, the window and its stride; the required gain.
SIZES = ((224, 16, 1.2), (512, 32, 1.8))


def rows(path: Path, only: str, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each size: the time of plain occlusion over that of incremental; the two take turns."""
    proto = onnx.load(path)
    for dim, name in zip(proto.graph.input[0].type.tensor_type.shape.dim[2:], "HW", strict=True):
        dim.dim_param = name
    with tempfile.TemporaryDirectory() as folder:
        free = Path(folder) / path.name
        onnx.save(proto, free)
        model = Model.load(free, device="cpu")
    for size, window, target in SIZES:
        name = f"incremental occlusion at {size}, window {window} stride {window}, ResNet18"
        if only not in name:
            continue
        x = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
        walls, cpus = [], []
        for turn in range(rounds + 1):
            plain, plain_cpu, whole = _timed(model, x, window, False)
            wall, cpu, parts = _timed(model, x, window, True)
            np.testing.assert_allclose(parts.values, whole.values, atol=1e-4 * np.abs(whole.values).max())
            if turn > 0:  # the first run tunes the batch size
                walls.append(round(plain / wall, 3))
                cpus.append(round(plain_cpu / cpu, 3))
        yield {"kind": "gain", "name": name, "target": target, "rounds": walls, "cpu": cpus}


def _timed(model: Model, x: Any, window: int, incremental: bool) -> tuple[float, float, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    found = xaionnx.explain(model, x, "occlusion", 3, window=window, stride=window, incremental=incremental)
    return time.perf_counter() - began, time.process_time() - cpu, found
