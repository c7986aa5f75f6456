"""Tokens before the patches of a picture: none, the class token, a distillation token, registers."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.compilation.files import agree
from tests.oracles import attention as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target
from xaionnx.autodiff import gradient
from xaionnx.data.sample import Sample
from xaionnx.explainers.attention_relevance import AttentionRelevance
from xaionnx.explainers.attention_rollout import AttentionRollout
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.layers.axes import Axes
from xaionnx.layers.layer import Layer
from xaionnx.render.layers import layer_of, over_picture

PICTURES = np.random.default_rng(3).normal(size=(2, 3, 12, 12)).astype(np.float32)
# 7 and 9 patches are as many tokens as 4 x 4 patches would be.
LEADING = [0, 1, 2, 5, 7]
LAST = "tokens_1"


@pytest.mark.parametrize("leading", LEADING)
def test_a_map_is_that_of_the_patches_alone(leading):
    model = planted.load(planted.attending(leading=leading, pooled=True))
    found = GradCam(relu=False).attribute(model, PICTURES, 1)
    assert found.provenance["seen_at"] == {"name": LAST, "axes": "TD", "grid": [3, 3], "before": leading, "after": 0}
    held = model.with_outputs([LAST]).run({"x": PICTURES}, [LAST])[LAST][:, leading:].astype(np.float64)
    one = np.tile(np.float32([0, 1, 0]), (2, 1))
    slope = gradient(model, "y", [LAST]).run({"x": PICTURES}, one)[1][LAST][:, leading:]
    small = (held * slope.mean(axis=1, keepdims=True, dtype=np.float64)).sum(axis=2).reshape(2, 3, 3)
    assert_close(found.maps["cam"], small, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("leading", LEADING[1:])
def test_attention_ends_at_the_patches_alone(leading):
    model = planted.load(planted.attending(leading=leading))
    names = ["attention_1", "attention_2"]
    held = model.with_outputs(names).run({"x": PICTURES}, names)
    slopes = gradient(model, "y", names).run({"x": PICTURES}, np.tile(np.float32([0, 1, 0]), (2, 1)))[1]
    rolled = AttentionRollout().attribute(model, PICTURES, 1)
    relevant = AttentionRelevance().attribute(model, PICTURES, 1)
    for n in range(2):
        layers = [held[name][n].astype(np.float64) for name in names]
        row = oracle.rollout(layers)[0, leading:].reshape(3, 3)
        assert_close(rolled.maps["tokens"][n], row, Tolerance.SUMS)
        row = oracle.relevance(layers, [slopes[name][n] for name in names])[0, leading:].reshape(3, 3)
        assert_close(relevant.maps["tokens"][n], row, Tolerance.LAYERS)


@pytest.mark.parametrize("leading", LEADING)
def test_a_channel_taken_away_stays_in_the_tokens_in_front(leading):
    model = planted.load(planted.attending(leading=leading))
    found = xaionnx.explain(model, PICTURES, "ablation_cam", 1, relu=False)
    held = model.with_outputs([LAST]).run({"x": PICTURES}, [LAST])[LAST]
    behind = tail_of(model)
    y, weights = behind(held)[:, 1], []
    for k in range(4):
        without = held.copy()
        without[:, leading:, k] = 0
        weights.append((y - behind(without)[:, 1]) / np.abs(y))
    small = (held[:, leading:] * np.stack(weights, axis=1)[:, None]).sum(axis=2).reshape(2, 3, 3)
    assert_close(found.maps["cam"], small, Tolerance.QUOTIENTS)


def tail_of(model):
    """The part of the model after the last tokens, run by onnxruntime."""
    tail = Layer.of(model, LAST, {"x": PICTURES}).downstream(["y"])
    return lambda held: tail.run({LAST: held})["y"].astype(np.float64)


@pytest.mark.parametrize("leading", [2, 5])
def test_a_compiled_map_is_the_explained_one(leading):
    model = planted.load(planted.attending(leading=leading))
    agree(model, {"x": PICTURES}, GradCam(relu=False), Target.index(1))


def test_the_grid_is_read_where_a_map_is_taken_apart():
    model = planted.load(planted.attending(leading=7))
    sample = Sample({"x": PICTURES[0]}, "x")
    assert Axes.at(model, LAST, (16, 4), sample) == Axes("TD", (3, 3), 7)
    # A number of tokens that is not the graph's has no grid.
    assert Axes.at(model, LAST, (37, 4), sample) == Axes("--")


def test_a_picture_names_the_tokens_without_a_place():
    model = planted.load(planted.attending(leading=5))
    found = Conductance(steps=2, layer=LAST).attribute(model, PICTURES, 1)
    _, words = over_picture(found.values[0], layer_of(found), 12, 12)
    assert " The 5 tokens before them, " in words
    assert words.endswith(" in all, have no position.")
