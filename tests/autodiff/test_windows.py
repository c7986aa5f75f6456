"""Convolutions and poolings against central differences over grids of attributes, in one to three dimensions."""

import numpy as np
import pytest

from tests.autodiff.differences import grid_error, in_numpy, onnxruntime, single
from tests.oracles import convolution, pooling
from tests.tolerances import Tolerance, assert_close

SPATIAL = {1: (7,), 2: (7, 6), 3: (4, 5, 4)}
# Reference implementations by definition, in float64.
DEFINED = in_numpy(*convolution.OPS, *pooling.OPS)


def assert_forwards_agree(op, shapes, **attributes):
    """Check that onnxruntime in float32 agrees with the definition."""
    rng = np.random.default_rng(0)
    first = next(iter(shapes))
    feeds = {n: rng.standard_normal((2, *s) if n == first else s).astype(np.float32) for n, s in shapes.items()}
    model = single(op, list(shapes), feeds, **attributes)
    (ours,), (theirs,) = (evaluate(model)(feeds, ["y"]) for evaluate in (DEFINED, onnxruntime))
    assert_close(ours, theirs, Tolerance.DEEP)


CONVOLUTIONS = [
    # group, kernel, strides, dilations, pads or auto_pad
    (1, 3, 1, 1, None), (1, 3, 1, 1, "SAME_UPPER"), (1, 2, 1, 1, "SAME_LOWER"), (1, 3, 2, 1, "SAME_UPPER"),
    (1, 2, 2, 1, "SAME_LOWER"), (1, 3, 3, 1, "VALID"), (2, 3, 1, 2, (1, 2)), (4, 3, 2, 1, (0, 2)), (4, 1, 1, 1, None),
    (2, 1, 2, 1, None), (1, 2, 3, 2, (1, 0)), (2, 4, 1, 1, (3, 0)), (1, 2, 1, 1, (2, 3)),
]  # fmt: skip


def spread(rank, kernel, strides, dilations, pads):
    """Attributes of a window, different for each axis."""
    own = {
        "kernel_shape": [max(kernel - (axis == rank - 1 and kernel > 2), 1) for axis in range(rank)],
        "strides": [strides + (axis == 1) for axis in range(rank)],
        "dilations": [dilations] * rank,
    }
    if isinstance(pads, str):
        return own | {"auto_pad": pads}
    return own if pads is None else own | {"pads": [pads[0]] * rank + [pads[1]] * rank}


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("group", "kernel", "strides", "dilations", "pads"), CONVOLUTIONS)
def test_convolution_of_numbers_weights_and_bias(rank, group, kernel, strides, dilations, pads):
    own = spread(rank, kernel, strides, dilations, pads)
    shapes = {"x": (4, *SPATIAL[rank]), "w": (8, 4 // group, *own["kernel_shape"]), "b": (8,)}
    assert_close(grid_error("Conv", shapes, group=group, evaluate=DEFINED, **own), 0, Tolerance.DIFFERENCES)
    assert_forwards_agree("Conv", shapes, group=group, **own)


TRANSPOSED = [
    # group, kernel, strides, dilations, pads or auto_pad, output_padding
    (1, 3, 1, 1, None, 0), (1, 3, 2, 1, (1, 0), 1), (2, 2, 3, 1, (0, 1), 2), (2, 3, 1, 2, (2, 1), 0),
    (4, 2, 2, 2, None, 1), (1, 4, 2, 1, "SAME_UPPER", 0), (1, 4, 2, 1, "SAME_LOWER", 0), (2, 2, 1, 1, "VALID", 0),
    (1, 1, 3, 1, None, 2),
]  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("group", "kernel", "strides", "dilations", "pads", "added"), TRANSPOSED)
def test_transposed_convolution_of_numbers_weights_and_bias(rank, group, kernel, strides, dilations, pads, added):
    own = spread(rank, kernel, strides, dilations, pads) | {"output_padding": [added] * rank}
    space = tuple(size - 2 for size in SPATIAL[rank])
    shapes = {"x": (4, *space), "w": (4, 2, *own["kernel_shape"]), "b": (2 * group,)}
    assert_close(grid_error("ConvTranspose", shapes, group=group, evaluate=DEFINED, **own), 0, Tolerance.DIFFERENCES)
    assert_forwards_agree("ConvTranspose", shapes, group=group, **own)


POOLS = [
    # kernel, strides, dilations, pads or auto_pad, ceil_mode
    (2, 2, 1, None, 0), (3, 1, 1, (1, 1), 0), (3, 2, 1, (0, 1), 0), (3, 2, 1, (1, 0), 1), (2, 3, 1, None, 1),
    (2, 1, 2, (1, 0), 0), (2, 2, 2, (1, 1), 1), (3, 2, 1, "SAME_UPPER", 0), (2, 2, 1, "SAME_LOWER", 0),
    (3, 3, 1, "VALID", 0),
]  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "strides", "dilations", "pads", "ceil"), POOLS)
@pytest.mark.sampled(percent=50)
def test_poolings(rank, kernel, strides, dilations, pads, ceil):
    own = spread(rank, kernel, strides, dilations, pads) | {"ceil_mode": ceil}
    shapes = {"x": (3, *SPATIAL[rank])}
    for order in (0, 1):
        assert_close(
            grid_error("MaxPool", shapes, outputs=("y",), storage_order=order, **own), 0, Tolerance.DIFFERENCES
        )
    assert_close(grid_error("MaxPool", shapes, outputs=("y", "i"), **own), 0, Tolerance.DIFFERENCES)
    for counted in (0, 1):
        assert_close(
            grid_error("AveragePool", shapes, evaluate=DEFINED, count_include_pad=counted, **own),
            0,
            Tolerance.DIFFERENCES,
        )
        assert_forwards_agree("AveragePool", shapes, count_include_pad=counted, **own)
    for p in (1, 2, 3):
        assert_close(grid_error("LpPool", shapes, evaluate=DEFINED, p=p, **own), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_poolings(rank):
    shapes = {"x": (3, *SPATIAL[rank])}
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        assert_close(grid_error(op, shapes, evaluate=DEFINED), 0, Tolerance.DIFFERENCES)
    for p in (1, 2, 3):
        assert_close(grid_error("GlobalLpPool", shapes, evaluate=DEFINED, p=p), 0, Tolerance.DIFFERENCES)
