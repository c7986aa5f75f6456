"""The overlay: colours at the values, the photo elsewhere, and a caption."""

import dataclasses
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from xaionnx import Explanation, render
from xaionnx.data.display import Display
from xaionnx.errors import DataError, ParameterError, UnknownNameError
from xaionnx.render import captions, headings, readings, settings
from xaionnx.render.maps import Extent, explained_box, one_sample, pixel_map
from xaionnx.render.page import text_size
from xaionnx.render.painting import framed

SIDE = 60
HOT = (slice(12, 30), slice(20, 40))


def explanation(values, **further):
    values = np.asarray(values, np.float64)
    n = len(values)
    target = np.array(["cat (3)"] * n)
    return Explanation("occlusion", values, target, np.linspace(2.5, 3.5, n), **further)


def planted(low=0.0, high=2.0):
    values = np.full((1, 3, SIDE, SIDE), low)
    values[(0, slice(None), *HOT)] = high
    return explanation(values)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def drawn(image, photo, inside=None):
    """The area of the photo in the page, found by the photo's own pixels."""
    page = np.asarray(image)
    height, width = photo.shape[:2]
    left = text_size(width)
    for top in range(page.shape[0] - height):
        if np.array_equal(page[top, left : left + 10], photo[0, :10]):
            return page[top : top + height, left : left + width]
    raise AssertionError("the photo is not on the page")


def test_hot_region_is_red_and_the_rest_is_the_photo(photo):
    area = drawn(render.overlay(planted(), photo, background="photo", zoom=1), photo)
    hot = np.zeros((SIDE, SIDE), bool)
    hot[HOT] = True
    assert np.array_equal(area[~hot], photo[~hot])
    red, green, blue = area[hot].astype(int).T
    assert (red > green + 80).all()
    assert (red > blue + 60).all()


def test_grey_background_has_no_colour_but_the_heat(photo):
    photo[0] = 200  # grey, so that the area can be found
    faded = np.full(10, round(64 + 200 * (1 - 64 / 255)), np.uint8)
    image = render.overlay(planted(), photo, zoom=1)
    top_row = np.repeat(faded[:, None], 3, axis=1)
    area = drawn(image, np.concatenate([top_row[None].repeat(6, 1), photo[1:]]))
    hot = np.zeros((SIDE, SIDE), bool)
    hot[HOT] = True
    spread = area.max(axis=2).astype(int) - area.min(axis=2)
    assert (spread[~hot] == 0).all()
    assert (spread[hot] > 60).all()


def test_signed_values_of_equal_size_are_equally_strong_red_and_blue():
    values = np.zeros((1, 1, SIDE, SIDE))
    values[0, 0, 5:15, 5:15], values[0, 0, 30:40, 30:40] = 1.0, -1.0
    values[0, 0, 45:50, 45:50] = 4.0
    pale = np.full((SIDE, SIDE, 3), 250, np.uint8)
    area = drawn(render.overlay(explanation(values), pale, background="photo", zoom=1, percentile=98.0), pale)
    up, down = area[10, 10].astype(int), area[35, 35].astype(int)
    assert up[0] > up[2] + 60
    assert down[2] > down[0] + 60
    again = drawn(render.overlay(explanation(-values), pale, background="photo", zoom=1, percentile=98.0), pale)
    assert np.array_equal(again[35, 35], area[10, 10])
    assert np.array_equal(again[10, 10], area[35, 35])


def test_positive_leaves_out_what_is_below_zero(photo):
    values = np.zeros((1, 1, SIDE, SIDE))
    values[(0, 0, *HOT)] = 1.0
    values[0, 0, 45:, 45:] = -5.0
    area = drawn(render.overlay(explanation(values), photo, sign="positive", background="photo", zoom=1), photo)
    assert np.array_equal(area[45:, 45:], photo[45:, 45:])
    assert not np.array_equal(area[HOT], photo[HOT])


def test_absolute_paints_both_signs_alike():
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    values = np.zeros((1, 1, SIDE, SIDE))
    values[0, 0, 5:15, 5:15], values[0, 0, 30:40, 30:40] = 1.0, -1.0
    area = drawn(render.overlay(explanation(values), grey, sign="absolute", background="photo", zoom=1), grey)
    assert np.array_equal(area[10, 10], area[35, 35])
    assert not np.array_equal(area[10, 10], grey[10, 10])


@pytest.mark.parametrize("sign", ["auto", "signed", "positive", "absolute"])
def test_all_zero_shows_the_photo_alone(photo, sign):
    image = render.overlay(explanation(np.zeros((1, 3, SIDE, SIDE))), photo, sign=sign, background="photo", zoom=1)
    assert np.array_equal(drawn(image, photo), photo)


