"""Pixel flipping and max-sensitivity against Quantus, on the same trained model, explanations and number of steps.

Run with: python -m tests.bench.scores [--keep], in an environment with torch 2.13.0 and quantus 0.6.0; --keep puts the
rows into results.json. Both run on one thread, in turns, and processor time counts. The curves of pixel flipping are
compared first: Quantus leaves out the start.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from typing import Any

import numpy as np
import onnx
import quantus
import torch
from onnx import numpy_helper
from torch import nn

import xaionnx
from tests.bench import table, turns
from tests.bench.tasks import MODELS
from xaionnx import Model
from xaionnx.typing import Array

DIGITS, STEPS, DRAWS, ROUNDS = 16, 28, 10, 5
# The engine compiles its kernel for filled inputs when a file has had some ten thousand evaluations.
WARM = 25


def network() -> nn.Module:
    """The network of models/scripts/mnist_cnn.py with the weights of its file."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    graph = onnx.load(MODELS / "mnist_cnn.onnx").graph
    weights = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    net.load_state_dict(weights, strict=False)
    return net.eval()


def slopes(model: nn.Module, inputs: Array, targets: Array, **_: Any) -> Array:
    """The slope of the score of each target."""
    x = torch.tensor(inputs, dtype=torch.float32, requires_grad=True)
    model(x).gather(1, torch.tensor(targets)[:, None]).sum().backward()
    assert x.grad is not None
    return np.abs(x.grad.numpy())


def rows() -> list[dict[str, Any]]:
    """Ours over Quantus."""
    torch.set_num_threads(1)
    model, net = Model.load(MODELS / "mnist_cnn.onnx", "cpu"), network()
    with np.load(MODELS / "data" / "mnist_sample.npz") as file:
        x, y = file["images"][:DIGITS].astype(np.float32) / 255, file["labels"][:DIGITS]
    maps = xaionnx.explain(model, x, "saliency", y)
    flipping = quantus.PixelFlipping(
        features_in_step=784 // STEPS, perturb_baseline="black", abs=False, normalise=False, disable_warnings=True
    )
    sensitivity = quantus.MaxSensitivity(nr_samples=DRAWS, lower_bound=0.02, disable_warnings=True)

    def theirs_flipping() -> Array:
        values = np.asarray(maps.values)
        return np.array(flipping(model=net, x_batch=x, y_batch=y, a_batch=values, channel_first=True, softmax=False))

    def ours_flipping() -> Array:
        scores = xaionnx.evaluate(model, x, maps, "pixel_flipping", y, steps=STEPS, baseline=0, controls=())
        return scores.curves["target"]

    def theirs_sensitivity() -> object:
        return sensitivity(
            model=net, x_batch=x, y_batch=y, a_batch=None, channel_first=True, softmax=False, explain_func=slopes
        )

    def ours_sensitivity() -> object:
        return xaionnx.evaluate(model, x, "saliency", "max_sensitivity", y, draws=DRAWS, controls=())

    for _ in range(WARM):
        ours_flipping()
    np.testing.assert_allclose(ours_flipping()[:, 1:], theirs_flipping(), rtol=1e-3, atol=1e-3)
    found = []
    for name, ours, theirs in (
        (f"pixel_flipping in {STEPS} steps", ours_flipping, theirs_flipping),
        (f"max_sensitivity of {DRAWS} neighbours of saliency", ours_sensitivity, theirs_sensitivity),
    ):
        times = turns.turns({"ours": ours, "theirs": theirs}, ROUNDS)
        ratios = [a / b for a, b in zip(times["ours"], times["theirs"], strict=True)]
        found.append(
            {
                "kind": "over",
                "name": f"{name}, {DIGITS} digits, MNIST CNN, over Quantus {quantus.__version__}",
                "target": 1.0,
                "rounds": [round(ratio, 4) for ratio in ratios],
                "seconds": round(statistics.median(times["ours"]), 4),
                "clock": "processor",
            }
        )
        assert all(math.isfinite(ratio) for ratio in ratios)
    return found


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description="Metrics against Quantus.")
    parser.add_argument("--keep", action="store_true", help="put the rows into results.json")
    keep, measured = parser.parse_args().keep, rows()
    for row in measured:
        print(row)
    if keep:
        table.RESULTS.write_text(json.dumps(table.replaced({"rows": measured, "left_out": []}), indent=1) + "\n")


if __name__ == "__main__":
    main()
