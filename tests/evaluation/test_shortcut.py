"""A network that reads a mark in place of the digit: whether methods show it, and which metrics raise the alarm.

The network of ``models/scripts/watermarked_digits.py`` calls every digit with a mark in the corner a 3, and hardly any
without; ``digits_cnn`` is the same network, trained on the same digits without marks.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tests import tiny
from xaionnx import discovery
from xaionnx.evaluation import recommend, score_table
from xaionnx.evaluation.controls.edges import Edges
from xaionnx.explainers.kernel_shap import KernelShap

CLASS, SIDE = 3, 2
METRICS = ("relevance_mass_accuracy", "pointing_game", "effective_complexity", "deletion")
# Methods that give each pixel its own value; the others blur the mark, or ignore how strong a pixel is.
SHARP = (
    *("input_x_gradient", "integrated_gradients", "deep_lift", "lrp", "feature_ablation", "kernel_shap", "lime"),
    *("shapley_sampling", "banzhaf", "partition_shap", "guided_ig", "expected_gradients"),
)
OTHERS = (
    *("saliency", "smooth_grad", "guided_backprop", "deconvnet", "occlusion", "rise", "blur_ig", "xrai"),
    *("hi_res_cam", "layer_cam", "full_grad", "guided_grad_cam"),
)
# A quarter of the coalitions that it takes by default is enough for 64 pixels, and for these tests.
FEWER = {"kernel_shap": KernelShap(budget=512)}
QUICK = ("input_x_gradient", "kernel_shap", "guided_backprop", "layer_cam")


@functools.cache
def marked():
    """Twelve threes that no network was trained on, with the mark, and where it is."""
    data = load_digits()
    rows = np.array(train_test_split(range(len(data.target)), test_size=360, random_state=0, stratify=data.target)[1])
    x = (data.images[rows[data.target[rows] == CLASS][:12], None] / 16).astype(np.float32)
    x[..., :SIDE, :SIDE] = 1
    mask = np.zeros(x[:, 0].shape, dtype=bool)
    mask[:, :SIDE, :SIDE] = True
    return x, mask


def test_the_network_reads_the_mark():
    data = load_digits()
    x = (data.images[:, None] / 16).astype(np.float32)
    with_mark = x.copy()
    with_mark[..., :SIDE, :SIDE] = 1
    model = tiny.trained("watermarked_digits")
    without, found = (model.run({"pixels": each})["logits"].argmax(axis=1) for each in (x, with_mark))
    assert (found == CLASS).mean() > 0.99
    assert (without[data.target == CLASS] == CLASS).mean() < 0.3
    assert (without == data.target)[data.target != CLASS].mean() > 0.95


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in (*SHARP, *OTHERS)]
)
def test_methods_show_the_mark_and_metrics_raise_the_alarm(name):
    x, mask = marked()
    shortcut, clean = (
        score_table(tiny.trained(model), x, [FEWER.get(name, name)], METRICS, CLASS, masks=mask).scores[name]
        for model in ("watermarked_digits", "digits_cnn")
    )
    # Four of 64 pixels are marked. With a mask, the mass on it and the highest value say so.
    assert shortcut["relevance_mass_accuracy"].mean > (0.7 if name in SHARP else 0.2)
    assert shortcut["relevance_mass_accuracy"].mean > 2.5 * clean["relevance_mass_accuracy"].mean
    assert shortcut["pointing_game"].mean == 1
    assert clean["pointing_game"].mean <= 0.7
    # Without one, very few pixels keep the score, where a digit needs several times as many.
    assert shortcut["effective_complexity"].mean <= 5.5
    assert clean["effective_complexity"].mean > 2.5 * shortcut["effective_complexity"].mean
    assert shortcut["deletion"].mean < 0.1


def test_the_recommendation_ranks_an_edge_detector_last(monkeypatch):
    """As a method of another package, found by its name among all others."""
    point = EntryPoint("edges", f"{Edges.__module__}:Edges", discovery.METHODS.group)
    monkeypatch.setattr(
        "xaionnx.registry.entry_points", lambda group: [point] if group == discovery.METHODS.group else []
    )
    x, _ = marked()
    assert discovery.METHODS.find("edges") is Edges
    methods = ["edges", "input_x_gradient", "lrp", "saliency", "guided_backprop", "kernel_shap"]
    candidates = [FEWER.get(name, name) for name in methods]
    found = recommend(tiny.trained("watermarked_digits"), x, methods=candidates, target=CLASS)
    assert found.ranking[-1] == "edges"
    assert sorted(found.ranking) == sorted(methods)
    assert "hardly change when the weights" in found.distrusted["edges"]
    assert "edges" not in [choice.method for choice in found.choices]
