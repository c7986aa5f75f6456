"""Displays: a small copy of the model's input to draw over, bounded for any batch size."""

import numpy as np
import pytest
from PIL import Image

from xaionnx import InputSpec
from xaionnx.data import display
from xaionnx.data.display import as_picture, pictures_of, rows_of
from xaionnx.data.sample import split

RNG = np.random.default_rng(0)


def samples(shape, spec=None):
    return split({"x": RNG.uniform(-1, 1, shape).astype(np.float32)}, "x", spec, frozenset())


@pytest.mark.parametrize("count", [2, 150])
def test_pixels_come_back_as_they_were(count):
    spec = InputSpec(size=(20, 30), mean=[10, 20, 30], scale=[2, 3, 4], layout="NHWC", color="BGR")
    pixels = RNG.integers(0, 256, (count, 20, 30, 3), dtype=np.uint8)
    held = pictures_of(split({"x": spec.to_tensor(pixels)}, "x", spec, frozenset()), "x")
    np.testing.assert_array_equal(held.array, pixels)
    np.testing.assert_array_equal(held.sample(1).picture(), pixels[1])


def test_without_a_spec_the_range_of_values_is_shown():
    (one,) = samples((1, 1, 6, 6))
    shown = as_picture(one)
    assert (shown.min(), shown.max(), shown.shape) == (0, 255, (6, 6, 3))
    assert shown.ravel()[::3].argmax() == one.array.argmax()


def test_a_large_picture_is_reduced_and_drawn_in_its_own_size():
    held = pictures_of(samples((1, 3, 600, 1200)), "x")
    assert held.array.shape == (1, 256, 512, 3)
    assert held.picture().shape == (600, 1200, 3)
    whole = Image.fromarray(as_picture(samples((1, 3, 600, 1200))[0])).resize((512, 256), Image.Resampling.BOX)
    assert abs(held.array[0].astype(float).mean() - np.asarray(whole).mean()) < 2


@pytest.mark.parametrize("count", [3, 40, 200])
def test_pictures_of_a_batch_stay_within_their_bound(monkeypatch, count):
    monkeypatch.setattr(display, "MOST_BYTES", 2 * 2**20)
    held = pictures_of(samples((count, 1, 300, 300)), "x")
    assert held.array.nbytes <= 2 * 2**20
    # Pictures are reduced first; if that is not enough, only the first samples are kept.
    assert len(held.array) == min(count, 2 * 2**20 // (3 * 96**2))
    assert held.sample(count).array.shape[0] == 0


def test_numbers_are_copied_and_bounded(monkeypatch):
    rows = RNG.normal(size=(50, 4)).astype(np.float32)
    held = rows_of(rows, ["a", "b", "c", "d"])
    rows[:] = 0
    assert held.array.any()
    assert held.names == ("a", "b", "c", "d")
    assert rows_of(rows, ["a"]).names == ()
    monkeypatch.setattr(display, "MOST_BYTES", 160)
    assert rows_of(rows).array.shape == (10, 4)
    assert rows_of(np.array([["a"], ["bc"]], object)).array.dtype.kind == "U"


def test_many_pictures_become_pixels_as_one_formula_says():
    spec = InputSpec(size=(9, 8), mean=[1.5, 2.5, 3.5], scale=[7, 8, 9])
    x = RNG.uniform(-40, 40, (3, 3, 9, 8)).astype(np.float32)
    last = np.moveaxis(x, 1, 3).astype(np.float64)
    told = np.clip(np.rint(last * np.array(spec.scale) + np.array(spec.mean)), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(spec.to_pictures(x), told)
