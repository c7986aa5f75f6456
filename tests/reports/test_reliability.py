"""What people met whose work was lost, did not end or did not fit, or whose errors were wrong: each on a small model.

The log is reliability.toml.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import xaionnx
from models import planted
from tests.counting import rows_run
from tests.tiny import loaded, normal
from xaionnx import Baseline, Model
from xaionnx.errors import BudgetError, ModelError, XaionnxError
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


# trees and tables --------------------------------------------------------------------------------------------------


def forest(trees: int, features: int, depth: int) -> Model:
    """A sum of trees that go on to one side alone, with a leaf at each level."""
    rng, count = np.random.default_rng(0), 2 * depth + 1
    inner = np.arange(0, 2 * depth, 2)
    leaves = np.setdiff1d(np.arange(count), inner)
    branch = np.isin(np.arange(count), inner)
    numbers = np.arange(count)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=np.repeat(np.arange(trees), count).tolist(),
        nodes_nodeids=np.tile(numbers, trees).tolist(),
        nodes_featureids=np.where(np.tile(branch, trees), rng.integers(features, size=trees * count), 0).tolist(),
        nodes_values=rng.uniform(size=trees * count).tolist(),
        nodes_modes=["BRANCH_LEQ" if one else "LEAF" for one in branch] * trees,
        nodes_truenodeids=np.tile(np.where(branch, numbers + 1, 0), trees).tolist(),
        nodes_falsenodeids=np.tile(np.where(branch, numbers + 2, 0), trees).tolist(),
        target_treeids=np.repeat(np.arange(trees), len(leaves)).tolist(),
        target_nodeids=np.tile(leaves, trees).tolist(),
        target_ids=[0] * (trees * len(leaves)),
        target_weights=rng.normal(size=trees * len(leaves)).tolist(),
    )
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in (("x", features), ("y", 1))]
    graph = helper.make_graph([node], "trees", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return planted.load(helper.make_model(graph, opset_imports=opsets, ir_version=8))


@pytest.mark.parametrize("depth", [40, 3000])
def test_deep_trees_are_explained(depth):
    x = np.random.default_rng(1).uniform(size=(6, 8)).astype(np.float32)
    result = xaionnx.explain(forest(2, 8, depth), x, "tree_shap", 0)
    assert np.abs(result.values).max() > 0.01
    assert np.abs(result.diagnostics["completeness_gap"]).max() < 1e-6


def test_a_forest_over_many_columns_adds_up():
    x = np.random.default_rng(1).integers(0, 2, size=(5, 90_000)).astype(np.float32)
    result = xaionnx.explain(forest(100, 90_000, 3), x, "tree_shap", 0)
    change = result.prediction - result.baseline_prediction
    np.testing.assert_allclose(result.values.sum(axis=1), change, atol=2e-5)
    assert np.count_nonzero(result.values) < 5 * 300


def test_the_same_request_gives_the_same_bits():
    model, table = Model.load("models/german_credit_mlp.onnx"), "models/data/german_credit_sample.csv"
    x = model.read(table).arrays["features"]
    for method, settings in (
        ("lime", {"neighbourhood": "bins", "budget": 400}),
        ("shapley_sampling", {"budget": 2000}),
    ):
        first, *others = (
            xaionnx.explain(model, x[:2], method, "good", background=x, background_size=20, seed=10, **settings)
            for _ in range(3)
        )
        assert all(np.array_equal(one.feature_values, first.feature_values) for one in others)


def test_interactions_of_many_columns_stay_in_the_budget():
    weights = np.full((42, 1), 0.1, np.float32)
    model = loaded("g (float[N,42] x) => (float[N,1] y) { a = MatMul(x, w) y = Tanh(a) }", w=weights)
    result = xaionnx.explain(model, np.ones((1, 42), np.float32), "shapley_interactions", 0, index="fsii", budget=2000)
    assert result.diagnostics["evaluations"][0] <= 2000
    assert abs(result.diagnostics["completeness_gap"][0]) < 1e-6


def test_rows_of_the_same_name_are_explained():
    pandas = pytest.importorskip("pandas")
    model, table = Model.load("models/german_credit_mlp.onnx"), "models/data/german_credit_sample.csv"
    frame = pandas.read_csv(table).drop(columns="creditability").head(4)
    frame.index = ["a", "a", "a", "b"]
    result = xaionnx.explain(model, frame, "feature_ablation", "good")
    numbered = xaionnx.explain(model, frame.reset_index(drop=True), "feature_ablation", "good")
    np.testing.assert_array_equal(result.values, numbered.values)
    assert len(result.to_frame("pandas")) == 4


def test_more_calls_take_no_more_memory():
    model, x = Model.load("models/digits_cnn.onnx"), np.ones((1, 1, 8, 8), np.float32)
    methods = ("lrp", "saliency", "integrated_gradients")

    def calls(count: int) -> None:
        for number in range(count):
            xaionnx.explain(model, x, methods[number % 3], number % 10)

    calls(30)
    gc.collect()
    tracemalloc.start()
    calls(30)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 1 << 20


def test_a_page_is_written_whatever_the_system_can_write(tmp_path):
    (tmp_path / "mail.txt").write_text("Gratis geld für alle — naïve 中 😀", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "cp1252"}
    words = (
        "explain",
        "feature_ablation",
        "models/spam.onnx",
        str(tmp_path / "mail.txt"),
        "-o",
        str(tmp_path / "out.html"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "xaionnx_cli", *words], env={**os.environ, **plain}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out.html").read_bytes().decode("utf-8")
    assert "\u4e2d" in page
    assert "\U0001f600" in page


def test_many_columns_need_no_budget_of_their_own():
    """400 columns: the default budget grows to what the estimate needs, and is in the record; a given one does not."""
    weights = normal(1, 400)
    model, x = planted.load(planted.linear(weights)), np.ones((1, 400), np.float32)
    for method, needed in (("kernel_shap", 2402), ("banzhaf", 1602)):
        found = xaionnx.explain(model, x, method)
        assert found.diagnostics["evaluations"][0] <= max(2048, needed)
        assert found.provenance["parameters"]["budget"] == max(2048, needed)
        np.testing.assert_allclose(found.values[0], weights[0], atol=1e-3)
    with pytest.raises(BudgetError, match="needs at least 2402"):
        xaionnx.explain(model, x, "kernel_shap", budget=2048)


# searches, weights and types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["wachter", "growing_spheres", "nearest_row"])
def test_a_search_for_what_does_not_exist_ends(search):
    """Class 0 leads everywhere, and all rows of data have it."""
    model = planted.load(planted.linear([[1.0, 1.0], [1.0, 1.0]], [5.0, 0.0]))
    rows = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    found = xaionnx.counterfactual(model, rows[:1], search, to=1, background=rows)
    assert not found.valid
    assert str(found) == "No row with the wanted answer was found."
    assert found.diagnostics["evaluations"] < 300_000


def test_weights_that_are_not_beside_the_model_are_named(tmp_path):
    proto = planted.linear([[1.0, 2.0]])
    (tensor,) = [one for one in proto.graph.initializer if one.dims == [2, 1] or one.dims == [1, 2]]
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"weights\.bin"):
        Model.load(tmp_path / "m.onnx")


def test_an_input_without_a_type_ends_no_process(tmp_path):
    proto = planted.linear([[1.0, 2.0]])
    proto.graph.input[0].ClearField("type")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    code = f"import xaionnx; xaionnx.Model.load({str(tmp_path / 'm.onnx')!r})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert re.search(r"errors\.Model\w*Error: .*'x'", ended.stderr), ended.stderr[-500:]
