"""Resize against central differences by onnxruntime's own kernel: the op is linear, so any step is exact."""

import itertools

import numpy as np
import pytest
from onnx import helper

from tests.autodiff.differences import arrays, built, cases, error, frozen, onnxruntime, reference, single
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.backward import differentiate
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.canonicalize import canonicalize

# float32, sums of a few hundred terms.
PLACES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


def batches(*shape, counts=(2, 3, 4)):
    rng = np.random.default_rng(0)
    return [{"x": rng.standard_normal((count, *shape)).astype(np.float32)} for count in counts]


def check(shape, scales=None, sizes=None, roi=None, opset=20, **attributes):
    feeds = batches(*shape)
    constants = {}
    if roi is not None:
        constants["roi"] = np.float32(roi)
    if scales is not None:
        constants["scales"] = np.float32(scales)
    if sizes is not None:
        constants["sizes"] = np.int64(sizes)
    inputs = ["x", *(name if name in constants else "" for name in ("roi", "scales", "sizes"))]
    if sizes is None:
        inputs.pop()
    model = single("Resize", inputs, feeds[0], constants=constants, opset=opset, **attributes)
    assert_close(error(model, feeds, "x", evaluate=onnxruntime, step=0.5), 0, Tolerance.DIFFERENCES_OF_LINEAR)


@pytest.mark.slow
def test_onnx_s_own_cases():
    compared, refused = 0, []
    for case in cases("Resize"):
        feeds = arrays(case)
        free = {"X": feeds["X"].astype(np.float32)}
        model = frozen(case.model, feeds, ["X"])
        try:
            onnxruntime(model)(free, ["Y"])
        except Exception as problem:
            if not type(problem).__module__.startswith("onnxruntime"):
                raise
            continue  # onnxruntime has no kernel for it: nothing to compare with
        try:
            worst = error(model, [free], "X", "Y", evaluate=onnxruntime, step=0.5)
        except UnsupportedModelError:
            refused.append(case.name)
            continue
        assert_close(worst, 0, Tolerance.DIFFERENCES_OF_LINEAR)
        compared += 1
    assert compared >= 30
    assert all("not_larger" in name or "not_smaller" in name for name in refused)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scales", [(2, 2), (3, 1), (0.5, 0.6), (1.7, 0.8), (4, 2.5)])
def test_by_scales_in_two_dimensions(mode, place, scales):
    check((3, 5, 6), scales=(1, 1, *scales), mode=mode, coordinate_transformation_mode=place)


@pytest.mark.parametrize("nearest_mode", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scale", [2, 3, 0.5])
def test_ways_of_rounding(nearest_mode, place, scale):
    scales = (1, 1, scale, scale)
    check((2, 6, 4), scales=scales, mode="nearest", nearest_mode=nearest_mode, coordinate_transformation_mode=place)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("size", [(7, 11), (2, 3), (10, 3)])
def test_by_sizes_of_some_axes(mode, place, size):
    check((3, 5, 6), sizes=size, axes=[2, 3], mode=mode, coordinate_transformation_mode=place)
    check((3, 5, 6), sizes=size, axes=[-2, -1], mode=mode, coordinate_transformation_mode=place)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("size", [(2, 3), (3, 9)])
def test_antialias(mode, exclude, size):
    if mode == "linear" and exclude:
        pytest.skip("exclude_outside is an attribute of cubic")
    check((3, 5, 6), sizes=size, axes=[2, 3], mode=mode, antialias=1, exclude_outside=exclude)


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 4, 5)])
@pytest.mark.parametrize("scale", [2, 1.5, 0.5])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_one_and_three_dimensions(shape, scale, mode):
    check(shape, scales=(1, 1, *([scale] * (len(shape) - 1))), mode=mode)


def test_channels_last():
    check((4, 5, 3), scales=(1, 2, 1.5, 1), mode="linear")
    check((4, 5, 3), scales=(1, 2, 3, 1), mode="nearest")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop(mode):
    roi = (0, 0, 0.2, 0.3, 1, 1, 0.7, 1.4)
    crop = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
    check((2, 5, 6), scales=(1, 1, 1, 1.5), roi=roi, **crop)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_aspect_ratio(policy):
    check((2, 4, 6), sizes=(8, 9), axes=[2, 3], mode="linear", keep_aspect_ratio_policy=policy)


def test_upsample_of_opset_nine():
    feeds = batches(2, 3, 4)
    scales = {"s": np.float32([1, 1, 2, 2])}
    model = single("Upsample", ["x", "s"], feeds[0], constants=scales, opset=9, mode="nearest")
    assert_close(error(model, feeds, "x", evaluate=onnxruntime, step=0.5), 0, Tolerance.DIFFERENCES_OF_LINEAR)


def test_sizes_that_follow_the_batch():
    """As PyTorch exports them: the batch and channels read from the shape, height and width constant."""
    feeds = batches(2, 3, 4)
    model = single("Resize", ["x", "", "", "s"], feeds[0], constants={"hw": np.int64([6, 9])}, mode="linear")
    before = [
        helper.make_node("Shape", ["x"], ["nc"], start=0, end=2),
        helper.make_node("Concat", ["nc", "hw"], ["s"], axis=0),
    ]
    resize = model.graph.node.pop()
    model.graph.node.extend([*before, resize])
    assert_close(error(model, feeds, "x", evaluate=onnxruntime, step=0.5), 0, Tolerance.DIFFERENCES_OF_LINEAR)


def test_in_float64_by_the_reference():
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((count, 2, 4, 5))} for count in (2, 3, 4)]
    for mode, place in itertools.product(("nearest", "linear", "cubic"), ("half_pixel", "align_corners")):
        constants = {"s": np.float32([1, 1, 1.5, 0.8])}
        model = single(
            "Resize", ["x", "", "s"], feeds[0], constants=constants, mode=mode, coordinate_transformation_mode=place
        )
        assert_close(error(model, feeds, "x", evaluate=reference), 0, Tolerance.DIFFERENCES)


def test_whole_repeats_need_no_matrix():
    feeds = batches(2, 3, 4)
    model = single("Resize", ["x", "", "s"], feeds[0], constants={"s": np.float32([1, 1, 2, 3])}, mode="nearest")
    form = canonicalize(model, [], None)
    facts, _ = built(form, feeds[:2], "x", evaluate=onnxruntime)
    ops = [node.op_type for node in differentiate(form, facts, "y", ["x"], STANDARD).graph.node]
    assert ops.count("Resize") == 1
    assert "ReduceSum" in ops
    assert "MatMul" not in ops
