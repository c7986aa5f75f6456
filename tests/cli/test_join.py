"""``xaionnx join``: several files as one."""

import errno
import json
import os

import numpy as np
import onnx

from tests.tiny import parsed
from xaionnx import Model

DECODER, CLASSIFIER = "models/mnist_vae_decoder.onnx", "models/mnist_cnn.onnx"


def test_a_joined_file_is_inspected_and_explained(run, tmp_path):
    out = tmp_path / "both.onnx"
    done = run("join", DECODER, CLASSIFIER, "-o", out)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{out}: mnist_vae_decoder + mnist_cnn\n  input   latent (N, 16) float32\n  output  logits (N, 10) float32\n"
    )
    assert "  joined    mnist_vae_decoder + mnist_cnn\n" in run("inspect", out, "--limit", "0").stdout
    np.save(tmp_path / "z.npy", np.zeros((1, 16), np.float32))
    assert run("explain", "saliency", out, tmp_path / "z.npy").exit_code == 0
    told = json.loads(run("join", DECODER, CLASSIFIER, "-o", out, "--json").stdout)
    assert told["sha256"] == Model.load(out).sha256
    assert [part["name"] for part in told["parts"]] == ["mnist_vae_decoder", "mnist_cnn"]
    assert "replacing the earlier file" in run("join", DECODER, CLASSIFIER, "-o", out).stdout


def test_connections_by_name(run, tmp_path):
    onnx.save(
        parsed("g (float[N, 3] x) => (float[N, 3] p, float[N, 3] q) { p = Abs(x)  q = Neg(x) }"), tmp_path / "a.onnx"
    )
    onnx.save(parsed("g (float[N, 3] u) => (float[N, 3] y) { y = Exp(u) }"), tmp_path / "b.onnx")
    words = ("join", tmp_path / "a.onnx", tmp_path / "b.onnx", "-o", tmp_path / "c.onnx")
    refused = run(*words)
    assert refused.exit_code == 2
    assert "More than one output of a" in refused.stderr
    assert run(*words, "--connect", "u=q").exit_code == 0
    x = np.float32([[1, 2, 3]])
    np.testing.assert_allclose(Model.load(tmp_path / "c.onnx").run({"x": x})["y"], np.exp(-x), rtol=1e-6)
    assert run(*words, "--connect", "u").stderr == "xaionnx: --connect must be INPUT=OUTPUT. Got 'u' instead.\n"


def test_files_of_others_are_not_overwritten(run, tmp_path):
    onnx.save(parsed("g (float[N, 3] x) => (float[N, 3] y) { y = Abs(x) }"), tmp_path / "a.onnx")
    refused = run("join", DECODER, CLASSIFIER, "-o", tmp_path / "a.onnx")
    assert refused.exit_code == 2
    assert "is not a joined file written by xaionnx" in refused.stderr
    refused = run("join", DECODER, CLASSIFIER, "-o", DECODER)
    assert "would overwrite" in refused.stderr
    assert "must end in .onnx" in run("join", DECODER, CLASSIFIER, "-o", tmp_path / "a.txt").stderr


def test_a_join_that_fails_leaves_the_earlier_file_and_its_weights(run, tmp_path, monkeypatch):
    from xaionnx.data import storage
    from xaionnx.runtime import joining

    monkeypatch.setattr(joining, "_APART", 1000)
    out = tmp_path / "both.onnx"
    words = ("join", DECODER, CLASSIFIER, "-o", out)
    assert run(*words).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(path.name for path in before) == ["both.onnx", "both.onnx.data", "both.toml"]
    assert run(*words).exit_code == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    rename = storage._rename

    def fail(temporary, target):
        if target == out:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(temporary, target)

    monkeypatch.setattr(storage, "_rename", fail)
    other = (*words[:2], "models/digits_cnn.onnx", "-o", out)
    monkeypatch.setattr(joining, "connections", lambda parts, _: {})
    refused = run(*other)
    assert refused.exit_code == 6
    assert "No space left on device" in refused.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "new").mkdir()
    out = tmp_path / "new" / "both.onnx"
    assert run("join", DECODER, CLASSIFIER, "-o", out).exit_code == 6
    assert [*out.parent.iterdir()] == []
