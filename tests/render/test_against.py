"""The classes that a target was compared with, in captions."""

import numpy as np
import pytest

from tests.render.figures import listen
from xaionnx import Explanation, render
from xaionnx.render import captions, contact_sheet


@pytest.fixture
def compared():
    return Explanation(
        "contrast_cam",
        np.random.default_rng(0).normal(size=(2, 2, 1, 8, 8)),
        np.array([["cat (3)", "cat (3)"], ["dog (4)", "dog (4)"]]),
        np.ones((2, 2)),
        diagnostics={"against": [["doormat (539)", "rug (5)"], ["lynx (287)", "mat (6)"]]},
        provenance={"value_kind": "contrast"},
    )


def test_the_caption_of_a_sample_and_target_names_its_own(compared):
    said = captions.made_by(compared.sample(1, 0)).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "contrast cam · against lynx (287)"
    assert "against rug (5)" in captions.made_by(compared.sample(0, 1))
    assert "against" not in captions.made_by(compared.sample(0, 1), alone=False)


def test_a_sheet_of_several_samples_names_them_panel_by_panel(compared, monkeypatch):
    headings, lines, drawn = [], listen(monkeypatch), contact_sheet._panel
    monkeypatch.setattr(contact_sheet, "_panel", lambda *of: headings.append(of[2]) or drawn(*of))
    photos = np.zeros((2, 8, 8, 3), np.uint8)
    render.sheet([compared], photos, samples=[0, 1], side=100)
    assert [said.partition(", ")[2] for said in headings if said] == ["against doormat (539)", "against lynx (287)"]
    assert "contrast cam" in lines
    headings.clear()
    render.sheet([compared], photos, samples=[1], side=100)
    assert not any("against" in said for said in headings)
    assert any("against lynx (287)" in said for said in lines)
