"""``xaionnx compile``: the files it writes, opened by onnxruntime in a process that has no xaionnx."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import xaionnx
from tests.cli.conftest import MODELS
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target

# Run in another process, where an import of xaionnx fails.
BARE = """
import sys
sys.modules["xaionnx"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
answers = session.run(None, dict(np.load(sys.argv[2])))
np.savez(sys.argv[3], **{o.name: a for o, a in zip(session.get_outputs(), answers)})
assert not [name for name, module in sys.modules.items() if name.startswith("xaionnx") and module is not None]
"""


def bare(path: Path, feeds: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    np.savez(folder / "feeds.npz", **feeds)
    words = [sys.executable, "-c", BARE, str(path), str(folder / "feeds.npz"), str(folder / "answers.npz")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "answers.npz"))


def photos(model: Model) -> np.ndarray:
    read = []
    for name in ("cat.png", "coffee.jpg"):
        with Image.open(MODELS / "photos" / name) as photo:
            read.append(np.asarray(photo.convert("RGB")))
    return model.spec.to_tensor(read)


def numbers(model: Model) -> np.ndarray:
    shape = model.input().shape[1:]
    return np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "words", "target", "settings", "made"),
    [
        ("efficientnet_lite0", ("saliency",), None, {}, photos),
        ("efficientnet_lite0", ("input_x_gradient", "-t", "tabby"), "tabby", {}, photos),
        (
            "digits_cnn",
            ("integrated_gradients", "--steps", 8, "-t", "margin:3,8"),
            Target.margin(3, 8),
            {"steps": 8},
            numbers,
        ),
        ("selfie_segmentation", ("saliency", "--target", "region"), Target.region(), {}, photos),
        (
            "selfie_segmentation",
            ("saliency", "--no-absolute", "--target", "sum"),
            Target.sum(),
            {"absolute": False},
            photos,
        ),
        ("mnist_vit", ("saliency", "--target", "probability:4"), Target.probability(4), {}, numbers),
        (
            "german_credit_mlp",
            ("integrated_gradients", "--baseline", 0.5, "--steps", 4),
            None,
            {"baseline": 0.5, "steps": 4},
            numbers,
        ),
    ],
)
@pytest.mark.sampled(percent=30)
def test_bare_onnxruntime_answers_what_explain_answers(run, tmp_path, name, words, target, settings, made):
    path = tmp_path / "made.onnx"
    method, *options = words
    result = run("compile", method, MODELS / f"{name}.onnx", "-o", path, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"saved {path}" in result.stdout
    onnx.checker.check_model(path, full_check=True)
    model = Model.load(MODELS / f"{name}.onnx", "cpu")
    x = made(model)
    found = bare(path, {model.input().name: x}, tmp_path)
    told = xaionnx.explain(model, x, method, target, **settings)
    for output, expected in model.run({model.input().name: x}).items():
        assert_close(found[output], expected, Tolerance.DEEP)
    size = np.abs(told.values).max()
    # The graph is the same; another provider or batch size may round differently.
    assert np.linalg.norm(found["attribution"] - told.values) <= 1e-4 * np.linalg.norm(told.values)
    assert_close(found["attribution"] / size, told.values / size, Tolerance.QUOTIENTS)
    assert_close(found["target_value"], told.prediction, Tolerance.LAYERS)
    if "target" in found:
        assert [f"({k})" in name for k, name in zip(found["target"], told.target, strict=True)] == [True] * len(x)


def test_a_class_for_each_run(run, tmp_path):
    path = tmp_path / "made.onnx"
    result = run("compile", "saliency", MODELS / "digits_cnn.onnx", "-o", path, "--target", "input")
    assert result.exit_code == 0
    model = Model.load(MODELS / "digits_cnn.onnx", "cpu")
    x, classes = numbers(model), np.array([1, 8, 3])
    found = bare(path, {model.input().name: x, "target": classes}, tmp_path)
    assert_close(found["attribution"], xaionnx.explain(model, x, "saliency", classes).values, Tolerance.LAYERS)


def test_one_json_document(run, tmp_path):
    path = tmp_path / "made.onnx"
    result = run("compile", "saliency", MODELS / "digits_cnn.onnx", "-o", path, "--json", "-t", 3)
    told = json.loads(result.stdout)
    assert told["files"] == [str(path)]
    assert (told["method"], told["target"], told["fixed"]) == ("saliency", "3 (3)", [])
    assert told["outputs"]["target"] == "(N,) int64"


def test_a_free_size_is_asked_for_and_told(run, tmp_path):
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, T] x) => (float[N, T] y) { y = Mul(x, x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "free.onnx")
    words = ("compile", "saliency", tmp_path / "free.onnx", "-o", tmp_path / "made.onnx")
    result = run(*words)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "Give the size of one sample with shapes=, or --shape: 1 whole number." in result.stderr
    for given in ("5", "x=5"):
        result = run(*words, "--shape", given)
        assert result.exit_code == 0
        assert "inputs   x             (N, 5) float32" in result.stdout
        assert "the gradient is valid for this size only" in result.stdout
    assert run(*words, "--shape", "five").stderr == (
        "xaionnx: --shape must be whole numbers, as in '3,224,224' or 'mask=128'. Got 'five' instead.\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (
            ("lime", "m.onnx", "-o", "a.onnx"),
            3,
            "lime is not a graph, so it cannot be compiled. Methods that can: {methods}.",
        ),
        (("salincy", "m.onnx", "-o", "a.onnx"), 2, "No method named 'salincy'. Nearest: saliency, ablation_cam."),
        (("m.onnx",), 2, "The method comes before the model: xaionnx compile METHOD m.onnx -o FILE.onnx."),
        (("saliency", "m.onnx"), 2, "Missing option '-o' / '--save'. See 'xaionnx compile saliency --help'."),
        (("saliency", "m.onnx", "-o", "a.png"), 2, "-o must end in .onnx. Got 'a.png' instead."),
        (
            ("saliency", "m.onnx", "-o", "none/a.onnx"),
            6,
            "The folder none does not exist. Create it, or choose another with -o.",
        ),
        (
            ("saliency", MODELS / "selfie_segmentation.onnx", "-o", "a.onnx"),
            2,
            "Output 'mask' of selfie_segmentation.onnx is (N, 256, 256, 1), not one axis of classes. Choose what to "
            "explain: --target region (the sum of the values above 0.5, as for a mask), --target element:128,128,0 "
            "(one number) or --target sum (the sum of all numbers).",
        ),
        (
            ("integrated_gradients", MODELS / "digits_cnn.onnx", "-o", "a.onnx", "--baseline", "mean"),
            2,
            "A compiled file has the same baseline for every sample, but this one is computed from the sample. "
            "Use a number, an array, rows of data, or one of background:file, black, constant:value, median:file, "
            "white, zero.",
        ),
    ],
)
def test_refusals(run, tmp_path, monkeypatch, words, code, line):
    monkeypatch.chdir(tmp_path)
    result = run("compile", *words)
    told = line.format(methods=", ".join(xaionnx.compilation.methods()))
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"xaionnx: {told}\n")
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_methods_that_are_graphs(run):
    listed = run("compile", "-h").stdout
    for name in xaionnx.compilation.methods():
        assert f"\n  {name} " in listed
    assert "\n  lime" not in listed
