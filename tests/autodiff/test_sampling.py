"""GridSample and AffineGrid against central differences."""

import numpy as np
import pytest
from onnx import helper

from tests.autodiff.differences import error, onnxruntime, single
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import UnsupportedModelError


@pytest.mark.parametrize("wrt", ["x", "grid"])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_grid_sample(mode, padding, aligned, wrt):
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((n, 3, 5, 4)), "grid": rng.uniform(-1.9, 1.9, (n, 6, 7, 2))} for n in (2, 3, 4)]
    model = single("GridSample", ["x", "grid"], feeds[0], mode=mode, padding_mode=padding, align_corners=aligned)
    if mode == "cubic" and padding == "border":
        with pytest.raises(UnsupportedModelError, match="in two ways"):
            error(model, feeds, wrt, evaluate=onnxruntime)
        return
    assert_close(error(model, feeds, wrt, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("wrt", ["x", "grid"])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_grid_sample_of_volumes(mode, aligned, wrt):
    rng = np.random.default_rng(2)
    feeds = [
        {"x": rng.standard_normal((n, 2, 3, 5, 4)), "grid": rng.uniform(-1.5, 1.5, (n, 2, 3, 4, 3))} for n in (2, 3, 4)
    ]
    model = single("GridSample", ["x", "grid"], feeds[0], mode=mode, align_corners=aligned)
    assert_close(error(model, feeds, wrt, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize(("shape", "size"), [((2, 3), (1, 2, 4, 5)), ((3, 4), (1, 2, 3, 4, 5))])
def test_affine_grid(aligned, shape, size):
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((n, *shape))} for n in (2, 2, 2)]
    constants = {"size": np.int64([2, *size[1:]])}
    model = single("AffineGrid", ["x", "size"], feeds[0], constants=constants, align_corners=aligned)
    assert_close(error(model, feeds, "x", evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


def test_an_affine_grid_for_each_sample():
    """As models use it: the number of samples is read from the shape of the feature map."""
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((n, 2, 3))} for n in (2, 3, 4)]
    model = single("AffineGrid", ["x", "size"], feeds[0], constants={"rest": np.int64([2, 4, 5])})
    grid = model.graph.node.pop()
    count = helper.make_node("Shape", ["x"], ["n"], start=0, end=1)
    model.graph.node.extend([count, helper.make_node("Concat", ["n", "rest"], ["size"], axis=0), grid])
    assert_close(error(model, feeds, "x", evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize(
    ("group", "sets", "attributes"),
    [
        (1, 1, {}),
        (2, 1, {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
        (2, 2, {"dilations": [1, 2], "pads": [1, 1, 1, 1]}),
        (4, 2, {"strides": [2, 2]}),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_deformable_convolution(group, sets, attributes, masked):
    rng = np.random.default_rng(2)
    own = {"strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4} | attributes
    out = [
        (n + own["pads"][a] + own["pads"][a + 2] - own["dilations"][a] * (k - 1) - 1) // own["strides"][a] + 1
        for a, (n, k) in enumerate(zip((6, 7), (3, 2), strict=True))
    ]
    shapes = {"x": (4, 6, 7), "o": (sets * 12, *out)} | ({"m": (sets * 6, *out)} if masked else {})
    weights = {"w": rng.standard_normal((4, 4 // group, 3, 2)), "b": rng.standard_normal(4)}
    feeds = [{name: rng.standard_normal((n, *shape)) for name, shape in shapes.items()} | weights for n in (2, 3, 4)]
    inputs = ["x", "w", "o", "b", *(["m"] if masked else [])]
    model = single("DeformConv", inputs, feeds[0], group=group, offset_group=sets, kernel_shape=[3, 2], **own)
    assert_close(error(model, feeds, inputs, evaluate=onnxruntime), 0, Tolerance.DIFFERENCES)
