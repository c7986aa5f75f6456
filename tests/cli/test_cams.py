"""``xaionnx explain`` with class activation maps: what it prints of classes and of tokens."""

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.tiny import node, tensor


@pytest.mark.parametrize("method", ["contrast_cam", "finer_cam"])
def test_the_classes_that_are_compared_are_named(run, digits, picture, tmp_path, method):
    result = run("explain", method, digits, picture, "-t", "top:2", "-o", tmp_path / "found.npz")
    assert result.exit_code == 0
    found = xaionnx.Explanation.load(tmp_path / "found.npz")
    (told,) = found.diagnostics["against"]
    first, second = found.target[:, 0]
    # Each line names its target.
    lines = [line for line in result.stdout.splitlines() if "compared with" in line]
    assert lines == [f"  {first}: compared with {told[0]}", f"  {second}: compared with {told[1]}"]
    one = run("explain", method, digits, picture)
    assert [line[16:] for line in one.stdout.splitlines() if line.startswith("  compared with ")] == told[:1]


def test_tokens_are_called_tokens(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    nodes = [
        node("Gather", ["table", "ids"], ["held"]),
        node("Tanh", ["held"], ["bent"]),
        node("ReduceMean", ["bent"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "w"], ["y"]),
    ]
    weights = {"table": rng.normal(size=(10, 4)).astype(np.float32), "w": rng.normal(size=(4, 3)).astype(np.float32)}
    path = tmp_path / "tokens.onnx"
    tiny.saved(path, nodes, [tensor("ids", ["N", 3], 7)], [tensor("y", ["N", 3])], weights)
    np.save(tmp_path / "ids.npy", np.array([[5, 1, 4]]))
    names = []
    monkeypatch.setattr(
        "xaionnx.render.pictures.bar.bars", lambda found, given, **how: names.append(given) or _picture()
    )
    words = ("--layer", "bent", "--no-relu", "-t", "1", "-o", tmp_path / "bars.png")
    result = run("explain", "grad_cam", path, tmp_path / "ids.npy", *words)
    assert result.exit_code == 0, result.stderr
    found = xaionnx.explain(path, np.array([[5, 1, 4]]), "grad_cam", 1, layer="bent", relu=False).values[0]
    said = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for place, number in enumerate((5, 1, 4)):
        assert f"token {place} ({number}) {found[place]:+.4g}" in said
    assert names == [["token 0 (5)", "token 1 (1)", "token 2 (4)"]]


def _picture():
    from PIL import Image

    return Image.new("RGB", (4, 4))
