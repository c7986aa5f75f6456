"""Views of the inside of a model: their numbers against the weights, the session and the planted places."""

from __future__ import annotations

import itertools
import re

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import xaionnx
from models import planted
from xaionnx.activations.icons import icon
from xaionnx.activations.strongest import strongest
from xaionnx.activations.views.patches import Patches
from xaionnx.errors import DataError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.optimization import Search
from xaionnx.render import activation_sheet

MNIST = "models/mnist_cnn.onnx"
LAYER = "/6/Relu_output_0"


@pytest.fixture(scope="module")
def digits():
    with np.load("models/data/mnist_sample.npz") as held:
        name = next(one for one in held.files if held[one].ndim > 2)
        x = held[name].reshape(-1, 1, 28, 28)
    return (x / 255 if x.dtype == np.uint8 else x).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return xaionnx.Model.load(MNIST)


def test_filters_are_the_weights_of_the_file(model):
    sheet = xaionnx.show_activations(model, "filters")
    graph = onnx.load(MNIST).graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    stored = next(numpy_helper.to_array(one) for one in graph.initializer if one.name == first.input[1])
    np.testing.assert_array_equal(sheet.numbers["weights"], stored)
    middle, largest = sheet.rows[0].tiles[0].pixels[..., 0], np.abs(stored[0, 0]).max()
    np.testing.assert_array_equal(middle, np.rint(255 * (0.5 + stored[0, 0] / (2 * largest))).astype(np.uint8))


def test_filters_of_a_deeper_layer_are_a_row_of_their_channels(model):
    sheet = xaionnx.show_activations(model, "filters", layer=LAYER, count=3, inputs=5)
    assert [len(row.tiles) for row in sheet.rows] == [5, 5, 5]


def test_feature_maps_are_the_values_of_the_session(model, digits):
    sheet = xaionnx.show_activations(model, "feature_maps", digits[3:4], layer=LAYER, count=4)
    expected = model.with_outputs([LAYER]).run({model.input().name: digits[3:4]}, [LAYER])[LAYER][0]
    chosen = np.argsort(-expected.mean(axis=(1, 2)), kind="stable")[:4]
    np.testing.assert_array_equal(sheet.numbers["channels"], chosen)
    np.testing.assert_array_equal(sheet.numbers["maps"], expected[chosen])
    # White is the largest value of each map.
    for tile in sheet.rows[1].tiles:
        assert tile.pixels.max() == 255


def test_one_scale_for_all_maps(model, digits):
    sheet = xaionnx.show_activations(model, "feature_maps", digits[:1], layer=LAYER, scale="common", channels=(0, 1, 2))
    tops = sheet.numbers["maps"].max(axis=(1, 2))
    whitest = np.array([tile.pixels.max() for tile in sheet.rows[1].tiles])
    np.testing.assert_array_equal(whitest, np.rint(255 * tops / tops.max()))


def test_the_strongest_places_are_those_of_all_maps(model, digits):
    maps, found = strongest(model, xaionnx.Dataset.of(digits), LAYER, 5)
    everything = model.with_outputs([LAYER]).run({model.input().name: digits}, [LAYER])[LAYER]
    tops = everything.max(axis=(2, 3))
    for channel in range(maps.shape[0]):
        order = np.argsort(-tops[:, channel], kind="stable")[:5]
        np.testing.assert_array_equal(found.places[channel][:, 0], order)
        for place in found.of(channel):
            assert everything[place.unit, channel, place.row, place.column] == place.value
    np.testing.assert_allclose(found.mean, tops.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.deviation, tops.std(axis=0), rtol=1e-3, atol=1e-6)


