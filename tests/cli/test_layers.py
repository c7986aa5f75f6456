"""``xaionnx explain`` at layers: reports and pictures of feature maps, tokens and units."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests import tiny
from tests.tiny import node, tensor


def lines(result):
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_a_layer_is_named_and_drawn_over_the_picture(run, digits, picture, tmp_path):
    words = ("--layer", "/1/Relu_output_0", "-o", tmp_path / "map.png")
    said = lines(run("explain", "integrated_gradients", digits, picture, *words))
    assert "  at layer /1/Relu_output_0 (N, 16, 8, 8)" in said
    with Image.open(tmp_path / "map.png") as drawn:
        assert min(drawn.size) > 400  # the map lies over the enlarged photo
    assert run("explain", "conductance", digits, picture, "-o", tmp_path / "usual.npz").exit_code == 0
    usual = xaionnx.Explanation.load(tmp_path / "usual.npz")
    assert usual.provenance["layer"]["name"] == "/4/MaxPool_output_0"
    assert usual.values.shape == (1, 32, 4, 4)


def test_a_layer_without_places_is_drawn_as_bars(run, digits, picture, tmp_path):
    words = ("--layer", "/5/Flatten_output_0", "-t", "3", "-o", tmp_path / "bars.png")
    assert "  at layer /5/Flatten_output_0 (N, 512)" in lines(run("explain", "saliency", digits, picture, *words))
    found = xaionnx.explain(
        digits,
        xaionnx.InputSpec.beside(digits).to_tensor([np.asarray(Image.open(picture))]),
        "saliency",
        3,
        layer="/5/Flatten_output_0",
    )
    from xaionnx import render

    with Image.open(tmp_path / "bars.png") as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(render.bars(found)))


def test_a_layer_that_is_unknown(run, digits, picture):
    result = run("explain", "saliency", digits, picture, "--layer", "/1/Relu_output")
    assert result.exit_code == 2
    assert result.stderr.startswith("xaionnx: No layer named '/1/Relu_output'. Nearest: /1/Relu_output_0")


def test_several_layers_are_repeated_or_listed_with_commas(run, digits, picture, tmp_path):
    layers = ["/1/Relu_output_0", "/4/MaxPool_output_0"]
    for number, words in enumerate([("--layer", layers[0], "--layer", layers[1]), ("--layer", ",".join(layers))]):
        said = lines(run("explain", "layer_cam", digits, picture, *words, "-o", tmp_path / f"{number}.npz"))
        assert f"  map of layers {', '.join(layers)}, 8 x 8 positions" in said
    repeated, listed = (xaionnx.Explanation.load(tmp_path / f"{number}.npz") for number in range(2))
    np.testing.assert_array_equal(repeated.values, listed.values)
    assert repeated.provenance["parameters"]["layer"] == layers
    twice = run("explain", "layer_cam", digits, picture, "--layer", layers[0], "--layer", layers[0])
    assert (twice.exit_code, twice.stderr) == (2, f"xaionnx: --layer names '{layers[0]}' twice.\n")


@pytest.fixture
def tokens(tmp_path):
    """A token model whose first output is the sum of 10 times the token numbers."""
    table = np.stack([10.0 * np.arange(6), np.zeros(6)], axis=1).astype(np.float32)
    nodes = [
        node("Gather", ["table", "ids"], ["held"]),
        node("ReduceSum", ["held", "along"], ["y"], keepdims=0),
    ]
    np.save(tmp_path / "ids.npy", np.array([[5, 1, 4]]))
    return tiny.saved(
        tmp_path / "tokens.onnx", nodes, [tensor("ids", ["N", 3], 7)], [tensor("y", ["N", 2])],
        {"table": table, "along": np.array([1])},
    )  # fmt: skip


def test_tokens_are_listed_with_their_numbers(run, tokens, tmp_path):
    words = ("-t", "0", "--baseline", "2", "-o", tmp_path / "t.png")
    result = run("explain", "integrated_gradients", tokens, tmp_path / "ids.npy", *words)
    said = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    at = said.index("at layer held (N, 3, 2)")
    assert said[at + 1 : at + 4] == ["token 0 (5) +30", "token 2 (4) +20", "token 1 (1) -10"]
    assert (tmp_path / "t.png").exists()
    told = json.loads(run("inspect", tokens, "--json").stdout)
    # It has no attention, which two methods need, and no picture.
    refused = {method["method"] for method in told["methods"] if not method["possible"]}
    assert {"attention_relevance", "attention_rollout", "xrai"} <= refused
    assert not {"integrated_gradients", "saliency", "kernel_shap"} & refused
