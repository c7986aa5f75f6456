"""One figure for models of several inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import xaionnx
from tests.render.figures import listen
from tests.tiny import loaded, row
from xaionnx import render
from xaionnx.errors import ParameterError
from xaionnx.render.picture import Scene
from xaionnx.render.pictures import inputs

PICTURE_AND_ROW = """g (float[N,1,16,16] picture, float[N,2] row) => (float[N,1] y)
    <float[2,1] b = {10, 20}, int64[3] axes = {1, 2, 3}> {
    s = ReduceSum<keepdims = 0>(picture, axes)  c = Reshape(s, shape)  q = MatMul(row, b)  y = Add(c, q) }"""
PAIR = """g (float[N,1,16,16] left, float[N,1,16,16] right) => (float[N,1] y) <int64[3] axes = {1, 2, 3}> {
    d = Sub(left, right)  s = ReduceSum<keepdims = 0>(d, axes)  y = Reshape(s, shape) }"""
WAVE_AND_ROW = """g (float[N,2,64] wave, float[N,2] row) => (float[N,1] y)
    <float[1,2,1] k = {1, -1}, float[2,1] b = {10, 20}> {
    c = Conv(wave, k)  p = GlobalAveragePool(c)  f = Flatten(p)  q = MatMul(row, b)  y = Add(f, q) }"""
TOKENS_AND_ROW = """g (int64[N,2] ids, float[N,2] row) => (float[N,1] y)
    <float[3,2] table = {0, 0, 1, 2, 3, 4}, float[2,1] b = {10, 20}, int64[1] one = {1}> {
    e = Gather(table, ids)  s = ReduceSum<keepdims = 0>(e, one)  t = Add(s, row)  y = MatMul(t, b) }"""
RNG = np.random.default_rng(5)
SHAPE = np.array([-1, 1])


def picture():
    return RNG.random((1, 1, 16, 16)).astype(np.float32)


CASES = {
    "picture and row": (PICTURE_AND_ROW, {"picture": picture(), "row": row(1, 2)}),
    "two pictures": (PAIR, {"left": picture(), "right": picture()}),
    "series and row": (WAVE_AND_ROW, {"wave": RNG.normal(size=(1, 2, 64)).astype(np.float32), "row": row(1, 2)}),
    "tokens and row": (TOKENS_AND_ROW, {"ids": np.array([[1, 2]]), "row": row(3, 5)}),
}


def explained(case, method):
    text, feeds = CASES[case]
    options = {} if method == "saliency" else {"baseline": 0}
    return xaionnx.explain(loaded(text, **({"shape": SHAPE} if "shape)" in text else {})), feeds, method, 0, **options)


def titles(monkeypatch, draw):
    said = listen(monkeypatch)
    image = draw()
    return image, said


@pytest.mark.parametrize("method", ["kernel_shap", "integrated_gradients", "saliency"])
@pytest.mark.parametrize("case", CASES)
def test_every_input_has_a_panel(monkeypatch, case, method):
    result = explained(case, method)
    if case == "tokens and row" and method == "kernel_shap":
        # All are rows of numbers, which share one chart.
        assert result.plot().mode == "RGB"
        return
    image, said = titles(monkeypatch, result.plot)
    for name, values in result.values.items():
        title = next(text for text in said if text.split(" · ")[0] == name or name in text.split(" · ")[0].split(", "))
        if method != "saliency":
            players = result.feature_values
            total = (
                values.sum()
                if players is None
                else sum(players[0, player] for player in np.unique(result.features[name]))
            )
            if ", " not in title:
                assert float(title.rpartition(" ")[2].replace("−", "-")) == pytest.approx(total, rel=0.01, abs=1e-6)
    assert image.width > 500


def test_a_named_input_is_drawn_alone():
    result = explained("picture and row", "integrated_gradients")
    alone = result.plot(input="picture")
    assert alone.width < result.plot().width
    with pytest.raises(ParameterError, match="kind 'inputs' needs values of several inputs"):
        render.picture(result, "inputs", input="picture")


def test_players_across_inputs_are_in_both_panels(monkeypatch):
    text, feeds = CASES["picture and row"]
    halves = np.zeros((1, 16, 16), int)
    halves[:, 8:] = 1
    features = {"picture": halves, "row": np.array([1, 5])}
    result = xaionnx.explain(loaded(text, shape=SHAPE), feeds, "exact_shapley", 0, features=features, baseline=0)
    assert result.feature_names == ("picture: part 0", "picture: part 1 + row[0]", "row[1]")
    _, said = titles(monkeypatch, result.plot)
    values = result.feature_values[0]
    sums = {text.split(" · ")[0]: text.rpartition(" ")[2] for text in said if "sum of values" in text}
    assert float(sums["picture"]) == pytest.approx(values[0] + values[1], rel=0.01)
    assert float(sums["row"]) == pytest.approx(values[1] + values[2], rel=0.01)


def test_a_warning_about_the_whole_result_is_said_once(monkeypatch):
    result = explained("picture and row", "saliency")
    nothing = {name: np.zeros_like(values) for name, values in result.values.items()}
    one_dead = result.values | {"picture": nothing["picture"]}
    for values, times in ((nothing, 1), (result.values, 0), (one_dead, 1)):
        said = listen(monkeypatch)
        dataclasses.replace(result, values=values).plot()
        assert said.count("Every value is zero.") == times
        monkeypatch.undo()


def test_panels_share_the_meaning_of_colours_and_their_height(monkeypatch):
    drawn, overlay = [], inputs.overlay
    monkeypatch.setattr(
        inputs, "overlay", lambda *a, **k: drawn.append((k["sign"], image := overlay(*a, **k))) or image
    )
    # Lighter at the left raises, at the right lowers.
    result = explained("two pictures", "feature_ablation")
    assert result.values["left"].min() >= 0 > result.values["right"].min()
    inputs.Inputs.draw(result, Scene(photo=np.zeros((640, 640, 3), np.uint8), input="left"))
    assert [sign for sign, _ in drawn] == ["signed", "signed"]
    assert drawn[0][1].height == drawn[1][1].height
