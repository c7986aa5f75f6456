"""A method whose values depend on the batch explains all samples of a command together."""

import json
from pathlib import Path

import numpy as np
import pytest
from xaionnx_cli._run import _Job

import xaionnx
from models import planted

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_the_command_explains_all_rows_together(run, tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "rows.npy", X)
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]])).path
    done = run("explain", "feature_permutation", model, tmp_path / "x.npy", "-t", "0", "-o", tmp_path / "e.npz")
    assert (done.exit_code, done.stderr) == (0, "")
    told = xaionnx.Explanation.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(told.values, xaionnx.explain(model, X, "feature_permutation", 0).values)
    np.save(tmp_path / "one.npy", X[:1])
    words = ("explain", "feature_permutation", model, tmp_path / "one.npy", "-t", "0")
    assert "there is only one" in run(*words).stderr
    assert run(*words, "--donors", tmp_path / "rows.npy").exit_code == 0


def test_a_metric_of_all_rows_is_one_result(run, tmp_path):
    model, rows = "models/german_credit_forest.onnx", "models/data/german_credit.csv"
    done = run(
        "explain", "feature_permutation", model, rows, "--metric", "roc_auc", "--labels", f"{rows}:creditability",
        "--draws", "2", "-o", tmp_path / "importance.npz",
    )  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")
    assert (
        "\nmodels/data/german_credit.csv\n  feature_permutation of roc_auc over 1,000 samples = 0.9291\n" in done.stdout
    )
    kept = xaionnx.Explanation.load(tmp_path / "importance.npz")
    assert kept.values.shape == (1, 20)
    assert kept.feature_names[kept.values.argmax()] == "status_of_existing_checking_account"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["importance.npz"]


@pytest.mark.parametrize(
    ("method", "file"),
    [
        *(("tree_shap", "forest"), ("linear_shap", "linear"), ("additive_shap", "additive")),
        ("feature_permutation", "mlp"),
    ],
)
def test_rows_that_are_each_others_background_are_explained_in_batches_and_resumed(
    run, tmp_path, monkeypatch, method, file
):
    batches = []
    before = _Job._explain

    def explain(self, batch, *more):
        batches.append(len(batch))
        before(self, batch, *more)

    monkeypatch.setattr(_Job, "_explain", explain)
    head, *rows = Path("models/data/german_credit_sample.csv").read_text().splitlines()
    table = tmp_path / "rows.csv"
    table.write_text("\n".join([head, *rows]) + "\n")
    model = f"models/german_credit_{file}.onnx"
    words = ("explain", method, model, table, "-t", "1", "-o", tmp_path / "all.npz", "--json")
    done = run(*words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert sum(batches) == len(rows)
    assert len(batches) > 1
    kept, whole = xaionnx.Explanation.load(tmp_path / "all.npz"), xaionnx.explain(model, table, method, 1)
    np.testing.assert_allclose(kept.values, whole.values, rtol=0, atol=1e-6)
    assert kept.warnings == whole.warnings
    assert kept.provenance.get("background_is_own", False) is (method != "feature_permutation")
    assert len(json.loads(run(*words).stdout)["kept"]) == len(rows)
    assert sum(batches) == len(rows)
    # With another row all are compared with others.
    table.write_text("\n".join([head, *rows[1:]]) + "\n")
    assert json.loads(run(*words).stdout)["kept"] == []


def test_why_no_picture_is_drawn_of_several_rows_is_said_once(run, tmp_path):
    words = ("feature_permutation", "models/german_credit_mlp.onnx", "models/data/german_credit_sample.csv")
    done = run("explain", *words, "--rows", "0-8", "--picture", "waterfall", "-o", tmp_path / "w.png")
    assert done.exit_code == 2
    assert done.stderr.count("needs one row with a base value") == 1
    assert len(done.stderr.splitlines()) == 1
