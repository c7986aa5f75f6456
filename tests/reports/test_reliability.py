"""What people met whose work was lost, did not end or did not fit, or whose errors were wrong: each on a small model.

The log is reliability.toml.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import rows_run
from tests.tiny import loaded
from xaionnx import Baseline, Model
from xaionnx.errors import XaionnxError
from xaionnx.explainers import smooth_grad
from xaionnx.explainers._gradients import layer_paths
from xaionnx.gradients import graph
from xaionnx.runtime import batcher, joining


def peak(model: Model, x: Any, method: str, **settings: Any) -> int:
    """Bytes of arrays at once, after a first explanation."""
    xaionnx.explain(model, x[:1], method, 0, **settings)
    tracemalloc.start()
    xaionnx.explain(model, x, method, 0, **settings)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


# memory ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_runs(monkeypatch):
    monkeypatch.setattr(graph, "RUN_BYTES", 2**20)
    monkeypatch.setattr(batcher, "_BATCH_BYTES", 2**20)
    monkeypatch.setattr(smooth_grad, "_PIECE", 2**17)
    monkeypatch.setattr(layer_paths, "_PIECE", 2**19)


@pytest.mark.usefixtures("small_runs")
@pytest.mark.parametrize("method", ["expected_gradients", "smooth_grad"])
def test_more_draws_take_no_more_memory(method):
    model = planted.load(planted.linear(np.ones((2, 4_000))), batch_size=4)
    x = np.ones((1, 4_000), np.float32)
    few, many = (peak(model, x, method, draws=draws) for draws in (160, 640))
    # The further draws are 8 MB.
    assert many < few + (1 << 20)


@pytest.mark.usefixtures("small_runs")
def test_more_steps_through_a_layer_take_no_more_memory():
    rng = np.random.default_rng(0)
    model = loaded(
        "g (float[N, 3] x) => (float[N, 2] y) { h = MatMul(x, w)  r = Relu(h)  y = MatMul(r, v) }",
        w=rng.normal(size=(3, 20_000)),
        v=rng.normal(size=(20_000, 2)),
    )
    x = np.ones((1, 3), np.float32)
    few, many = (peak(model, x, "conductance", layer="r", steps=steps) for steps in (40, 320))
    # All steps at once would be 22 MB more.
    assert many < few + (6 << 20)


def test_coalitions_never_run_in_more_than_one_batch_at_once(monkeypatch):
    model = planted.load(planted.linear(np.ones((1, 12))), batch_size=8)
    counted = rows_run(monkeypatch)
    xaionnx.explain(model, np.ones((1, 12), np.float32), "lime", 0, budget=500)
    assert max(counted) == 8


def test_background_rows_are_not_multiplied_by_coalitions():
    model = planted.load(planted.linear(np.ones((1, 60))), batch_size=64)
    x = np.ones((1, 60), np.float32)
    rows = np.random.default_rng(0).normal(size=(400, 60)).astype(np.float32)
    most = peak(model, x, "kernel_shap", baseline=Baseline.background(rows), budget=400 * 400)
    # 400 coalitions of 400 rows are 38 MB of float32.
    assert most < 12 << 20


# numbers -----------------------------------------------------------------------------------------------------------


def test_deep_lift_of_the_square_of_a_difference_is_finite_and_complete():
    """The error of an autoencoder: (x - m(x))^2, which a product of a tensor with itself computes."""
    rng = np.random.default_rng(0)
    model = loaded(
        """g (float[N, 6] x) => (float[N, 1] y) {
            h = MatMul(x, w)  r = Relu(h)  m = MatMul(r, v)  d = Sub(x, m)  s = Mul(d, d)  y = MatMul(s, o) }""",
        w=rng.normal(size=(6, 3)), v=rng.normal(size=(3, 6)), o=np.ones((6, 1)),
    )  # fmt: skip
    # One row is the baseline itself, where all differences are 0.
    x = np.concatenate([np.zeros((1, 6)), rng.normal(size=(2, 6))]).astype(np.float32)
    found = xaionnx.explain(model, x, "deep_lift", 0)
    assert np.isfinite(found.values).all()
    np.testing.assert_allclose(found.values.sum(axis=1), found.prediction - found.baseline_prediction, rtol=1e-4)
    assert not found.values[0].any()


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_gradients_behind_a_causal_mask_are_finite(method):
    """Scores are masked by the smallest float, as exporters write it, and one row sees nothing but itself."""
    rng = np.random.default_rng(1)
    mask = np.triu(np.full((4, 4), np.finfo(np.float32).min), 1)
    model = loaded(
        """g (float[N, 4, 5] x) => (float[N, 4, 5] y) {
            k = Transpose <perm = [0, 2, 1]> (x)  s = MatMul(x, k)  m = Add(s, mask)  a = Softmax(m)
            y = MatMul(a, x) }""",
        mask=mask,
    )
    x = rng.normal(size=(1, 4, 5)).astype(np.float32)
    found = xaionnx.explain(model, x, method, xaionnx.Target.index((0, 0)))
    assert np.isfinite(found.values).all()
    # The first token sees no other.
    assert not found.values[0, 1:].any()


def test_what_is_not_finite_is_refused_and_named():
    model = loaded("g (float[N, 3] x) => (float[N, 1] y) { l = Log(x)  y = MatMul(l, w) }", w=np.ones((3, 1)))
    with pytest.raises(XaionnxError, match="NaN or infinity"):
        xaionnx.explain(model, np.float32([[1, 2, 3]]), "feature_ablation", 0)


# files -------------------------------------------------------------------------------------------------------------


def test_weights_that_are_written_again_do_not_grow(tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "_APART", 1000)
    parts = ("models/mnist_vae_decoder.onnx", "models/mnist_cnn.onnx")
    sizes = []
    for _ in range(3):
        Model.join(*parts, path=tmp_path / "both.onnx", device="cpu")
        sizes.append({path.name: path.stat().st_size for path in tmp_path.iterdir()})
    assert sizes[0] == sizes[1] == sizes[2]
    assert set(sizes[0]) == {"both.onnx", "both.onnx.data", "both.toml"}


def test_a_place_for_compiled_kernels_that_cannot_be_written():
    code = """
import numpy as np, xaionnx
x = np.ones((1, 1, 8, 8), np.float32)
xaionnx.explain("models/digits_cnn.onnx", x, "rise", 0)
xaionnx.explain("models/digits_cnn.onnx", x, "shapley_sampling", 0, features="grid:2")
"""
    env = {**os.environ, "NUMBA_CACHE_DIR": "/proc/none", "HOME": "/proc/none"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
