"""Curves and maps of the effects of features, from a model whose effects are known."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.render.figures import Figures, faults, listen, words
from xaionnx.errors import ParameterError


@pytest.fixture
def figures(monkeypatch):
    return Figures(monkeypatch)


@pytest.fixture(scope="module")
def record():
    model = planted.load(planted.linear([[1.0, 2.0, 0.5]]))
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    return xaionnx.explain(model, rows, "dependence", points=8, pairs=[(0, 1)], pair_points=5)


def test_the_curve_of_a_linear_feature_has_its_slope(record, figures):
    record.plot("curves", feature=1)
    lines = [line for line in figures.last().axes[0].get_lines() if line.get_zorder() in (3, 4)]
    for line in lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        np.testing.assert_allclose(np.diff(y) / np.diff(x), 2, rtol=1e-3)
    assert len(lines) == 2


def test_features_are_drawn_by_their_effect(record, figures):
    record.plot("curves", top=2)
    assert [text for text in words(figures.last()) if text.startswith("feature")] == ["feature 1", "feature 0"]
    assert faults(figures.last()) == []
    with pytest.raises(ParameterError, match="The 'feature' parameter of a picture"):
        record.plot("curves", feature="income")


@pytest.mark.parametrize(("weight", "shift"), [(1e-12, 0), (1e5, 0), (-1e9, 0), (1, 1e6), (1, 123_456_789)])
def test_numbers_of_any_size_are_whole_and_apart(figures, weight, shift):
    model = planted.load(planted.linear([[weight, 2 * weight]]))
    rows = (np.random.default_rng(0).normal(size=(40, 2)) * max(1, shift / 1e5) + shift).astype(np.float32)
    xaionnx.explain(model, rows, "dependence", points=8).plot("curves")
    assert faults(figures.last()) == []


def test_a_pair_without_interaction_is_white(record, figures, monkeypatch):
    said = listen(monkeypatch)
    record.plot()
    images = [np.asarray(axes.get_images()[0].get_array()) for axes in figures.last().axes]
    together, beyond = (image for image in images if len(image) > 1)
    # The corners of the sum of two rising features; first rows are down.
    assert together[0, 0, 2] > together[0, 0, 0]
    assert together[-1, -1, 0] > together[-1, -1, 2]
    assert np.ptp(np.asarray(record.maps["pair_ale"])) < 1e-4
    assert beyond.shape == together.shape
    assert any("beyond their effects alone" in line for line in said)
    assert faults(figures.last()) == []