def test_a_single_value_colours_everything_alike():
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    page = np.asarray(render.overlay(explanation(np.full((1, 1, SIDE, SIDE), 3.0)), grey, zoom=1)).reshape(-1, 3)
    reds, counts = np.unique(page[page[:, 0].astype(int) > page[:, 2].astype(int) + 60], axis=0, return_counts=True)
    assert counts.max() >= SIDE * SIDE
    assert len(reds) < 80  # otherwise only the colour bar would change


def test_channels_first_and_last_make_the_same_picture(photo):
    values = np.random.default_rng(1).normal(size=(1, 3, SIDE, SIDE))
    first = render.overlay(explanation(values), photo)
    last = render.overlay(explanation(np.moveaxis(values, 1, -1)), photo)
    assert first.tobytes() == last.tobytes()


def test_equal_calls_make_equal_bytes(photo):
    calls = [render.overlay(planted(-1.0), photo, original=True).tobytes() for _ in range(2)]
    assert calls[0] == calls[1]


def test_a_saved_explanation_makes_the_same_picture(photo, tmp_path):
    one = explanation(
        np.random.default_rng(1).normal(size=(1, 3, SIDE, SIDE)),
        diagnostics={"evaluations": [17]},
        provenance={"parameters": {"window": 8, "stride": 4, "baseline": None}, "model": "net.onnx"},
    )
    again = Explanation.load(one.save(tmp_path / "e.npz"))
    assert render.overlay(one, photo).tobytes() == render.overlay(again, photo).tobytes()


def test_the_right_sample_and_target_are_drawn(photo):
    values = np.zeros((2, 3, 1, SIDE, SIDE))
    values[(1, 2, 0, *HOT)] = 1.0
    several = Explanation("occlusion", values, np.array([["a", "b", "c"], ["d", "e", "f"]]), np.zeros((2, 3)))
    photos = np.stack([photo, photo[::-1], photo[:, ::-1]])
    area = drawn(render.overlay(several, photos, sample=2, target=1, background="photo", zoom=1), photos[2])
    assert not np.array_equal(area[HOT], photos[2][HOT])
    empty = drawn(render.overlay(several, photos, sample=1, target=1, background="photo", zoom=1), photos[1])
    assert np.array_equal(empty, photos[1])


@pytest.mark.parametrize(("side", "least", "most"), [(8, 400, 450), (28, 400, 450), (224, 448, 540), (900, 900, 1100)])
def test_small_pictures_are_enlarged_and_large_ones_kept(side, least, most):
    image = render.overlay(explanation(np.ones((1, 1, side, side))), np.zeros((side, side, 3), np.uint8))
    assert least <= image.width - 2 * text_size(image.width) < most + 100
    assert image.width >= least


def test_a_long_picture_is_enlarged_to_2000_pixels_at_most():
    image = render.overlay(explanation(np.ones((1, 1, 30, 900))), np.zeros((30, 900, 3), np.uint8))
    assert 1800 < image.width < 2200


def test_digits_are_enlarged_without_blur():
    digit = np.zeros((28, 28, 3), np.uint8)
    digit[5:20, 12:16] = 255
    page = np.asarray(render.overlay(explanation(np.zeros((1, 1, 28, 28))), digit, background="photo"))
    big = digit.repeat(15, axis=0).repeat(15, axis=1)
    left = text_size(420)
    tops = [t for t in range(page.shape[0] - 420) if np.array_equal(page[t : t + 420, left : left + 420], big)]
    assert len(tops) == 1


def test_a_map_is_enlarged_to_a_larger_photo_of_its_aspect():
    values = np.zeros((1, 1, 30, 40))
    values[0, 0, 10, 20] = 1.0
    photo = np.full((90, 120, 3), 250, np.uint8)
    area = drawn(render.overlay(explanation(values), photo, background="photo", zoom=1), photo)
    coloured = (area != 250).any(axis=2)
    expected = np.zeros((90, 120), bool)
    expected[30:33, 60:63] = True
    assert np.array_equal(coloured, expected)


def test_original_puts_the_photo_at_the_left(photo):
    alone = render.overlay(planted(), photo, background="photo", zoom=1)
    both = render.overlay(planted(), photo, background="photo", zoom=1, original=True)
    assert both.width > alone.width + SIDE
    assert np.array_equal(drawn(both, photo), photo)


