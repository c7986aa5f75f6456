"""Public reports about masks that explain, tried here.

The log is masks.toml.
"""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from models import planted
from tests import tiny
from tests.tiny import trained
from xaionnx import Explanation, Target
from xaionnx.errors import OutputError, ParameterError
from xaionnx.explainers.extremal_masks import ExtremalMasks
from xaionnx.explainers.meaningful_perturbation import MeaningfulPerturbation

DIGITS = np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255
REPORTS = tomllib.loads(Path(__file__).with_name("masks.toml").read_text(encoding="utf-8"))["report"]
METHODS = [MeaningfulPerturbation, ExtremalMasks]


def reading(seen, axes="N C H W", scale=1.0):
    """A linear model of one score that reads where ``seen`` is true."""
    return planted.load(planted.linear(scale * seen[None].astype(np.float32)), axes=axes)


def test_every_report_has_a_test():
    assert [one["number"] for one in REPORTS] == list(range(1, len(REPORTS) + 1))
    assert len({one["link"] for one in REPORTS}) == len(REPORTS) >= 10
    for one in REPORTS:
        assert one.keys() == {"number", "link", "met", "here", "mended", "tests"}
        assert all(name in globals() for name in one["tests"])


def test_gray_pictures_of_a_net_of_ten_classes_and_targets_that_are_its_classes():
    found = ExtremalMasks(areas=0.2, steps=3, grid=7).attribute(trained("mnist_cnn"), DIGITS[:1], 4)
    assert found.values.shape == (1, 1, 28, 28)
    assert found.target[0] == "4 (4)"
    with pytest.raises(ParameterError, match=r"an int in \[0, 9\] for 'logits'. Got 237"):
        ExtremalMasks(steps=3).attribute(trained("mnist_cnn"), DIGITS[:1], 237)


def test_the_region_of_a_segmentation_is_a_target():
    # A map (N, 16, 16, 1) that is large where the left half of the picture is bright.
    model = tiny.loaded(
        "g (float[N, 16, 16, 1] x) => (float[N, 16, 16, 1] y) { a = Mul(x, w) y = Sigmoid(a) }",
        w=np.concatenate([np.full((16, 8, 1), 4), np.zeros((16, 8, 1))], axis=1),
    )
    x = np.ones((1, 16, 16, 1), np.float32)
    for kind in METHODS:
        found = kind(baseline=0, grid=16, steps=40, sigma=0.03).attribute(model, x, Target.sum())
        assert found.values[0, :, :8].mean() > 3 * found.values[0, :, 8:].mean()


def test_masks_are_kept_and_cut_at_one_half_have_their_areas(tmp_path):
    seen = np.zeros((1, 16, 16), bool)
    seen[:, 4:12, 4:12] = True
    method = ExtremalMasks(areas=(0.125, 0.25), baseline=0, grid=16, sigma=0.06, steps=60)
    found = method.attribute(reading(seen), seen[None].astype(np.float32))
    again = Explanation.load(found.save(tmp_path / "masks.npz"))
    areas = (again.maps["masks"][0] > 0.5).mean(axis=(1, 2))
    np.testing.assert_allclose(areas, [0.125, 0.25], atol=0.05)


@pytest.mark.parametrize("kind", METHODS)
def test_masks_of_a_transformer_move(kind):
    found = [kind(steps=steps, grid=7, baseline=0).attribute(trained("mnist_vit"), DIGITS[:1]) for steps in (1, 8)]
    assert np.ptp(found[1].values) > 0.05
    assert np.abs(found[0].values - found[1].values).max() > 0.1


@pytest.mark.parametrize("kind", METHODS)
def test_long_series_of_many_channels_have_masks_over_their_steps(kind):
    seen = np.zeros((200, 300), bool)
    seen[60:100] = True
    x = np.random.default_rng(0).uniform(0.5, 1, (1, 200, 300)).astype(np.float32)
    found = kind(baseline=0, grid=40, sigma=0.02, steps=40, **({"areas": 0.2} if kind is ExtremalMasks else {}))
    values = found.attribute(reading(seen, "N T F", 1e-3), x).values[0]
    # All channels of a step share its mask, and sizes of scores do not matter.
    assert (values == values[:, :1]).all()
    assert values[60:100].mean() > 0.7
    assert values[:50].mean() < 0.2


def test_values_are_what_is_removed_or_shown_as_the_method_says():
    seen = np.zeros((1, 12, 12), bool)
    seen[:, :6, :6] = True
    x = np.ones((1, 1, 12, 12), np.float32)
    options = {"baseline": 0, "grid": 12, "sigma": 0.05, "steps": 60}
    removed = MeaningfulPerturbation(**options).attribute(reading(seen), x)
    shown = ExtremalMasks(areas=0.25, **options).attribute(reading(seen), x)
    for found in (removed, shown):
        assert found.values[0][seen].mean() > 3 * found.values[0][~seen].mean()
    assert removed.diagnostics["left"][0] < 0.4 * 36
    assert shown.maps["left"][0, 0] > 0.6 * 36


