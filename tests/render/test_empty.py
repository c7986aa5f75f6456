"""Maps without colour: captions say what that means, and how to show the hidden values."""

import typing

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.explanation import ValueKind
from xaionnx.render import captions, readings
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, pixel_map
from xaionnx.render.painting import Look
from xaionnx.render.readings import Drawn, shared_reading
from xaionnx.render.value_kinds import SENSES

LEFT_OUT = "Negative values are left out; relu=False, or --no-relu, shows them too."


def told(values=0.0, value_kind="hindrance", **parameters):
    provenance = {"value_kind": value_kind, "parameters": parameters}
    return Explanation(
        "counterfactual_cam",
        np.full((1, 1, 8, 8), values),
        np.array(["cat (3)"]),
        np.array([2.0]),
        diagnostics={"evaluations": [1]},
        provenance=provenance,
    )


def read(one, sign="auto"):
    found = pixel_map(one, Extent(8, 8))
    return readings.reading(one, scale_of(found.values, sign, 99, "overlay"), found)


def test_a_caption_says_that_nothing_speaks_against_the_class():
    expected = "No part lowers the prediction: every value is zero, so nothing is coloured."
    assert read(told(relu=True)).startswith(f"{expected} {LEFT_OUT}")
    assert "relu" not in read(told(relu=False))
    assert "relu" not in read(told())
    assert "redder" not in read(told(relu=True))


def test_a_map_below_zero_drawn_by_what_is_above_says_so():
    said = read(told(-1.0, "contribution", relu=False), "positive")
    assert said.startswith("No part raises the prediction: no value is above zero, so nothing is coloured.")
    # No such caption if there is something to see.
    assert "No part" not in read(told(-1.0, "contribution", relu=False))
    assert "No part" not in read(told(1.0, "contribution", relu=True))


@pytest.mark.parametrize("value_kind", typing.get_args(ValueKind))
def test_every_meaning_says_in_words_of_its_own_what_nothing_means(value_kind):
    assert read(told(value_kind=value_kind)).startswith(f"{SENSES[value_kind].nothing}: every value is zero")
    assert [words.nothing for words in SENSES.values()].count(SENSES[value_kind].nothing) == 1
    assert SENSES[value_kind].nothing[0].isupper()


def test_a_sheet_tells_how_to_see_what_its_empty_panels_leave_out():
    def line(one):
        found = pixel_map(one, Extent(8, 8))
        return shared_reading([Drawn("a", one, scale_of(found.values, "auto", 99, "sheet"), found)], 99, Look())[-1]

    assert f"A picture without colours has no positive value to show. {LEFT_OUT}" in line(told(relu=True))
    assert "left out" not in line(told())
    assert "without colours" not in line(told(1.0, relu=True))


def test_bars_of_nothing_say_so(monkeypatch):
    from xaionnx.render import bar_chart

    said = []
    whole = bar_chart.page.whole
    monkeypatch.setattr(bar_chart.page, "whole", lambda *given: said.append(given[4].notes[0]) or whole(*given))
    for row in (np.zeros((1, 3)), np.ones((1, 3))):
        one = Explanation("a", row, np.array(["good"]), np.array([1.0]), provenance={"value_kind": "contribution"})
        render.bars(one)
    assert said[0] == "No part raises the prediction: every value is zero."
    assert said[1].startswith("The longer the bar of a feature")


def test_one_evaluation_is_no_plural():
    assert "1 evaluation\N{NO-BREAK SPACE}" in captions.made_by(told()) + "\N{NO-BREAK SPACE}"
