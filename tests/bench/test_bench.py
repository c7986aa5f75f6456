"""The bench runs and its table shows the measurements. Times are not tested."""

import json
import math
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.bench import explanations, games, gradients, searches, table, turns
from tests.bench.ratio import Bare, measure
from xaionnx import Model
from xaionnx.autodiff import gradient
from xaionnx.optimization.objectives.class_score import ClassScore


def test_the_limit_counts_the_evaluations_of_the_explanation():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    x = np.ones((1, 3), np.float32)
    bare = Bare(model.path, np.zeros((2, 3), np.float32), "y", sizes=(1, 4))
    found = measure(lambda: xaionnx.explain(model, x, "feature_ablation"), bare, rounds=2)
    assert found.evaluations == 4
    assert found.batch in (1, 4)
    assert len(found.rounds) == len(found.cpu) == 2
    assert found.median > 0
    assert found.limit_s > 0


def test_the_exact_values_of_a_game_are_those_of_the_definition():
    # v = x0 + 2 x0 x1: the product is shared.
    values = np.array([0.0, 1.0, 0.0, 3.0])
    np.testing.assert_allclose(games.shapley(values, 2), [2.0, 1.0])


def test_naive_permutations_end_at_the_exact_values():
    values = np.array([0.0, 1.0, 0.0, 3.0])
    game = games.Known("product", None, None, None, None, 0, values, games.shapley(values, 2))
    found = games.permutations(game, 20_001, 0)
    assert found.sum() == 3
    # Of 10,000 orders, half give player 0 the value 1 and half 3.
    assert abs(found[0] - 2) < 4 / math.sqrt(10_000)
    assert games.evaluations_needed(game, games.permutations, 2) < 5000


def test_the_table_shows_the_median_and_the_range():
    ratio = {
        "kind": "ratio", "name": "occlusion", "target": 1.05, "rounds": [1.1, 1.0, 1.3], "cpu": [1.0, 1.0, 1.0],
        "first": 1.4, "evaluations": 730, "batch": 8, "limit_s": 1.25,
    }  # fmt: skip
    found = {"KernelSHAP": 300, "shap": 128, "naive permutations": None}
    needed = {"kind": "evaluations", "name": "a game", "least": 128, "needed": found}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [ratio, needed], "left_out": ["RISE"]})
    assert "| occlusion | 730 | 1.25 s | 1.10 (1.00 to 1.30) | 1.00 (1.00 to 1.00) | 1.40 | 1.05 |" in shown
    assert "| a game | 300 | 128 or fewer | over 32,768 |" in shown
    assert "Not measured: RISE." in shown
    one = {
        "kind": "pass", "name": "pass: grad_cam", "ratio": [1.5, 1.4, 1.6], "cpu": [1.7, 1.7, 1.7],
        "target": 1.15, "graph_ms": 10.0, "reading_ms": 4.0, "a_second": 66.0,
    }  # fmt: skip
    shown = table.markdown({"machine": machine, "rows": [one], "left_out": []})
    assert "| grad_cam | 10 ms | 4 ms | 1.50 (1.40 to 1.60) | 1.70 (1.70 to 1.70) | 66 | 1.15 |" in shown


def test_peers_have_a_line_each():
    row = {"kind": "peers", "name": "a model", "least": 64, "needed": {"ours": 64, "shap": 900, "Captum": None}}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [row, row | {"name": "other"}], "left_out": []})
    assert "| method | a model | other |" in shown
    assert "| ours | 64 or fewer | 64 or fewer |" in shown
    assert "| Captum | over 16,384 | over 16,384 |" in shown


def test_the_table_tells_what_a_map_costs_over_the_forward_run():
    row = {
        "kind": "cam",
        "name": "grad_cam over forward",
        "target": 1.15,
        "rounds": [1.1, 1.2, 1.0],
        "forward_s": 0.004,
    }
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [row], "left_out": []})
    assert "grad_cam over forward: 1.10 (1.00 to 1.20) times a forward run of 4 ms a sample" in shown


def test_a_gain_is_told_in_a_sentence():
    row = {"kind": "gain", "name": "half", "target": 1.8, "rounds": [2.0, 2.1, 1.9], "cpu": [2.0, 2.0, 2.0]}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [row], "left_out": []})
    assert "half: 2.00 (1.90 to 2.10) times as fast as plain in wall time" in shown
    assert "the aim is 1.8." in shown


GRADIENT = {
    "kind": "gradient", "name": "gradient, a net", "target": 2.5, "rounds": [2.4, 2.0, 2.2], "peer": [0.9, 0.8, 0.7],
    "forward_s": 0.0125, "memory": {"forward": 3.25, "gradient": 10.0}, "machine": {"date": "2026-02-02", "load": 0.5},
}  # fmt: skip


