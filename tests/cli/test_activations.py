"""``xaionnx activations``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

MODEL = "models/efficientnet_lite0.onnx"


def test_a_sheet_of_filters(run, tmp_path):
    place = tmp_path / "filters.png"
    found = run("activations", "filters", MODEL, "-o", place)
    assert found.exit_code == 0, found.stderr
    assert "32 of 32 filters" in found.stdout
    with Image.open(place) as image:
        assert image.width > 600


def test_the_numbers_of_patches(run, tmp_path):
    place = tmp_path / "patches.npz"
    words = ("--layer", "/_blocks.2/_project_conv/Conv_output_0", "--channels", "3,5", "--patches", "2", "--json")
    found = run("activations", "patches", MODEL, "models/photos", *words, "-o", place)
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert [row["name"] for row in document["rows"]] == ["channel 3", "channel 5"]
    with np.load(place) as held:
        assert held["channels"].tolist() == [3, 5]
        np.testing.assert_array_equal(held["values"], document["numbers"]["values"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("filters", MODEL, "--layer", "nope"), "No layer named 'nope'"),
        (("patches", MODEL), "reads a data set beside the model, and got none"),
        (("feature_maps", MODEL, "models/photos/none.png"), "none.png"),
        (("feature_maps", MODEL, "models/photos/cat.png", "--channels", "a,b"), "numbers from 0"),
        (("filters", MODEL, "-o", "unit.bmp"), "must end in .png or .npz"),
        ((MODEL,), "comes before the model"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, words, sentence):
    found = run("activations", *words)
    assert found.exit_code != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
