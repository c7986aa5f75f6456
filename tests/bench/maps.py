"""Evaluations until a RISE map is as accurate as the published estimator's (a plain sum)."""

from __future__ import annotations

import math

import numpy as np
from xaionnx_kernels import masks

import xaionnx
from tests.bench.tasks import MODELS
from xaionnx import Model
from xaionnx.typing import Array

PLAIN = 4000
REFERENCE = 60_000


def error_of(found: Array, wanted: Array) -> float:
    """The noise of a map, sqrt(1 - r^2), independent of its offset and scale."""
    return math.sqrt(max(0.0, 1 - np.corrcoef(found.ravel(), wanted.ravel())[0, 1] ** 2))


def map_of(model: Model, x: Array, estimator: str, count: int, seed: int) -> Array:
    """A map (H, W) from ``count`` masks."""
    found = xaionnx.explain(model, x, "rise", estimator=estimator, budget=count + 1, seed=seed)
    return np.asarray(found.values)[0, 0]


def evaluations_to_equal_error(seeds: int) -> list[tuple[float, float]]:
    """For some digits, the error of the plain sum over 4,000 masks, and the masks that the default needs for it."""
    model = Model.load(MODELS / "mnist_cnn.onnx")
    with np.load(MODELS / "data" / "mnist_sample.npz") as file:
        digits = file["images"].astype(np.float32) / 255
    cells, shifts = masks.rise_cells(9, 0, 5000, (7, 7), 0.5), masks.rise_shifts(9, 0, 5000, (4, 4))
    # The published sum is the default's map times the variance of a mask, which is constant except at the border.
    variance = masks.rise_masks(cells, shifts, (4, 4), (28, 28)).var(axis=0)

    def error(estimator: str, count: int, wanted: Array) -> float:
        found = [map_of(model, x, estimator, count, seed) for seed in range(seeds)]
        return float(np.mean([error_of(one, wanted) for one in found]))

    needed = []
    for number in range(3):
        x = digits[number : number + 1]
        wanted = map_of(model, x, "least_squares", REFERENCE, 1000)
        equal = error("plain", PLAIN, wanted * variance)
        count, before, now = 125, math.inf, error("least_squares", 125, wanted)
        while now > equal:
            count *= 2
            before, now = now, error("least_squares", count, wanted)
        # Log-linear interpolation between the last two.
        share = 1.0 if math.isinf(before) else math.log(before / equal) / math.log(before / now)
        needed.append((equal, count / 2 * 2**share))
    return needed