def test_gradients_have_a_table_of_their_own():
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    alone = GRADIENT | {"name": "gradient, alone", "peer": []}
    shown = table.markdown({"machine": machine, "rows": [GRADIENT, alone], "left_out": []})
    assert "Measured on 2026-02-02 at load 0.5:" in shown
    assert "| a net | 12.5 ms | 2.20 (2.00 to 2.40) | 2.5 | 0.80 (0.70 to 0.90) | 3.2 MB | 10.0 MB |" in shown
    assert "| alone | 12.5 ms | 2.20 (2.00 to 2.40) | 2.5 | not measured |" in shown


def test_rows_that_are_measured_again_replace_the_kept_ones(tmp_path, monkeypatch):
    kept = {"machine": {"load": 9}, "rows": [GRADIENT, {"name": "other"}], "left_out": ["new", "never"]}
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results.json")
    table.RESULTS.write_text(json.dumps(kept))
    again = GRADIENT | {"target": 1.0}
    found = table.replaced({"machine": {"load": 1}, "rows": [again, {"name": "new"}], "left_out": ["late"]})
    assert found["rows"] == [again, {"name": "other"}, {"name": "new"}]
    assert found["left_out"] == ["never", "late"]
    assert found["machine"] == {"load": 9}


def test_a_gradient_is_timed_against_the_forward_run(tmp_path, monkeypatch):
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    net = gradients.Net("linear", model.path.stem, 2.5, model.input().name)
    monkeypatch.setattr(gradients, "NETS", (net,))
    monkeypatch.setattr(gradients.Net, "x", lambda self: np.ones((gradients.BATCH, 3), np.float32))
    monkeypatch.setattr(turns, "TURN_S", 1e-3)
    monkeypatch.setattr(gradients, "find_spec", lambda name: None)
    (row,) = gradients.rows(model.path.parent, "", rounds=2)
    assert row["name"] == "gradient, linear"
    assert len(row["rounds"]) == 2
    assert min(row["rounds"]) > 0
    assert row["peer"] == []
    assert set(row["memory"]) == {"forward", "gradient"}
    assert not list(gradients.rows(tmp_path, "", rounds=2))


def test_a_step_of_a_search_is_timed_against_its_gradient_graph(monkeypatch):
    monkeypatch.setattr(turns, "TURN_S", 1e-3)
    monkeypatch.setattr(searches, "NET", searches.MODELS / "mnist_cnn.onnx")
    monkeypatch.setattr(searches, "SEARCHES", {"a digit": (ClassScore(label=3), 2), "other": (ClassScore(label=4), 1)})
    (row,) = searches.rows("a digit", rounds=2)
    assert row["name"] == "step of a search, a digit, EfficientNet-Lite0"
    assert len(row["rounds"]) == 2
    assert min(row["rounds"]) > 1
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    told = row | {"machine": machine, "rounds": [1.25, 1.5, 1.0], "graph_s": 0.02}
    shown = table.markdown({"machine": machine, "rows": [told], "left_out": []})
    assert "| a digit, EfficientNet-Lite0 | 20 ms | 1.25 (1.00 to 1.50) | 1.15 |" in shown


