"""Public reports about pictures of explanations, tried here.

The log is pictures.toml.
"""

import dataclasses

import matplotlib.pyplot
import numpy as np
import pytest
from PIL import Image

from tests.render.figures import Figures, faults, listen, only_fonts, words
from xaionnx import Explanation, render
from xaionnx.data.display import rows_of
from xaionnx.errors import DataError
from xaionnx.render import fonts
from xaionnx.render.themes import LIGHT

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8)


def mapped(values, **further):
    facts = {"value_kind": "contribution"}
    values = np.broadcast_to(np.asarray(values, np.float64), (1, 1, 60, 60))
    return Explanation("grad_cam", values, np.array(["cat (3)"]), np.array([2.5]), provenance=facts, **further)


def rows(names, count=30):
    values = RNG.normal(size=(count, len(names)))
    numbers = RNG.normal(size=values.shape).astype(np.float32)
    base = np.full(count, 0.25)
    return Explanation(
        "kernel_shap",
        values,
        np.array(["good (1)"] * count),
        base + values.sum(axis=1),
        base,
        display={"x": rows_of(numbers, names)},
        provenance={"value_kind": "contribution"},
    )


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("kind", ["map", "contours", "for_and_against"])
def test_maps_without_values_above_zero_say_so(monkeypatch, value, kind):
    said = listen(monkeypatch)
    render.picture(mapped(value), kind, photo=PHOTO, sign="positive")
    text = " ".join(said)
    assert "nothing is coloured" in text or "No value is above zero." in text


def test_a_map_of_nan_is_refused():
    values = np.zeros((60, 60))
    values[3, 4] = np.nan
    for kind in ("map", "contours", "for_and_against"):
        with pytest.raises(DataError, match="NaN or infinity at 1 of 3600"):
            render.picture(mapped(values), kind, photo=PHOTO)


def test_more_features_than_there_are_are_all_drawn():
    labels = np.repeat(np.arange(3), 20)[:, None].repeat(60, axis=1)[None, None].astype(np.int32)
    players = np.array([[2.0, -1.0, 0.5]])
    one = mapped(players[0][labels[0, 0]], features=labels, feature_values=players)
    images = [np.asarray(render.overlay(one, PHOTO, top=top)) for top in (3, 50)]
    # The captions differ in the number alone.
    height = min(len(image) for image in images) - 120
    np.testing.assert_array_equal(images[0][:height], images[1][:height])


def test_colours_do_not_depend_on_the_unit():
    values = RNG.normal(size=(60, 60))

    def map_of(scale):
        image = np.asarray(render.overlay(mapped(scale * values), PHOTO, boundaries=False, title="a", smooth=0))
        return image[60:400, 30:400]

    np.testing.assert_array_equal(map_of(1.0), map_of(1e-9))
    assert (map_of(1.0) != map_of(-1.0)).any()


def test_targets_share_a_scale(monkeypatch):
    from xaionnx.render import colour_bars

    ends, bar = [], colour_bars.colour_bar
    monkeypatch.setattr(colour_bars, "colour_bar", lambda *given, **how: ends.append(given[2:4]) or bar(*given, **how))
    one = mapped(RNG.normal(size=(60, 60)))
    both = dataclasses.replace(
        one,
        values=np.stack([one.values, 10 * one.values]),
        target=np.array([["cat (3)"], ["dog (4)"]]),
        prediction=np.array([[2.5], [1.0]]),
    )
    render.picture(both, "targets", photo=PHOTO)
    assert len(ends) == 2
    assert len(set(ends)) == 1


def test_positive_alone_is_the_same_without_negative_values():
    one = mapped(np.abs(RNG.normal(size=(60, 60))))
    every, positive = (np.asarray(render.overlay(one, PHOTO, sign=sign)) for sign in ("auto", "positive"))
    np.testing.assert_array_equal(every, positive)


@pytest.mark.parametrize("kind", ["beeswarm", "heatmap", "bar", "waterfall", "force"])
def test_long_and_foreign_names_are_whole(monkeypatch, kind):
    only_fonts(monkeypatch)
    figures = Figures(monkeypatch)
    names = ["a name that goes on and on " * 6, "年収（万円）", "x"]
    rows(names).plot(0 if kind in ("waterfall", "force") else None, kind=kind)
    assert faults(figures.last()) == []
    assert any("□□" in text for text in words(figures.last()))


def test_top_is_the_number_of_features_drawn(monkeypatch):
    figures = Figures(monkeypatch)
    rows([f"column {i}" for i in range(40)]).plot("beeswarm", top=14)
    drawn = words(figures.last())
    assert sum(text.startswith("column ") for text in drawn) == 14
    assert "sum of 26 others" in drawn


