"""``xaionnx dream``."""

import json

import numpy as np
import pytest
from PIL import Image

LAYER = "/6/Relu_output_0"


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_dream_has_the_size_of_its_photograph(run, photo, tmp_path):
    words = ("dream", "models/mnist_cnn.onnx", photo, "--layer", LAYER, "--octaves", "2", "--steps", "2")
    found = run(*words, "-o", tmp_path / "dream.png")
    assert found.exit_code == 0, found.stderr
    assert "60 x 40" in found.stdout
    with Image.open(tmp_path / "dream.png") as image:
        assert image.size == (60, 40)
    document = json.loads(run(*words, "--channel", "3", "--json").stdout)
    assert document["search"]["octaves"] == 2
    assert document["provenance"]["objective"] == f"Channel(layer='{LAYER}', channel=3)"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--layer", "nope"), "No layer named 'nope'"),
        (("--layer", LAYER, "--channel", "99"), "32 channels"),
        (("--layer", LAYER, "--octaves", "0"), "--octaves must be an int in [1, 20]"),
        ((), "--layer"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, photo, words, sentence):
    found = run("dream", "models/mnist_cnn.onnx", photo, *words)
    assert found.exit_code != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
