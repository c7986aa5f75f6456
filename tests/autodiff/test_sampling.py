"""GridSample and AffineGrid against central differences."""

import numpy as np
import pytest
from onnx import helper

from tests.autodiff.differences import error, onnxruntime, single
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
    assert error(model, feeds, wrt, evaluate=onnxruntime) < 1e-6


@pytest.mark.parametrize("wrt", ["x", "grid"])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_grid_sample_of_volumes(mode, aligned, wrt):
    rng = np.random.default_rng(2)
    feeds = [
        {"x": rng.standard_normal((n, 2, 3, 5, 4)), "grid": rng.uniform(-1.5, 1.5, (n, 2, 3, 4, 3))} for n in (2, 3, 4)
    ]
    model = single("GridSample", ["x", "grid"], feeds[0], mode=mode, align_corners=aligned)
    assert error(model, feeds, wrt, evaluate=onnxruntime) < 1e-6


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize(("shape", "size"), [((2, 3), (1, 2, 4, 5)), ((3, 4), (1, 2, 3, 4, 5))])
def test_affine_grid(aligned, shape, size):
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((n, *shape))} for n in (2, 2, 2)]
    constants = {"size": np.int64([2, *size[1:]])}
    model = single("AffineGrid", ["x", "size"], feeds[0], constants=constants, align_corners=aligned)
    assert error(model, feeds, "x", evaluate=onnxruntime) < 1e-6


def test_an_affine_grid_for_each_sample():
    """As models ask for it: the number of samples read from the shape of the map."""
    rng = np.random.default_rng(2)
    feeds = [{"x": rng.standard_normal((n, 2, 3))} for n in (2, 3, 4)]
    model = single("AffineGrid", ["x", "size"], feeds[0], constants={"rest": np.int64([2, 4, 5])})
    grid = model.graph.node.pop()
    count = helper.make_node("Shape", ["x"], ["n"], start=0, end=1)
    model.graph.node.extend([count, helper.make_node("Concat", ["n", "rest"], ["size"], axis=0), grid])
    assert error(model, feeds, "x", evaluate=onnxruntime) < 1e-6
