"""``xaionnx visualize``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from xaionnx.optimization import Search


def digit():
    return np.load("models/data/mnist_sample.npz")["images"][2, 0] / 255


def test_a_picture_with_its_numbers(run, tmp_path):
    place = tmp_path / "seven.png"
    words = ("visualize", "class_score", "models/mnist_cnn.onnx", "--label", "7", "--steps", "128", "--count", "2")
    found = run(*words, "-o", place)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count("the model says 7") == 2
    with Image.open(place) as image:
        assert image.width > 2 * 224
    # Its own earlier picture may be replaced.
    assert run(*words[:-4], "--steps", "1", "-o", place).exit_code == 0


def test_the_record_as_json(run, tmp_path):
    words = ("--layer", "/6/Relu_output_0", "--channel", "3", "--steps", "4", "--json")
    found = run("visualize", "channel", "models/mnist_cnn.onnx", *words, "-o", tmp_path / "unit.npz")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["search"]["steps"] == 4
    assert (tmp_path / "unit.npz").stat().st_size > 0


def test_a_search_goes_on(run, tmp_path):
    words = ("visualize", "class_score", "models/mnist_cnn.onnx", "--label", "7", "--json")
    whole = run(*words, "--steps", "9")
    run(*words, "--steps", "4", "-o", tmp_path / "half.npz")
    rest = run(*words, "--steps", "9", "--resume", tmp_path / "half.npz")
    assert json.loads(rest.stdout)["unseen"] == json.loads(whole.stdout)["unseen"]


def test_a_picture_of_a_file_is_inverted_by_another_optimiser(run, tmp_path):
    Image.fromarray((255 * digit()).astype(np.uint8)).save(tmp_path / "two.png")
    words = ("inversion", "models/mnist_cnn.onnx", "--layer", "/3/MaxPool_output_0", "--picture", tmp_path / "two.png")
    found = run("visualize", *words, "--optimiser", "lbfgs", "--parametrisation", "pixels", "--steps", "50", "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["value"][0] > -0.1


def test_a_generator_is_named_with_its_file(run):
    words = ("class_score", "models/mnist_cnn.onnx", "--label", "3", "--steps", "3", "--json")
    found = run("visualize", *words, "--parametrisation", "generator:models/mnist_vae_decoder.onnx")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["search"]["parametrisation"] == "generator:models/mnist_vae_decoder.onnx"


def test_ctrl_c_keeps_what_was_found(run, tmp_path, monkeypatch):
    state, step = [], Search._stepped

    def stopped(*given):
        state.append(step(*given))
        if len(state) == 5:
            raise KeyboardInterrupt
        return state[-1]

    monkeypatch.setattr(Search, "_stepped", stopped)
    place = tmp_path / "seven.npz"
    words = ("visualize", "class_score", "models/mnist_cnn.onnx", "--label", "7", "--steps", "9", "-o", place)
    found = run(*words)
    assert found.exit_code == 130
    assert f"interrupted; 4 of 9 steps are done and saved in {place}." in found.stderr
    monkeypatch.undo()
    assert run(*words, "--resume", place).exit_code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("channel", "models/mnist_cnn.onnx"), "needs a layer"),
        (("channel", "models/mnist_cnn.onnx", "--layer", "nope"), "No layer named 'nope'"),
        (("class_score", "models/german_credit_mlp.onnx"), "not a picture"),
        (("class_score", "models/mnist_cnn.onnx", "--parametrisation", "wavelets"), "wavelets"),
        (("class_score", "models/mnist_cnn.onnx", "-o", "unit.bmp"), "must end in .png or .npz"),
        (("models/mnist_cnn.onnx",), "comes before the model"),
        (("class_score", "models/mnist_cnn.onnx", "--optimiser", "adam:fast"), "'adam' or 'adam:0.05'"),
        (("class_score", "models/mnist_cnn.onnx", "--parametrisation", "generator"), "must be written as"),
        (("class_score", "models/mnist_cnn.onnx", "--resume", "models/mnist_cnn.onnx"), "mnist_cnn.onnx"),
        (("inversion", "models/mnist_cnn.onnx", "--layer", "logits"), "needs a picture"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, words, sentence):
    found = run("visualize", *words)
    assert found.exit_code != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
