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