def test_every_pixel_of_the_page_is_legible_in_size():
    small = render.overlay(explanation(np.ones((1, 1, 224, 224))), np.zeros((224, 224, 3), np.uint8))
    large = render.overlay(explanation(np.ones((1, 1, 200, 200))), np.zeros((2000, 2000, 3), np.uint8))
    assert text_size(224) >= 14
    # On a page ten times as large, the text takes about the same share.
    assert abs(large.height / large.width - small.height / small.width) < 0.25
    assert text_size(2000) == 62


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": 1}, "The 'sample' parameter of overlay must be an int in [0, 0]. Got 1 instead."),
        ({"sample": -1}, "The 'sample' parameter of overlay must be an int in [0, 0]. Got -1 instead."),
        ({"target": 2}, "The 'target' parameter of overlay must be an int in [0, 0]. Got 2 instead."),
        ({"sign": "up"}, "The 'sign' parameter of overlay must be one of 'auto', 'signed', 'positive', 'absolute'. "
         "Got 'up' instead."),
        ({"percentile": 20}, "The 'percentile' parameter of overlay must be a float in [50, 100]. Got 20 instead."),
        ({"alpha": 0}, "The 'alpha' parameter of overlay must be a float in (0, 1]. Got 0 instead."),
        ({"background": "red"}, "The 'background' parameter of overlay must be one of 'grey', 'photo'. "
         "Got 'red' instead."),
        ({"zoom": 0}, "The 'zoom' parameter of overlay must be an int in [1, inf) or None. Got 0 instead."),
        ({"top": 2.5}, "The 'top' parameter of overlay must be an int in [1, inf), a share of the picture in (0, 1), "
         "or None. Got 2.5 instead."),
        ({"original": 1}, "The 'original' parameter of overlay must be True, False, 'beside' or 'inset'. "
         "Got 1 instead."),
        ({"top": 3}, "The 'top' parameter of overlay needs a method that worked on features, one player per pixel. "
         "Explain with features='superpixels', or leave it out."),
        ({"boundaries": True}, "The 'boundaries' parameter of overlay needs a method that worked on features, one "
         "player per pixel. Explain with features='superpixels', or leave it out."),
    ],
)  # fmt: skip
def test_parameters_are_refused_in_these_words(photo, change, message):
    with pytest.raises(ParameterError) as caught:
        render.overlay(planted(), photo, **change)
    assert str(caught.value) == message


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(DataError) as caught:
        render.overlay(planted(), np.zeros((50, 70, 3), np.uint8))
    assert str(caught.value) == (
        "The occlusion values have the shape ('N', 3, 60, 60), which does not fit a picture of 50 x 70 pixels (H x W). "
        "Give the model's input picture, or a larger one of the same aspect ratio."
    )


def test_a_side_of_a_stretched_map_is_not_taken_for_its_channels():
    with pytest.raises(DataError, match=r"which does not fit a picture of 50 x 70 pixels"):
        render.overlay(planted(), np.zeros((50, 70, 3), np.uint8), stretched=True)
    # Both (4, 8) and (8, 4) fit a larger picture; the one of the picture's own size is chosen.
    both = np.arange(8 * 4 * 8, dtype=float).reshape(1, 8, 4, 8)
    np.testing.assert_array_equal(pixel_map(explanation(both), Extent(4, 8, True)).values, both[0].sum(axis=0))


def test_values_of_a_table_are_refused():
    with pytest.raises(DataError) as caught:
        render.overlay(explanation(np.ones((1, 20))), np.zeros((50, 70, 3), np.uint8))
    assert str(caught.value) == (
        "The occlusion values have the shape ('N', 20), which is not a map over a picture. "
        "Use render.bars for columns, features and players."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(photo, bad):
    one = planted()
    one.values[0, 1, 3, 3] = bad
    with pytest.raises(DataError) as caught:
        render.overlay(one, photo)
    assert str(caught.value) == (
        "The occlusion values hold NaN or infinity at 1 of 10800 elements and cannot be drawn. "
        "Explain the sample again, or drop it."
    )


@pytest.mark.parametrize(
    "picture", [np.zeros((SIDE, SIDE, 3)), np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE, 4), np.uint8)]
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(DataError) as caught:
        render.overlay(planted(), picture)
    assert str(caught.value) == (
        "The picture must be a uint8 array (H, W, 3), or (N, H, W, 3) for N samples. "
        f"Got {picture.shape} {picture.dtype} instead; InputSpec.to_pictures makes one from a model's tensor."
    )


def test_another_number_of_pictures_is_refused(photo):
    with pytest.raises(DataError) as caught:
        render.overlay(planted(), np.stack([photo, photo]))
    assert str(caught.value) == "There are 2 pictures for an explanation of 1 sample. Give one picture per sample."


def test_of_several_inputs_the_one_that_fits_is_drawn(photo):
    picture = planted().values
    both = explanation(picture)
    both = Explanation("lime", {"image": picture, "age": np.ones((1, 1))}, both.target, both.prediction)
    assert render.overlay(both, photo).tobytes() == render.overlay(both, photo, input="image").tobytes()
    with pytest.raises(UnknownNameError, match=r"No input named 'imag'\. Nearest: image, age\."):
        render.overlay(both, photo, input="imag")
    twice = Explanation("lime", {"left": picture, "right": picture}, both.target, both.prediction)
    with pytest.raises(ParameterError, match="values for left, right, and 2 of them fit the picture"):
        render.overlay(twice, photo)