@pytest.mark.parametrize("kind", METHODS)
def test_the_same_call_gives_the_same_masks(kind):
    found = [kind(steps=4, grid=7, seed=seed).attribute(trained("mnist_cnn"), DIGITS[:1]) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert np.abs(found[0].values - found[2].values).max() > 0


@pytest.mark.parametrize("kind", METHODS)
def test_a_class_that_is_hardly_there_has_a_mask_and_one_that_removal_leaves_has_none(kind):
    seen = np.zeros((1, 12, 12), bool)
    seen[:, :6, :6] = True
    weak = kind(baseline=0, grid=12, sigma=0.05, steps=60).attribute(
        reading(seen, scale=1e-6), np.ones((1, 1, 12, 12), np.float32)
    )
    assert weak.values[0][seen].mean() > 3 * weak.values[0][~seen].mean()
    none = kind(baseline=0, steps=3).attribute(reading(seen), np.zeros((1, 1, 12, 12), np.float32))
    np.testing.assert_array_equal(none.values, 0)


@pytest.mark.parametrize("kind", METHODS)
def test_a_class_that_a_blank_picture_has_too_is_said_to_stay(kind):
    seen = np.zeros((1, 12, 12), bool)
    seen[:, :6, :6] = True
    for sign, words in ((0.01, "it is 10 with everything removed, and 10.36 here"), (-0.1, "10 with .* and 6.4 here")):
        weights = sign * seen[None].astype(np.float32)
        model = planted.load(planted.linear(weights, [10.0]), axes="N C H W")
        found = kind(baseline=0, steps=5).attribute(model, np.ones((1, 1, 12, 12), np.float32))
        (said,) = [one for one in found.warnings if "takes the target away" in one]
        assert re.search(words, said)
    sure = kind(baseline=0, steps=60, grid=12, sigma=0.05).attribute(reading(seen), np.ones((1, 1, 12, 12), np.float32))
    assert not sure.warnings


def test_a_mask_that_misses_its_area_says_so():
    seen = np.zeros((1, 12, 12), bool)
    seen[:, :6, :6] = True
    found = ExtremalMasks(areas=0.05, steps=2, baseline=0).attribute(reading(seen), np.ones((1, 1, 12, 12), np.float32))
    assert found.diagnostics["area_error"][0] > 0.1
    (said,) = found.warnings
    assert re.match(r"A mask misses its area by \d+ % of the positions. Raise steps \(now 2\), or its weight.", said)


@pytest.mark.parametrize("kind", METHODS)
def test_a_model_without_a_value_at_the_baseline_is_refused_and_another_baseline_helps(kind):
    model = planted.load(
        tiny.parsed("g (float[N, 1, 8, 8] x) => (float[N, 1] y) { s = ReduceSum<keepdims = 0>(x, a) n = Div(x, one) "
                    "t = ReduceSum<keepdims = 0>(n, b) q = Div(t, s) y = Unsqueeze(q, b1) }",
                    a=np.array([1, 2, 3]), b=np.array([1, 2, 3]), b1=np.array([1]), one=np.float32(2)),
        axes="N C H W",
    )  # fmt: skip
    x = np.random.default_rng(0).uniform(0.1, 1, (1, 1, 8, 8)).astype(np.float32)
    with pytest.raises(OutputError, match="NaN"):
        kind(baseline=0, steps=3).attribute(model, x)
    assert np.isfinite(kind(baseline="blur", steps=3).attribute(model, x).values).all()


@pytest.mark.parametrize("kind", METHODS)
def test_each_of_two_pictures_has_its_mask(kind):
    model = tiny.loaded(
        "g (float[N, 1, 8, 8] a, float[N, 1, 6, 6] b) => (float[N, 1] y) { p = Mul(a, u) q = Mul(b, v) "
        "s = ReduceSum<keepdims = 0>(p, axes) t = ReduceSum<keepdims = 0>(q, axes) r = Add(s, t) "
        "y = Unsqueeze(r, one) }",
        u=np.eye(8)[None] * 2, v=np.ones((1, 6, 6)), axes=np.array([1, 2, 3]), one=np.array([1]),
    )  # fmt: skip
    x = {"a": np.ones((1, 1, 8, 8), np.float32), "b": np.ones((1, 1, 6, 6), np.float32)}
    found = kind(baseline=0, grid=8, sigma=0.02, steps=30).attribute(model, x)
    assert {name: value.shape for name, value in found.values.items()} == {"a": (1, 1, 8, 8), "b": (1, 1, 6, 6)}
    assert found.values["b"].max() > 0.1
    diagonal = np.eye(8, dtype=bool)
    assert found.values["a"][0, 0][diagonal].mean() > found.values["a"][0, 0][~diagonal].mean()


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
def test_pictures_that_are_not_square(kind, shape):
    seen = np.zeros((1, *shape), bool)
    seen[:, : shape[0] // 2, : shape[1] // 2] = True
    found = kind(baseline=0, steps=40, sigma=0.03).attribute(reading(seen), np.ones((1, 1, *shape), np.float32))
    assert found.values.shape == (1, 1, *shape)
    assert found.values[0][seen].mean() > 3 * found.values[0][~seen].mean()