def test_a_saved_picture_is_the_one_that_was_drawn(tmp_path):
    one = rows(["a", "b", "c"])
    for kind in ("waterfall", "force"):
        image = one.plot(0, kind=kind)
        with Image.open(render.save(image, tmp_path / f"{kind}.png")) as saved:
            np.testing.assert_array_equal(np.asarray(saved), np.asarray(image))
        assert np.asarray(image).std() > 10
    assert matplotlib.pyplot.get_fignums() == []


def test_the_sum_of_others_is_gray(monkeypatch):
    figures = Figures(monkeypatch)
    rows([f"column {i}" for i in range(10)]).plot("beeswarm", top=3)
    last = [dots for dots in figures.last().axes[0].collections if len(dots.get_offsets()) == 30][-1]
    np.testing.assert_allclose(last.get_facecolors()[:, :3], np.tile(np.array(LIGHT.plain) / 255, (30, 1)), atol=1e-6)


def spot(height, width, top, left, size):
    """Values that are one in a square."""
    values = np.zeros((1, 1, height, width))
    values[..., top : top + size, left : left + size] = 1.0
    return Explanation("saliency", values, np.array(["cat (3)"]), np.array([2.5]), provenance={"value_kind": "slope"})


def red_places(image):
    """The rows and columns of red pixels."""
    pixels = np.asarray(image).astype(int)
    return np.nonzero((pixels[..., 0] > pixels[..., 1] + 60) & (pixels[..., 0] > pixels[..., 2] + 60))


@pytest.mark.parametrize(("height", "width"), [(334, 500), (500, 334)])
def test_the_map_lies_where_its_values_are_on_photos_that_are_no_squares(height, width):
    gray = np.full((height, width, 3), 200, np.uint8)
    one = spot(224, 224, 168, 28, 28)
    page = np.asarray(render.overlay(one, gray, stretched=True, title="a", smooth=0, zoom=1))
    # The colour bar, which is red too, is at the right of the photo.
    rows, columns = red_places(page[:, : 16 + width])
    assert columns.min() == pytest.approx(width / 8 + 15, abs=3)
    assert np.ptp(columns) + 1 == pytest.approx(width / 8, abs=2)
    assert np.ptp(rows) + 1 == pytest.approx(height / 8, abs=2)
    # The photo is all that is gray; the square begins at three quarters of it.
    photo_rows = np.flatnonzero((page[:, 20 : 20 + width // 20].max(axis=2) < 230).all(axis=1))
    assert rows.min() - photo_rows.min() == pytest.approx(0.75 * height, abs=3)


def test_the_largest_values_are_red_whatever_the_photo():
    for photo in (np.full((60, 60, 3), 90, np.uint8), np.zeros((60, 60, 3), np.uint8) + np.uint8([200, 40, 0])):
        one = mapped(np.tile(np.linspace(-1, 1, 60), (60, 1)))
        body = np.asarray(render.overlay(one, photo, title="a", smooth=0)).astype(int)[80:300, 14:400]
        left, right = body[:, :20].mean(axis=(0, 1)), body[:, -20:].mean(axis=(0, 1))
        assert left[2] > left[0] + 60
        assert right[0] > right[2] + 60


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((3, 60, 60), np.uint8), r"\(3, 60, 60\)"),
        (np.zeros((60, 60, 3), np.float32), "uint8"),
        (np.zeros((60, 60), np.uint8), "uint8"),
    ],
)
def test_a_photo_with_channels_first_or_of_floats_is_refused(photo, words):
    with pytest.raises(DataError, match=words):
        render.overlay(mapped(1.0), photo)


@pytest.mark.parametrize(("height", "width"), [(60, 1), (1, 60), (1, 1)])
def test_a_picture_one_pixel_wide_is_drawn(height, width):
    one = Explanation(
        "saliency",
        np.ones((1, 1, height, width)),
        np.array(["cat (3)"]),
        np.ones(1),
        provenance={"value_kind": "slope"},
    )
    image = np.asarray(render.overlay(one, np.full((height, width, 3), 90, np.uint8)))
    assert len(red_places(image)[0]) > height * width


def test_one_segment_over_the_whole_picture_is_drawn_in_one_colour():
    labels = np.zeros((1, 1, 60, 60), np.int32)
    one = mapped(0.99, features=labels, feature_values=np.array([[0.99]]))
    flat = np.full((60, 60, 3), 128, np.uint8)
    body = np.asarray(render.overlay(one, flat, title="a"))[60:400, 20:400]
    assert (body == body[0, 0]).all()
    assert body[0, 0, 0] > int(body[0, 0, 2]) + 60