def test_the_caption_names_method_baseline_and_evaluations():
    one = explanation(
        np.ones((2, 1, 4, 4)),
        diagnostics={"evaluations": [17, 19], "r2": [[0.9], [0.6]]},
        provenance={
            "parameters": {"window": [8, 4], "stride": 4, "baseline": {"kind": "Blur", "sigma": 10.0}, "seed": 0},
            "model": "net.onnx",
        },
    )
    said = captions.made_by(one.sample(1)).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "occlusion · stride 4 · window 8 x 4 · baseline blur 10 · 19 evaluations · R² 0.6 · net.onnx"
    assert headings.class_and_score(one.sample(1)) == "cat (3) · score 3.5"
    asked = dataclasses.replace(
        one.sample(1), target=np.array(["similarity to cat (3)"]), provenance={"quantity": "similarity"}
    )
    assert headings.class_and_score(asked) == "similarity to cat (3): 3.5"


@pytest.mark.parametrize(("gaps", "tolerance", "words_of_it"), [
    ([0.2, 0.00934], None, "gap 0.93 % of the change, 64 steps"),
    ([0.2, 1.4], None, "gap 140 % of the change, 64 steps"),
    ([0.2, 0.009], 0.01, "gap 0.9 % of the change, 64 steps"),
    ([0.2, 0.29], 0.01, "gap 29 % of the change, above the tolerance of 1 %, 64 steps"),
    ([0.2, np.inf], 0.01, "gap without a change, above the tolerance of 1 %, 64 steps"),
])  # fmt: skip
def test_the_caption_tells_the_gap_of_a_path(gaps, tolerance, words_of_it):
    one = explanation(
        np.ones((2, 1, 4, 4)),
        diagnostics={"evaluations": [66, 66], "relative_gap": gaps, "steps": [32, 64]},
        provenance={"parameters": {"rule": "middle", "steps": 8, "max_steps": 64, "tolerance": tolerance}},
    )
    said = captions.made_by(one.sample(1)).replace("\N{NO-BREAK SPACE}", " ")
    assert said == f"occlusion · rule middle · 66 evaluations · {words_of_it}"


def test_the_caption_names_the_method_inside_another():
    for kind, name in {"InputXGradient": "input x gradient", "BlurIG": "blur ig", "Lime": "lime"}.items():
        one = explanation(np.ones((1, 1, 4, 4)), provenance={"parameters": {"draws": 3, "inner": {"kind": kind}}})
        assert settings.facts(one.sample(0)) == ["draws 3", f"method {name}"]


def test_the_caption_says_what_joined_the_channels():
    one = one_sample(explanation(np.random.default_rng(0).normal(size=(1, 3, 9, 9))), 0, 0, "overlay")
    from xaionnx.render.colours import scale_of

    found = pixel_map(one, Extent(9, 9))
    said = readings.reading(one, scale_of(found.values, "absolute", 99, "overlay"), found)
    assert said.endswith("Values are summed over the colour channels, then stripped of their sign.")


def test_the_result_is_an_rgb_image(photo):
    image = render.overlay(planted(), photo, title="A title that is so long that it has to be broken " * 4)
    assert isinstance(image, Image.Image)
    assert image.mode == "RGB"


def test_rendering_is_imported_without_matplotlib():
    code = "import sys, xaionnx.render; sys.exit('matplotlib' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_the_explained_box_is_framed_where_it_is():
    shown = {"x": Display("picture", np.full((1, 20, 40, 3), 128, np.uint8), size=(20, 40))}
    result = Explanation(
        "rise",
        np.zeros((1, 1, 20, 40), np.float32),
        np.array(["dog"]),
        np.array([1.0]),
        display=shown,
        diagnostics={"box": [[10.0, 5.0, 30.0, 15.0]]},
    )
    drawn = framed(np.full((200, 400, 3), 128, np.uint8), explained_box(result))
    changed = np.argwhere((drawn != 128).any(axis=2))
    assert changed.min(axis=0).tolist() == [50, 100]
    assert changed.max(axis=0).tolist() == [150, 300]
    # White between black, and nothing inside.
    assert [drawn[100, x, 0] for x in (100, 101, 102, 103)] == [0, 255, 0, 128]
    with_box = np.asarray(render.overlay(result, np.full((200, 400, 3), 128, np.uint8)))
    without = np.asarray(render.overlay(replace(result, diagnostics={}), np.full((200, 400, 3), 128, np.uint8)))
    assert (with_box != without).any()


def test_a_box_beyond_the_picture_is_framed_inside_it():
    drawn = framed(np.full((50, 50, 3), 128, np.uint8), (-0.5, 0.2, 1.5, 0.6))
    assert (drawn[10:30, 0] == 0).all()
    assert (drawn[40:] == 128).all()
