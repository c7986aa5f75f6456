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