@pytest.fixture
def tiny_net(monkeypatch):
    """The path of a model of small pictures and three classes, in place of the nets of real size."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(turns, "TURN_S", 1e-3)
    monkeypatch.setattr(explanations, "picture", lambda: rng.random((1, 3, 12, 12)).astype(np.float32))
    monkeypatch.setattr(explanations, "TARGETS", 3)
    filters, head = rng.normal(size=(4, 3)), rng.normal(size=(3, 4))
    return planted.load(planted.pooled(filters, head, (12, 12))).path


def test_an_explanation_is_timed_against_its_compiled_graph(tiny_net):
    names = [row["name"] for row in explanations.graph_rows("a net", tiny_net, "", rounds=1)]
    assert names == [f"{method} over its compiled graph, a net" for method in explanations.GRAPHS]


def test_many_targets_are_timed_against_one(tiny_net, monkeypatch):
    several = explanations.Several("occlusion", "occlusion", {"window": 4, "stride": 4})
    monkeypatch.setattr(explanations, "REMOVALS", (several,))
    scripts = []
    monkeypatch.setattr(explanations.fresh, "peak", lambda script: scripts.append(script) or 100.0 + len(scripts))
    (row,) = explanations.target_rows(tiny_net, "", rounds=2)
    assert row["name"] == "occlusion, 3 targets over one, MobileNetV3-small"
    assert len(row["rounds"]) == 2
    assert row["peaks"] == {"1": 101.0, "3": 102.0}
    assert ["range(1)" in script for script in scripts] == [True, False]
    assert "range(3)" in scripts[1]
    (row,) = explanations.path_rows(tiny_net, "", rounds=1)
    assert min(row["rounds"]) > 0


@pytest.mark.slow
def test_a_folder_is_timed_against_reading_and_running(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "TURN_S", 1e-3)
    path = explanations.MODELS / "efficientnet_lite0.onnx"
    rows = list(explanations.folder_rows(path, "", rounds=1, photos=2))
    assert [row["target"] for row in rows] == [1.5, 3.0]
    explanations.copied(tmp_path / "photos", 3)
    assert explanations.read_and_run(path, tmp_path / "photos") == 3


def test_searches_and_products_are_shown_beside_those_of_peers():
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    searched = {
        "kind": "search of a peer", "name": "a class, over lucent 0.1.8", "target": 1.0, "rounds": [0.25, 0.5, 0.3],
        "step_s": 0.0205, "steps": 128, "unseen": 30.5, "unseen_of_peer": 20.25,
    }  # fmt: skip
    kinds = ("forward", "reverse", "hessian")
    product = {
        "kind": "products", "name": "products, a model, over onnx-ad 0.3.0", "model": "a_model",
        "ms": {"run": 0.5} | {f"ours {kind}": 1.0 + k for k, kind in enumerate(kinds)},
        "rounds": {kind: [0.1 + k, 0.2 + k, 0.3 + k] for k, kind in enumerate(kinds)},
    }  # fmt: skip
    shown = table.markdown({"machine": machine, "rows": [searched, product], "left_out": []})
    assert "| a class, over lucent 0.1.8 | 20.5 ms | 0.30 (0.25 to 0.50) | 1.0 | 128 | 30.5 | 20.25 |" in shown
    assert (
        "| `a_model` | 0.5 ms | 1 ms | 0.20 (0.10 to 0.30) | 2 ms | 1.20 (1.10 to 1.30) | 3 ms | 2.20 (2.10 to 2.30) |"
    ) in shown


def test_a_ratio_is_told_in_a_sentence():
    row = {"kind": "over", "name": "a over b", "target": 1.3, "rounds": [1.0, 1.2], "seconds": 2.5, "clock": "wall"}
    machine = {"processor": "x86_64", "cores": 2, "load": 1.0, "onnxruntime": "1.31", "date": "2026-01-01"}
    shown = table.markdown({"machine": machine, "rows": [row], "left_out": []})
    assert "a over b: 1.10 (1.00 to 1.20) times as long, in wall time; it takes 2.5 s, and the aim is 1.3." in shown
    peaks = row | {"peaks": {"1": 100.0, "100": 150.0}, "more": 64}
    shown = table.markdown({"machine": machine, "rows": [peaks], "left_out": []})
    assert "Peak memory is 150 MB for 100 and 100 MB for 1; the aim is 64 MB more at most." in shown


@pytest.mark.peers
@pytest.mark.skipif(not (find_spec("captum") and find_spec("timm")), reason="needs captum and timm")
def test_the_peer_smooths_the_gradient_that_we_do(monkeypatch):
    monkeypatch.setattr(explanations, "COPIES", 4)
    x = explanations.picture()
    few, many = (explanations.smooth_grad_of_peer("resnet18", x, batch)() for batch in (1, 4))
    # The noise differs, but the gradient does not depend on it.
    assert np.corrcoef(few.numpy().ravel(), many.numpy().ravel())[0, 1] > 0.3


@pytest.mark.peers
@pytest.mark.skipif(not (find_spec("torch") and find_spec("timm")), reason="needs torch and timm")
@pytest.mark.parametrize("net", [net for net in gradients.NETS if net.file in ("resnet18", "encoder")])
def test_pytorch_is_timed_on_the_same_gradient(tmp_path, net):
    script = gradients.MODELS / "scripts" / "export_timm.py"
    subprocess.run([sys.executable, script, tmp_path, net.file], check=True, capture_output=True)
    model = Model.load(tmp_path / f"{net.file}.onnx", device="cpu", threads=1)
    x = net.x()
    cotangent = np.zeros((gradients.BATCH, model.output().shape[1]), np.float32)
    cotangent[:, 0] = 1
    ours = gradient(model, model.output().name, [net.wrt]).run({model.input().name: x}, cotangent)[1][net.wrt]
    (theirs,) = gradients._peer(net, x, cotangent)()
    # Units of a ReLU net may flip with the order of sums.
    assert np.linalg.norm(ours - theirs.numpy()) < 0.03 * np.linalg.norm(ours)


def test_the_kept_results_make_a_table():
    assert "| explanation | evaluations | limit |" in table.markdown()


def test_an_explanation_of_a_long_chain_is_timed_against_opening_it(monkeypatch):
    monkeypatch.setattr(turns, "TURN_S", 1e-3)
    rows = list(explanations.length_rows("saliency", rounds=2, lengths=(9, 12)))
    assert [row["name"].split(" nodes")[0] for row in rows] == [f"saliency of a chain of {k}" for k in (9, 12)]
    assert all(min(row["rounds"]) > 1 for row in rows)
    assert len(explanations.chain(12).graph.node) == 12
