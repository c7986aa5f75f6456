"""Pictures that are found: recognised by the model itself, larger than data, and the same each time."""

import json

import numpy as np
import pytest

import xaionnx
from tests.tiny import trained
from xaionnx.optimization.objectives.class_score import ClassScore

LAYER = "/6/Relu_output_0"


def digits():
    return np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255


def test_the_model_recognises_each_digit_that_was_searched_for():
    found = [xaionnx.visualize(trained("mnist_cnn"), "class_score", label=k, steps=128) for k in range(10)]
    assert sum(one.predictions == [str(k)] for k, one in enumerate(found)) >= 8
    assert all(one.unseen[0] > one.trace[0, 0] + 3 for one in found)


@pytest.mark.parametrize("channel", [0, 7, 19])
def test_a_channel_is_larger_than_for_any_digit(channel):
    model = trained("mnist_cnn")
    data = model.with_outputs([LAYER]).run({"pixels": digits()})[LAYER][:, channel].mean(axis=(1, 2))
    found = xaionnx.visualize(model, "channel", layer=LAYER, channel=channel, steps=128)
    assert found.unseen[0] > data.max()


def test_frequencies_of_photographs_leave_less_grain_than_pixels():
    settings = {"label": 3, "steps": 96, "count": 3}
    fourier, pixels = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", parametrisation=name, **settings)
        for name in ("fourier", "pixels")
    )
    assert (fourier.high_frequencies < pixels.high_frequencies).all()


def test_less_variation_is_smoother():
    rough, smooth = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", label=3, steps=96, total_variation=weight)
        for weight in (0.0, 30.0)
    )
    assert smooth.high_frequencies < rough.high_frequencies


def test_a_seed_gives_the_same_pictures_and_another_others():
    one, again, other = (
        xaionnx.visualize(trained("mnist_cnn"), "class_score", label=5, steps=16, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.pictures, again.pictures)
    np.testing.assert_array_equal(one.trace, again.trace)
    assert (one.pictures != other.pictures).any()


def test_a_negative_objective_makes_the_unit_small():
    found = xaionnx.visualize(trained("mnist_cnn"), -ClassScore(label=5), steps=64)
    assert found.unseen[0] > found.trace[0, 0]
    assert found.predictions != ["5"]


def test_a_search_may_start_from_a_picture():
    x = digits()[:1]
    dream = xaionnx.visualize(
        trained("mnist_cnn"), "layer", layer=LAYER, start=x, steps=8, jitter=0, rotation=0, zoom=1
    )
    near = np.abs(dream.pictures[0, :, :, 0] / 255 - x[0, 0]).mean()
    assert near < 0.2
    assert dream.value[0] > dream.trace[0, 0]


def test_the_record_is_saved_whole(tmp_path):
    found = xaionnx.visualize(trained("mnist_cnn"), "class_score", label=1, steps=4, count=2)
    with np.load(found.save(tmp_path / "one.npz")) as saved:
        record = json.loads(str(saved["record"]))
        np.testing.assert_array_equal(saved["pictures"], found.pictures)
    assert record["search"]["steps"] == 4
    assert record["provenance"]["objective"] == "ClassScore(label=1)"
    assert found.image.size == (28 * 2 + 4, 28)
