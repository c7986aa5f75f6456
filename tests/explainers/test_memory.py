"""What methods hold beside their results does not grow with targets, baselines, copies or samples."""

import tracemalloc

import numpy as np
import pytest

from models import planted
from xaionnx import Baseline, discovery, parameters
from xaionnx.explainers import smooth_grad
from xaionnx.gradients import graph
from xaionnx.runtime import batcher

SIDE = 48
ROWS = np.random.default_rng(2).uniform(size=(60, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    monkeypatch.setattr(graph, "RUN_BYTES", 2**20)
    monkeypatch.setattr(batcher, "_BATCH_BYTES", 2**20)
    monkeypatch.setattr(smooth_grad, "_PIECE", 2**19)


def peak(method, targets=1, samples=1, shape=(3, SIDE, SIDE), **options):
    """Bytes of arrays at once while a method explains a linear model, after a first explanation."""
    rng = np.random.default_rng(0)
    model = planted.load(planted.linear(rng.normal(size=(max(2, targets), *shape))), batch_size=4)
    x = rng.uniform(size=(samples, *shape)).astype(np.float32)
    made = discovery.method(method)(**options)
    asked = list(range(targets)) if targets > 1 else 0
    made.attribute(model, x[:1], asked)
    tracemalloc.start()
    made.attribute(model, x, asked)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.sampled(percent=25)
# A record holds float32 values and, of a mean of draws, float64 errors: 1 and 3 times the values. Sums are in float64.
@pytest.mark.parametrize(
    ("method", "options", "most"),
    [
        ("saliency", {}, 2.5),
        ("deep_lift", {}, 4),
        ("deep_lift", {"baseline": Baseline.background(ROWS)}, 4),
        ("integrated_gradients", {"steps": 4}, 5),
        ("expected_gradients", {"draws": 4}, 7),
        ("smooth_grad", {"draws": 4}, 10),
        ("smooth_grad", {"draws": 4, "statistic": "squared"}, 8),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_many_targets(method, options, most):
    few, many = (peak(method, targets, **options) for targets in (160, 240))
    assert many - few < most * 80 * 3 * SIDE**2 * 4


@pytest.mark.parametrize("method", ["deep_lift", "integrated_gradients", "expected_gradients"])
def test_many_samples_with_rows_of_data(method):
    options = {"steps": 2, "draws": 4}
    known = parameters.declared(discovery.method(method))
    options = {key: value for key, value in options.items() if key in known}
    few, many = (peak(method, samples=samples, baseline=Baseline.background(ROWS), **options) for samples in (4, 12))
    assert many - few < 0.1 * 8 * ROWS.nbytes


@pytest.mark.parametrize("inner", ["saliency", "input_x_gradient"])
def test_many_copies(inner):
    few, many = (peak("smooth_grad", targets=3, inner=inner, draws=draws) for draws in (100, 300))
    assert many - few < 0.1 * few


def test_regions_of_a_large_picture():
    few, many = (peak("xrai", targets, shape=(1, 600, 600), inner="saliency") for targets in (2, 4))
    assert many - few < 4 * 2 * 600**2 * 4
