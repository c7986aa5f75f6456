"""Sheets of several methods for rows."""

from __future__ import annotations

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.errors import DataError, ParameterError
from xaionnx.render import charts, themes

NAMES = ["age", "income", "rent", "savings"]


def result(method, values, **more):
    values = np.asarray(values, np.float64)
    return Explanation(
        method,
        values,
        np.full(len(values), "good"),
        np.full(len(values), 1.5),
        provenance={"value_kind": "contribution", "model": "credit.onnx"},
        feature_values=values,
        features=np.arange(values.shape[1])[None],
        **more,
    )


def written(monkeypatch, draw):
    """All texts of charts, in order."""
    texts, write = [], charts.write

    def heard(style, figure, text, *at, **how):
        texts.append(text)
        write(style, figure, text, *at, **how)

    monkeypatch.setattr(charts, "write", heard)
    draw()
    return texts


def test_features_are_ordered_by_the_mean_of_their_ranks(monkeypatch):
    given = [result("lime", [[1, -9, 3, 2]]), result("saliency", [[1, 2, -8, 3]])]
    texts = written(monkeypatch, lambda: render.row_sheet(given))
    # Mean ranks: 4, 2, 1.5, 2.5.
    assert [text for text in texts if text.startswith("feature")] == [f"feature {k}" for k in (2, 1, 3, 0)]
    assert [text for text in texts if text.startswith(("1  ", "2  "))] == ["1  lime", "2  saliency"]


def test_the_matrix_holds_the_rank_agreement(monkeypatch):
    given = [result("lime", [[1, 2, 3, 4]]), result("saliency", [[4, 3, 2, 1]]), result("occlusion", [[1, 1, 1, 1]])]
    texts = written(monkeypatch, lambda: render.row_sheet(given))
    numbers = [text for text in texts if text in ("1.00", "\N{MINUS SIGN}1.00", "none")]
    assert numbers == [
        "1.00",
        "\N{MINUS SIGN}1.00",
        "none",
        "\N{MINUS SIGN}1.00",
        "1.00",
        "none",
        "none",
        "none",
        "none",
    ]


def test_bars_are_red_above_zero_and_blue_below():
    up, down = (np.array(colour) for colour in (themes.LIGHT.up, themes.LIGHT.down))

    def count(values, colour):
        image = np.asarray(render.row_sheet([result("lime", values), result("saliency", values)]))
        return int((image == colour).all(axis=2).sum())

    assert count([[1, 2]], up) > 1000 > 0 == count([[1, 2]], down)
    assert count([[-1, -2]], down) > 1000 > 0 == count([[-1, -2]], up)
    # Of several rows the mean sizes are drawn.
    assert count([[-1, -2], [-3, -4]], up) > 1000 > 0 == count([[-1, -2], [-3, -4]], down)


def test_what_cannot_be_compared_is_refused():
    one = result("lime", [[1, 2, 3]])
    with pytest.raises(ParameterError, match="at least two"):
        render.row_sheet([one])
    with pytest.raises(DataError, match="lime 3, saliency 2"):
        render.row_sheet([one, result("saliency", [[1, 2]])])
    with pytest.raises(ParameterError, match="'top' parameter of row_sheet"):
        render.row_sheet([one, one], top=0)
    with pytest.raises(ParameterError, match=r"in \[0, 0\]"):
        render.row_sheet([one, one], sample=1)
