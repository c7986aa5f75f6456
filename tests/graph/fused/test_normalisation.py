"""Normalisations with the sums that are fused with them compute the same in plain ops."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.fused.unfused import compare, of_op, run, seeded, written
from tests.tolerances import Tolerance, assert_close

X, SKIP = seeded(2, 3, 8), seeded(2, 3, 8, seed=1)
SCALE, SHIFT, BIAS = seeded(8, seed=2), seeded(8, seed=3), seeded(8, seed=4)
FLOAT = TensorProto.FLOAT


@pytest.mark.parametrize(("has_shift", "has_bias", "has_sum"), list(itertools.product((True, False), repeat=3)))
@pytest.mark.parametrize("shape", [(2, 3, 8), (1, 3, 8), (3, 8)])
def test_layer_normalisation_of_a_sum(has_shift, has_bias, has_sum, shape):
    weights = {"g": SCALE} | ({"s": SHIFT} if has_shift else {}) | ({"b": BIAS} if has_bias else {})
    inputs = ["x", "k", "g", "s" if has_shift else "", "b" if has_bias else ""]
    outputs = [("y", FLOAT), ("", FLOAT), ("", FLOAT), ("sum", FLOAT)] if has_sum else [("y", FLOAT)]
    feeds = {"x": X, "k": seeded(*shape, seed=1)}
    compare("SkipLayerNormalization", inputs, feeds, weights, outputs=outputs, epsilon=1e-5)


def test_the_default_epsilon_is_that_of_the_op():
    x = X * 1e-5
    compare("SkipLayerNormalization", ["x", "k", "g"], {"x": x, "k": x}, {"g": SCALE}, tolerance=Tolerance.LAYERS)


@pytest.mark.parametrize(("has_bias", "has_sum"), list(itertools.product((True, False), repeat=2)))
def test_division_of_a_sum_by_its_root_mean_square(has_bias, has_sum):
    weights = {"g": SCALE} | ({"b": BIAS} if has_bias else {})
    outputs = [("y", FLOAT), ("", FLOAT), ("", FLOAT), ("sum", FLOAT)] if has_sum else [("y", FLOAT)]
    inputs = ["x", "k", "g", *(["b"] if has_bias else [])]
    compare("SkipSimplifiedLayerNormalization", inputs, {"x": X, "k": SKIP}, weights, outputs=outputs, epsilon=1e-6)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_division_by_the_root_mean_square(axis):
    scale = seeded(*((3, 8) if axis == 1 else (8,)))
    compare("SimplifiedLayerNormalization", ["x", "g"], {"x": X}, {"g": scale}, domain="", axis=axis, epsilon=1e-5)


def group_norm(x, groups, scale, shift, epsilon, silu):
    """GroupNorm of (N, C, H, W), as the text of its schema says."""
    grouped = x.reshape(len(x), groups, -1).astype(np.float64)
    centred = grouped - grouped.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    y = normal.reshape(x.shape) * scale[:, None, None] + shift[:, None, None]
    return y / (1 + np.exp(-y)) if silu else y


@pytest.mark.parametrize(("last", "silu", "groups"), list(itertools.product((0, 1), (0, 1), (1, 2, 8))))
def test_group_normalisation_has_no_kernel_and_follows_its_text(last, silu, groups):
    x = seeded(2, 8, 3, 5)
    wanted = group_norm(x, groups, SCALE, SHIFT, 1e-5, silu)
    feeds = {"x": np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x}
    stated = {"channels_last": last, "activation": silu, "groups": groups, "epsilon": 1e-5}
    proto = of_op("GroupNorm", ["x", "g", "s"], feeds, {"g": SCALE, "s": SHIFT}, **stated)
    (y,) = run(written(proto), feeds, optimise=False)
    assert_close(np.moveaxis(y, -1, 1) if last else y, wanted, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize(("last", "flat", "has_bias"), list(itertools.product((0, 1), (True, False), (True, False))))
def test_group_normalisation_of_a_sum(last, flat, has_bias):
    x, skip = seeded(2, 8, 3, 5), seeded(2, 8) if flat else seeded(2, 8, 3, 5, seed=1)
    bias = BIAS[:, None, None] if has_bias else 0
    summed = x + (skip[:, :, None, None] if flat else skip) + bias
    feeds = {"x": x, "k": skip}
    if last:
        feeds = {name: np.ascontiguousarray(np.moveaxis(a, 1, -1)) if a.ndim == 4 else a for name, a in feeds.items()}
    weights = {"g": SCALE, "s": SHIFT} | ({"b": BIAS} if has_bias else {})
    proto = of_op(
        "SkipGroupNorm", ["x", "g", "s", "k", *(["b"] if has_bias else [])], feeds, weights,
        outputs=[("y", FLOAT), ("sum", FLOAT)], channels_last=last, activation=1, groups=4, epsilon=1e-5,
    )  # fmt: skip
    y, total = run(written(proto), feeds, optimise=False)
    if last:
        y, total = (np.moveaxis(a, -1, 1) for a in (y, total))
    assert_close(total, summed, Tolerance.SIGNED_SUMS)
    assert_close(y, group_norm(summed, 4, SCALE, SHIFT, 1e-5, True), Tolerance.SIGNED_LAYERS)
