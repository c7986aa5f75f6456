"""The colour scale: its ends, and its labels."""

import numpy as np
import pytest

from xaionnx.render.colour_bars import ticks
from xaionnx.render.colours import heat, scale_of
from xaionnx.render.fonts import Face
from xaionnx.render.page import text_block, wrapped
from xaionnx.render.themes import LIGHT


def scale(values, sign="auto", percentile=99.0):
    return scale_of(np.asarray(values, float), sign, percentile, "overlay")


def test_a_map_with_a_value_below_zero_is_signed_and_symmetric():
    values = np.concatenate([[-5.0], np.linspace(0, 1, 199)])
    found = scale(values, percentile=100)
    assert (found.sign, found.low, found.high) == ("signed", -5.0, 5.0)
    assert found.words == "from −5 to 5, the largest of |value|"
    assert found.strength(np.array([-5.0, 0.0, 2.5])).tolist() == [-1.0, 0.0, 0.5]


def test_the_percentile_of_the_sizes_is_the_end():
    values = np.random.default_rng(0).normal(size=5000)
    found = scale(values, percentile=95)
    assert found.high == np.percentile(np.abs(values), 95)
    assert found.words == f"from −{found.high:.3g} to {found.high:.3g}, the 95th percentile of |value|"
    assert found.beyond


def test_a_few_spots_end_at_the_largest():
    values = np.zeros(10_000)
    values[:5] = [1, 2, 3, 4, 5]
    found = scale(values)
    assert (found.sign, found.low, found.high, found.words) == (
        "positive",
        0,
        5,
        "from 0 to 5, the largest of the values",
    )


def test_a_map_without_zero_starts_at_zero_as_one_with_it_does():
    values = np.linspace(10, 20, 1001)
    assert (scale(values).low, scale(np.append(values, 0.0)).low) == (0, 0)
    assert scale(values).words == "from 0 to 19.9, the 99th percentile of the values"


@pytest.mark.parametrize("least", [10.0, 0.0])
def test_where_order_counts_alone_the_scale_starts_at_the_opposite_percentile(least):
    values = np.append(np.linspace(10, 20, 1001), least)
    found = scale_of(values, "auto", 99.0, "overlay", from_zero=False)
    assert found.low == np.percentile(values, 1)
    assert found.words == "from 10.1, the 1st percentile, to 19.9, the 99th percentile of the values"
    assert found.strength(np.array([10.0, 15.0, 20.0])).tolist() == pytest.approx([0, 0.5, 1], abs=1e-2)


def test_one_value_everywhere_counts_from_zero():
    found = scale(np.full(9, 3.0))
    assert (found.low, found.high) == (0, 3)
    assert found.strength(np.full(2, 3.0)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("values", "sign", "said"),
    [
        (np.zeros(9), "auto", "every value is zero, so nothing is coloured"),
        (np.full(9, -1.0), "positive", "no value is above zero, so nothing is coloured"),
    ],
)
def test_nothing_to_colour_is_said(values, sign, said):
    found = scale(values, sign)
    assert found.empty
    assert found.words == said
    assert (found.strength(values) == 0).all()


@pytest.mark.parametrize("sign", ["signed", "positive"])
def test_heat_is_transparent_at_zero_and_grows(sign):
    strength = np.linspace(0, 1, 50)
    colours, opacity = heat(strength, sign, 0.8)
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] == np.float32(0.8)
    assert colours.min() >= 0
    assert colours.max() <= 255


def test_the_sequential_colours_darken_steadily():
    colours, _ = heat(np.linspace(0, 1, 60), "positive", 1.0)
    luminance = (colours / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) < 1e-4).all()
    assert luminance[0] > 5 * luminance[-1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2.31, 2.31), (0.1234, 0.1239), (-3e-9, 3e-9), (0, 123456)])
def test_ticks_are_round_and_inside(low, high):
    marks = ticks(low, high, 5)
    assert 2 <= len(marks) <= 6
    assert all(low - 1e-12 <= mark <= high + 1e-12 for mark in marks)
    steps = np.diff(marks)
    assert np.allclose(steps, steps[0], rtol=1e-6)


def test_lines_fit_and_keep_every_word():
    face = Face(14)
    text = "one two three " * 12 + "averyveryverylongwordthatfitsnowhereatall" * 3
    lines = wrapped(text, face, 150)
    assert all(face.width(line) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_no_text_takes_no_height():
    assert text_block(LIGHT, [""], 100, 14).height == 0


def test_memory_that_runs_out_inside_matplotlib_is_told_as_such(monkeypatch):
    from matplotlib import colormaps

    from xaionnx.render.colours import sequential

    def fail(*_):
        raise TypeError("data must be convertible to an array") from MemoryError("an array does not fit")

    monkeypatch.setattr(type(colormaps["afmhot"]), "__call__", fail)
    with pytest.raises(MemoryError, match="an array does not fit"):
        sequential("afmhot")