def test_batches_and_files_change_nothing(model, digits, monkeypatch):
    whole = strongest(model, xaionnx.Dataset.of(digits), LAYER, 4)[1]
    few = [
        xaionnx.Dataset.of(digits).read(model, start, min(start + 7, len(digits)))[0]
        for start in range(0, len(digits), 7)
    ]
    monkeypatch.setattr(xaionnx.Dataset, "batches", lambda self, model, size=64: iter(few))
    small = strongest(model, xaionnx.Dataset.of(digits), LAYER, 4)[1]
    np.testing.assert_array_equal(whole.places, small.places)
    np.testing.assert_array_equal(whole.values, small.values)


def _spot_model():
    """One channel that is the 3 x 3 sum of a picture of 12 x 12, after a Relu."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["spot"]),
        helper.make_node("GlobalAveragePool", ["spot"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["scores"]),
    ]
    weights = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        nodes,
        "spot",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 12, 12])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1])],
        [weights],
    )
    return planted.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def test_a_patch_is_what_the_unit_reads():
    x = np.zeros((4, 1, 12, 12), np.float32)
    for n, (row, column) in enumerate([(2, 3), (9, 9), (5, 0), (6, 6)]):
        x[n, 0, row, column] = n + 1
    model = _spot_model()
    sheet = Patches(layer="spot", channels=(0,), patches=3, share=1.0).show(model, xaionnx.Dataset.of(x))
    # The 3 x 3 sum reads 3 x 3 pixels, and the strongest inputs are the last three.
    assert sheet.numbers["sides"].tolist() == [3]
    assert sheet.numbers["places"][0, :, 0].tolist() == [3, 2, 1]
    np.testing.assert_array_equal(sheet.numbers["values"], [[4, 3, 2]])


def test_channels_that_vary_come_first(model, digits):
    found = strongest(model, xaionnx.Dataset.of(digits), LAYER, 3)[1]
    first = found.most_varying(4)
    tops = model.with_outputs([LAYER]).run({model.input().name: digits}, [LAYER])[LAYER].max(axis=(2, 3))
    assert first == np.argsort(-tops.std(axis=0), kind="stable")[:4].tolist()


@pytest.mark.parametrize("view", ["filters", "feature_maps", "patches"])
def test_a_sheet_is_drawn_and_saved(view, model, digits, tmp_path):
    x = None if view == "filters" else digits[:20]
    sheet = xaionnx.show_activations(model, view, x)
    image = activation_sheet(sheet)
    assert image.width > 300
    assert len(image.getcolors(1 << 24)) > 20
    with np.load(sheet.save(tmp_path / "sheet.npz")) as held:
        for name, array in sheet.numbers.items():
            np.testing.assert_array_equal(held[name], array)
    assert sheet.to_dict()["provenance"]["model_sha256"] == model.sha256


@pytest.mark.parametrize(
    ("view", "x", "settings", "error", "sentence"),
    [
        ("filters", "digits", {}, ParameterError, "reads nothing beside the model, and got some"),
        ("patches", None, {}, ParameterError, "reads a data set beside the model, and got none"),
        ("patches", "digits", {"channels": (999,)}, UnknownNameError, "channels, from 0. Got 999"),
        ("feature_maps", "digits", {"channels": (1, 1)}, ParameterError, "different whole numbers"),
        ("patches", "iterable", {}, DataError, "read once"),
        ("filters", None, {"layer": "nope"}, UnknownNameError, "nope"),
        ("maps", None, {}, UnknownNameError, "feature_maps"),
    ],
)
def test_what_does_not_fit_is_one_sentence(view, x, settings, error, sentence, model, digits):
    given = {"digits": digits, "iterable": iter(digits), None: None}[x]
    with pytest.raises(error, match=sentence):
        xaionnx.show_activations(model, view, given, **settings)


def test_models_without_pictures_or_convolutions():
    with pytest.raises(UnsupportedModelError, match="not a picture"):
        xaionnx.show_activations("models/german_credit_mlp.onnx", "patches", np.zeros((2, 61), np.float32))
    with pytest.raises(UnsupportedModelError, match="no convolutions"):
        xaionnx.show_activations("models/german_credit_mlp.onnx", "filters")


def test_attributions_of_all_channels_add_up_to_gradient_times_layer(model, digits):
    sheet = xaionnx.show_activations(
        model, "dictionary", digits[4:5], layer=LAYER, by="channels", count=64, classes=("3", "5"), steps=1
    )
    slope = xaionnx.explain(model, digits[4:5], "saliency", [3, 5], layer=LAYER, absolute=False).values[:, 0]
    maps = model.with_outputs([LAYER]).run({model.input().name: digits[4:5]}, [LAYER])[LAYER][0]
    expected = (slope * maps).sum(axis=(1, 2, 3))
    assert len(sheet.rows) == len(maps)
    # Channels that noise does not excite are woken, and so have an icon too.
    assert {row.tiles[0].caption for row in sheet.rows} == {"icon"}
    # Nothing leads to less than 0 of a rectified channel.
    assert any(icon(model, LAYER, -one, Search(steps=1)) is None for one in np.eye(len(maps)))
    np.testing.assert_allclose(sheet.numbers["attributions"].sum(axis=0), expected, rtol=1e-4)


@pytest.mark.parametrize("by", ["groups", "places"])
def test_entries_are_parts_of_the_layer(by, model, digits):
    count = 6
    sheet = xaionnx.show_activations(model, "dictionary", digits[4:5], layer=LAYER, by=by, count=count, steps=1)
    places, directions = sheet.numbers["places"], sheet.numbers["directions"]
    maps = model.with_outputs([LAYER]).run({model.input().name: digits[4:5]}, [LAYER])[LAYER][0].astype(np.float64)
    made = np.einsum("kc,khw->chw", directions, places)
    if by == "groups":
        # No factorisation of this rank is better than the one of singular values.
        singular = np.linalg.svd(maps.reshape(len(maps), -1), compute_uv=False)
        best = np.sqrt((singular[count:] ** 2).sum())
        assert best * (1 - 1e-9) <= np.linalg.norm(made - maps) <= 1.5 * best
    else:
        chosen = places.sum(axis=0) > 0
        np.testing.assert_allclose(made[:, chosen], maps[:, chosen])
        assert np.linalg.norm(maps[:, ~chosen], axis=0).max() <= np.linalg.norm(maps[:, chosen], axis=0).min()


def test_a_spectrum_goes_from_the_smallest_to_the_largest(model, digits):
    sheet = xaionnx.show_activations(model, "spectrum", digits, layer=LAYER, channels=(5,), count=5, steps=24)
    means = model.with_outputs([LAYER]).run({model.input().name: digits}, [LAYER])[LAYER][:, 5].mean(axis=(1, 2))
    np.testing.assert_allclose(sheet.numbers["means"][:, 0], means, rtol=1e-5)
    captions = [float(tile.caption.removeprefix("searched ")) for tile in sheet.rows[0].tiles]
    assert captions[1:-1] == sorted(captions[1:-1])
    assert captions[1] == pytest.approx(means.min(), rel=1e-2, abs=1e-3)
    assert captions[-2] == pytest.approx(means.max(), rel=1e-2)
    low, high = sheet.numbers["searched"][0]
    assert low < high


def test_a_spectrum_has_no_searched_end_where_noise_is_the_end(model, digits):
    channel = next(
        k
        for k in range(32)
        if not model.with_outputs([LAYER]).run({"pixels": np.full_like(digits[:1], 0.5)}, [LAYER])[LAYER][0, k].any()
    )
    sheet = xaionnx.show_activations(model, "spectrum", digits, layer=LAYER, channels=(channel,), count=3, steps=8)
    low, high = sheet.numbers["searched"][0]
    assert np.isnan(low)
    assert high > 0
    assert [tile.caption.startswith("searched") for tile in sheet.rows[0].tiles] == [False, False, False, True]
    assert "nothing leads from noise to it" in sheet.reading


def test_an_atlas_holds_every_vector_once_and_says_what_the_model_does(model, digits):
    settings = {"layer": LAYER, "cells": 4, "places": 3, "icons": "data"}
    sheet = xaionnx.show_activations(model, "atlas", digits, **settings)
    assert sheet.numbers["counts"].sum() == 3 * len(digits)
    again = xaionnx.show_activations(model, "atlas", digits, **settings)
    np.testing.assert_array_equal(sheet.numbers["means"], again.numbers["means"])
    # The rest of the model, run on a layer that is the mean everywhere.
    maps, _ = strongest(model, xaionnx.Dataset.of(digits), LAYER, 1)
    rest = maps.layer.downstream([model.output().name])
    captions = [tile.caption for row in sheet.rows for tile in row.tiles if tile.caption]
    constant = np.broadcast_to(sheet.numbers["means"][..., None, None], (len(captions), *maps.shape))
    scores = rest.run({maps.name: constant.astype(np.float32)}, [model.output().name])[model.output().name]
    assert captions == [model.input_spec.label(int(row.argmax())) for row in scores]


def test_searched_icons_point_in_the_direction_of_their_cell(model, digits):
    sheet = xaionnx.show_activations(model, "atlas", digits, layer=LAYER, cells=2, steps=8)
    drawn = [tile for row in sheet.rows for tile in row.tiles if tile.caption]
    assert all(tile.pixels.std() > 5 for tile in drawn)


@pytest.mark.parametrize(
    ("view", "settings", "sentence"),
    [
        ("spectrum", {}, "Name the channels"),
        ("atlas", {}, "at least 20 vectors"),
        ("dictionary", {"classes": ("nine hundred",)}, "nine hundred"),
    ],
)
def test_what_these_views_need(view, settings, sentence, model, digits):
    with pytest.raises(xaionnx.errors.XaionnxError, match=sentence):
        xaionnx.show_activations(model, view, digits[:3], **settings)


def test_one_value_alone_is_carried_back():
    """Nothing but what the unit reads is other than middle gray."""
    x = np.ones((3, 1, 12, 12), np.float32)
    x[1, 0, 4, 4] = 5
    sheet = Patches(layer="spot", channels=(0,), patches=1, share=1.0).show(_spot_model(), xaionnx.Dataset.of(x))
    assert sheet.numbers["places"][0, 0, 0] == 1
    assert sheet.numbers["sides"].tolist() == [3]
    read = sheet.rows[0].tiles[0].pixels
    assert (read == 255).all()


def test_colours_of_filters_lie_around_middle_gray(tmp_path):
    from onnx import TensorProto, helper

    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[0, 0], weights[1, 2, 0, 0] = -0.5, 2.0
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2, 7, 7])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = planted.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    cyan, blue = (tile.pixels for tile in xaionnx.show_activations(model, "filters", layer="z").rows[0].tiles)
    assert cyan[0, 0].tolist() == [0, 128, 128]
    assert blue[0, 0].tolist() == [128, 128, 255]
    assert blue[1, 1].tolist() == [128, 128, 128]


def test_units_without_a_place_have_patches_of_the_whole_picture(model, digits):
    sheet = xaionnx.show_activations(model, "patches", digits, layer="logits", channels=(7,), patches=4)
    order = np.argsort(-model.run({model.input().name: digits})["logits"][:, 7], kind="stable")[:4]
    assert sheet.numbers["places"][0, :, 0].tolist() == order.tolist()
    assert sheet.numbers["sides"][0] > 14


def test_each_entry_has_an_icon_of_its_own(model, digits):
    sheet = xaionnx.show_activations(model, "dictionary", digits[4:5], layer=LAYER, count=3, steps=12)
    icons = [row.tiles[0].pixels for row in sheet.rows]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(icons, 2))
    assert re.search(r"what it adds to the score of \d and of \d, by the gradient", sheet.reading)
