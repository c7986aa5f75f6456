"""A method whose values depend on the batch explains all samples of a command together."""

import numpy as np

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
