"""Layers as maps over the picture, or as one number for each channel, token or unit."""

import numpy as np
import pytest

from tests.tolerances import Tolerance, assert_close
from xaionnx import Explanation, render
from xaionnx.errors import DataError
from xaionnx.render import captions, readings
from xaionnx.render.colours import scale_of
from xaionnx.render.layers import Layer, layer_of, over_picture, parts
from xaionnx.render.maps import Extent, pixel_map
from xaionnx.render.painting import Look


def explained(values, axes, grid=None, before=0, method="conductance", value_kind="contribution"):
    told = {"layer": {"name": "/a_b/c", "axes": axes, "grid": grid, "before": before},
            "parameters": {"layer": "/a_b/c"}, "value_kind": value_kind}  # fmt: skip
    return Explanation(method, values, np.array(["3 (3)"]), np.array([2.0]), provenance=told)


def bilinear(small, height, width):
    """Bilinear interpolation between the centres of the four nearest cells; constant beyond the outermost centres."""
    places = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip((height, width), small.shape, strict=True)]
    low = [np.clip(np.floor(p).astype(int), 0, m - 1) for p, m in zip(places, small.shape, strict=True)]
    high = [np.clip(np.floor(p).astype(int) + 1, 0, m - 1) for p, m in zip(places, small.shape, strict=True)]
    share = [p - np.floor(p) for p in places]
    rows = small[low[0]] * (1 - share[0])[:, None] + small[high[0]] * share[0][:, None]
    return rows[:, low[1]] * (1 - share[1]) + rows[:, high[1]] * share[1]


@pytest.mark.parametrize("axes", ["CHW", "HWC"])
def test_channels_are_summed_and_the_map_is_enlarged_between_the_centres_of_its_cells(axes, rng):
    values = rng.normal(size=(5, 3, 4)).astype(np.float32)
    given = values if axes == "CHW" else np.moveaxis(values, 0, 2)
    one = explained(given[None], axes)
    found = pixel_map(one, Extent(24, 20))
    assert_close(found.values, bilinear(values.sum(axis=0), 24, 20), Tolerance.ORDER_ONE)
    assert found.note == (
        "The values of the layer's 5 channels are summed at 3 x 4 positions and upsampled to the picture bilinearly."
    )
    scale = scale_of(found.values, "auto", 99, "overlay")
    assert readings.reading(one, scale, found).endswith(found.note)
    single = pixel_map(explained(values[None, :1], "CHW"), Extent(24, 20))
    assert single.note.startswith("The values of the layer's channel are taken at 3 x 4 positions")


def test_values_that_are_the_same_for_all_channels_are_taken_once(rng):
    """Those of methods that remove positions: their sum would count a drop once for each channel."""
    drops = rng.normal(size=(3, 4)).astype(np.float32)
    found = pixel_map(explained(np.tile(drops, (1, 5, 1, 1)), "CHW", method="occlusion"), Extent(24, 20))
    assert_close(found.values, bilinear(drops, 24, 20), Tolerance.ORDER_ONE)
    assert found.note.startswith("The values of the layer's 5 channels are the same, taken once, at 3 x 4 positions")
    at_columns, names, note = parts(np.tile(drops[0][:, None], (1, 5)), Layer("h", "WC", None, 0))
    assert_close(at_columns, drops[0], Tolerance.ORDER_ONE)
    assert names == ["position 0", "position 1", "position 2", "position 3"]
    assert note == "The values of a position are the same for all channels."
    assert parts(np.zeros((4, 5)), Layer("h", "WC", None, 0))[1][0] == "channel 0"


def test_patches_lie_where_they_were_cut_and_the_token_before_them_is_told(rng):
    values = rng.normal(size=(7, 8))
    found = pixel_map(explained(values[None], "TD", [2, 3], 1), Extent(8, 12))
    assert_close(found.values, bilinear(values[1:].sum(axis=1).reshape(2, 3), 8, 12), Tolerance.ORDER_ONE)
    assert f"The token before them, {values[0].sum():.3g}".replace("-", "−") in found.note
    _, note = over_picture(values[1:], Layer("h", "TD", (2, 3), 0), 8, 12)
    assert note.endswith("bilinearly.")


def test_parts_of_a_layer(rng):
    values = rng.normal(size=(2, 3, 4))
    for axes, expected, first in (
        ("CHW", values.sum(axis=(1, 2)), "channel 0"),
        ("HWC", values.sum(axis=(0, 1)), "channel 0"),
        ("---", values.reshape(-1), "unit 0, 0, 0"),
    ):
        found, names, _ = parts(values, Layer("h", axes, None, 0))
        assert_close(found, expected, Tolerance.OPERATIONS)
        assert (names[0], len(names)) == (first, len(expected))
    tokens, names, note = parts(values[0], Layer("h", "TD", None, 0))
    assert_close(tokens, values[0].sum(axis=1), Tolerance.OPERATIONS)
    assert (names, note) == (["token 0", "token 1", "token 2"], "The 4 values of each token are summed.")
    assert parts(values[0, 0], Layer("h", "F", None, 0))[1] == ["unit 0", "unit 1", "unit 2", "unit 3"]


def test_what_lies_over_a_picture():
    values = np.zeros((1, 4, 4))
    assert render.covers_picture(Explanation("occlusion", values, np.array(["3"]), np.array([1.0])))
    assert render.covers_picture(explained(values, "TD", [2, 2]))
    assert not render.covers_picture(explained(values, "TD"))
    assert layer_of(explained(values, "TD", [2, 2])) == Layer("/a_b/c", "TD", (2, 2), 0)


def test_the_caption_names_the_layer_as_the_model_does():
    assert captions.made_by(explained(np.zeros((1, 3)), "F").sample(0)).startswith(
        "conductance\N{NO-BREAK SPACE}· layer /a_b/c"
    )


def test_bars_of_channels_take_names_of_channels(rng):
    values = rng.normal(size=(1, 3, 4, 4))
    drawn = render.bars(explained(values, "CHW"), ["red", "green", "blue"])
    assert drawn.tobytes() != render.bars(explained(values, "CHW")).tobytes()
    with pytest.raises(DataError, match=r"There are 2 names for 3 channels. Give one name to each."):
        render.bars(explained(values, "CHW"), ["a", "b"])


def test_a_sheet_holds_layers_beside_inputs(rng):
    values = rng.normal(size=(1, 1, 8, 8))
    plain = Explanation("occlusion", values, np.array(["3 (3)"]), np.array([2.0]))
    photo = np.full((8, 8, 3), 90, np.uint8)
    both = render.sheet([plain, explained(rng.normal(size=(1, 5, 2, 2)), "CHW")], photo, side=100)
    assert both.width > 3 * 100
    layer = explained(rng.normal(size=(1, 5, 2, 2)), "CHW")
    found = pixel_map(layer, Extent(8, 8))
    said = readings.shared_reading(
        [readings.Drawn("a", layer, scale_of(found.values, "auto", 99, "sheet"), found)], 99, Look()
    )
    assert said[-1].endswith("upsampled to the picture bilinearly.")
