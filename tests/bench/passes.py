"""What a pass over a data set costs: reading, explaining and writing, over its own graph on tensors in memory."""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

import xaionnx
from tests.bench.turns import Step, session, turns
from xaionnx import Dataset, Model
from xaionnx.typing import Array

PHOTOS: Final = 200
DIGITS: Final = 1000
# The best batch of the bare sessions on one core.
_BATCH: Final = 4


def photos(folder: Path) -> Path:
    """Write crops of the photographs of the repository, 320 pixels wide, as JPEG."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(Path("models/photos").glob("*.*"))]
    draw = np.random.default_rng(0)
    for number in range(PHOTOS):
        picture = pictures[number % len(pictures)]
        side = min(*picture.size, 320)
        left, upper = (int(draw.integers(0, size - side + 1)) for size in picture.size)
        picture.crop((left, upper, left + side, upper + side)).save(folder / f"{number:03}.jpg", quality=90)
    return folder


def _tensors(model: Model, data: Dataset) -> Array:
    blocks = [block for block in data.batches(model) if block.inputs is not None]
    return np.concatenate([block.inputs.arrays[model.input().name] for block in blocks if block.inputs is not None])


def measured(rounds: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each method: wall and processor time over those of its own graph, and the time of reading alone.

    Only those whose name contains ``only``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        photographs = "models/efficientnet_lite0.onnx", photos(folder / "photos")
        np.save(folder / "digits.npy", np.random.default_rng(0).random((DIGITS, 1, 28, 28)).astype(np.float32))
        digits = "models/mnist_cnn.onnx", folder / "digits.npy"
        rows = {
            f"pass: grad_cam, {PHOTOS} photos, EfficientNet-Lite0": ("grad_cam", *photographs),
            f"pass: saliency, {PHOTOS} photos, EfficientNet-Lite0": ("saliency", *photographs),
            f"pass: occlusion, {DIGITS:,} digits, MNIST CNN": ("occlusion", *digits),
        }
        for row, (method, model, data) in rows.items():
            if only in row:
                yield _row(row, Model.load(model, threads=1), Dataset.of(data), method, folder, rounds)


def _row(name: str, model: Model, data: Dataset, method: str, folder: Path, rounds: int) -> dict[str, Any]:
    x, path = _tensors(model, data), folder / "graph.onnx"
    if method == "occlusion":
        evaluations = sum(xaionnx.explain(model, x[:1], method).diagnostics["evaluations"])
        bare, samples = session(model.path), np.repeat(x, evaluations, axis=0)
        batch = 16
    else:
        xaionnx.compile(model, method).save(path)
        bare, samples, batch = session(path), x, _BATCH
    feed = bare.get_inputs()[0].name

    def graph() -> None:
        for start in range(0, len(samples), batch):
            bare.run(None, {feed: samples[start : start + batch]})

    numbers = itertools.count()

    def whole() -> None:
        xaionnx.explain_all(model, data, method, to=folder / "runs" / f"{next(numbers)}")

    def remove() -> None:
        shutil.rmtree(folder / "runs", ignore_errors=True)

    steps: dict[str, Step] = {"graph": graph, "pass": whole, "reading": lambda: _tensors(model, data)}
    wall, cpu = turns(steps, rounds, time.perf_counter, remove), turns(steps, rounds, between=remove)
    remove()
    each = {kind: statistics.median(seconds) / len(x) for kind, seconds in wall.items()}
    return {
        "kind": "pass",
        "name": name,
        "ratio": [round(a / b, 3) for a, b in zip(wall["pass"], wall["graph"], strict=True)],
        "cpu": [round(a / b, 3) for a, b in zip(cpu["pass"], cpu["graph"], strict=True)],
        "target": None if method == "occlusion" else 1.15,
        "graph_ms": round(1000 * each["graph"], 3),
        "reading_ms": round(1000 * each["reading"], 3),
        "a_second": round(1 / each["pass"], 1),
    }
