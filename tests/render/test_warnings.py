"""Warnings of a result are above its picture, in bold on amber; pictures without warnings have no amber."""

import numpy as np
import pytest

from tests.render.figures import listen
from xaionnx import Explanation, render
from xaionnx.caveats import Caveat
from xaionnx.render import page
from xaionnx.render.themes import LIGHT, THEMES

PHOTO = np.full((40, 40, 3), 90, np.uint8)
MAPS = {"drop": np.array([[[0.0, 2.0], [1.0, -1.0]]])}


def result(shape, share, **more):
    told = {"relative_gap": [share], "completeness_gap": [2 * share]}
    values = np.random.default_rng(0).normal(size=(1, *shape))
    return Explanation("occlusion", values, np.array(["cat (3)"]), np.array([2.0]), diagnostics=told, **more)


def amber(image):
    return np.asarray((np.asarray(image) == np.array(THEMES["light"].warning_paper, np.uint8)).all(axis=2))


DRAWN = {
    "overlay": lambda share: render.overlay(result((1, 40, 40), share), PHOTO),
    "sheet": lambda share: render.sheet([result((1, 40, 40), share)], PHOTO, side=300),
    "series": lambda share: render.series(result((2, 40), share), np.zeros((2, 40))),
    "bars": lambda share: render.bars(result((5,), share)),
    "positions": lambda share: render.positions(result((1, 4, 4), share, maps=MAPS)),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_a_gap_of_everything_is_seen_in_every_kind_of_picture(kind):
    drawn = DRAWN[kind]
    band = amber(drawn(1.0))
    assert band.mean() > 0.01
    # In the upper half of the picture without its caption, so that it is read before the map.
    assert np.flatnonzero(band.any(axis=1))[0] < 0.3 * len(band)
    assert amber(drawn(0.0)).sum() == 0


def test_the_band_holds_finding_and_advice(monkeypatch):
    said, text = [], page.text_block
    monkeypatch.setattr(
        page,
        "text_block",
        lambda style, lines, *of, **how: said.append((lines[0], how.get("bold"))) or text(style, lines, *of, **how),
    )
    band = page.warning_band(LIGHT, [Caveat("It is off.", "Mend it.")], 300, 16)
    assert said == [("It is off.", True), ("Mend it.", False)]
    assert band.size == (300, band.height)
    assert page.warning_band(LIGHT, [], 300, 16).height == 0


def test_the_advice_stands_beneath_a_sheet_once_a_method(monkeypatch):
    said = listen(monkeypatch)
    both = [result((1, 40, 40), 1.0), result((1, 40, 40), 0.5)]
    render.sheet(both, PHOTO, side=100)
    assert [line for line in said if line.startswith("occlusion: ")] == [
        "occlusion: Compare with integrated_gradients, whose steps close the gap."
    ]