def test_pictures_of_several_samples_name_the_class_of_each(monkeypatch):
    said = listen(monkeypatch)
    several = Explanation(
        "grad_cam",
        RNG.normal(size=(3, 1, 60, 60)),
        np.array(["cat (3)", "dog (4)", "hen (7)"]),
        np.array([2.5, 1.0, 4.0]),
        provenance={"value_kind": "contribution"},
    )
    render.sheet([several.sample(n) for n in range(3)], PHOTO)
    for name, score in (("cat (3)", "2.5"), ("dog (4)", "1"), ("hen (7)", "4")):
        assert any(name in text for text in said)
        assert any(text.endswith(f"score {score}") for text in said)


def test_a_model_with_one_output_is_drawn_by_every_kind_for_photos(monkeypatch):
    said = listen(monkeypatch)
    one = dataclasses.replace(mapped(RNG.normal(size=(60, 60))), target=np.array(["poisonous"]))
    for kind in ("map", "contours", "for_and_against"):
        render.picture(one, kind, photo=PHOTO)
    assert said.count("poisonous · score 2.5") == 3


def test_colours_of_dots_rise_with_the_values_of_a_feature(monkeypatch):
    figures = Figures(monkeypatch)
    table = rows(["a", "b"], 60)
    table.plot("beeswarm")
    dots = [each for each in figures.last().axes[0].collections if len(each.get_offsets()) == 60]
    order = np.argsort(-np.abs(table.values).mean(axis=0))
    for drawn, column in zip(dots, order, strict=True):
        numbers = dict(zip(table.values[:, column].round(9), table.display["x"].array[:, column], strict=True))
        own = np.array([numbers[x] for x in np.asarray(drawn.get_offsets())[:, 0].round(9)])
        # From dark blue to yellow, both red and green rise.
        brightness = drawn.get_facecolors()[:, 1]
        inside = (own > np.percentile(own, 6)) & (own < np.percentile(own, 94))
        ranked = np.argsort(own[inside])
        assert (np.diff(brightness[inside][ranked]) >= -0.02).all()
        assert brightness[own.argmax()] > brightness[own.argmin()] + 0.5


def test_a_waterfall_counts_the_features_that_it_sums(monkeypatch):
    figures = Figures(monkeypatch)
    for columns, top in ((40, 14), (12, 5)):
        one = rows([f"column {i}" for i in range(columns)])
        one.plot(0, kind="waterfall", top=top)
        drawn = words(figures.last())
        own = sum(text.startswith("column ") for text in drawn)
        assert f"{columns - own} other features" in drawn
        assert own <= top
        assert faults(figures.last()) == []


def test_a_base_value_that_equals_the_prediction_is_written_too(monkeypatch):
    figures = Figures(monkeypatch)
    one = rows(["a", "b"], 1)
    same = dataclasses.replace(one, values=np.array([[1.5, -1.5]]), prediction=np.array([0.25]))
    for kind in ("waterfall", "force"):
        same.plot(0, kind=kind)
        text = " ".join(words(figures.last()))
        assert "base value" in text
        assert "prediction" in text
        assert text.count("0.25") == 2
        assert faults(figures.last()) == []


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("tabby\ncat (3)", "tabby cat (3) · score 2.5"),
        ("tabby\tcat\r\n(3)", "tabby cat (3) · score 2.5"),
        ("", "score 2.5"),
        ("  ", "score 2.5"),
    ],
)
def test_names_of_classes_with_breaks_or_none_head_a_picture(monkeypatch, name, heading):
    lines, write = [], fonts.Face.write

    def written(face, pen, left, top, text, colour):
        lines.append(text)
        write(face, pen, left, top, text, colour)

    monkeypatch.setattr(fonts.Face, "write", written)
    render.overlay(dataclasses.replace(mapped(1.0), target=np.array([name])), PHOTO)
    assert heading in lines


@pytest.mark.parametrize("kind", ["waterfall", "force", "bar"])
def test_as_many_rows_as_columns_have_the_names_of_columns(monkeypatch, kind):
    figures = Figures(monkeypatch)
    names = ["age", "income", "rent"]
    whole = rows(names, 3)
    named = dataclasses.replace(whole, provenance=whole.provenance | {"feature_names": names})
    for one in (whole[1], named[1]):
        one.plot(0, kind=kind)
        text = " ".join(words(figures.last()))
        assert all(name in text for name in names)
