"""``xaionnx visualize``."""

from __future__ import annotations

import json

import pytest
from PIL import Image


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("channel", "models/mnist_cnn.onnx"), "needs a layer"),
        (("channel", "models/mnist_cnn.onnx", "--layer", "nope"), "No layer named 'nope'"),
        (("class_score", "models/german_credit_mlp.onnx"), "not a picture"),
        (("class_score", "models/mnist_cnn.onnx", "--parametrisation", "wavelets"), "wavelets"),
        (("class_score", "models/mnist_cnn.onnx", "-o", "unit.bmp"), "must end in .png or .npz"),
        (("models/mnist_cnn.onnx",), "comes before the model"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, words, sentence):
    found = run("visualize", *words)
    assert found.exit_code != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
