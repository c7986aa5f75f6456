"""Activations and what is fused with them compute the same in plain ops."""

import math

import numpy as np
import pytest

from tests.graph.fused.unfused import compare, of_op, reason, run, seeded, written
from tests.tolerances import Tolerance, assert_close

X = seeded(2, 3, 8)
BIAS = seeded(8, seed=1)


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_of_one_operand(op):
    compare(op, ["x"], {"x": X}, tolerance=Tolerance.ORDER_ONE)


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
@pytest.mark.parametrize("is_weight", [True, False])
def test_of_a_sum_with_a_bias(op, is_weight):
    weights = {"b": BIAS} if is_weight else {}
    feeds = {"x": X} if is_weight else {"x": X, "b": BIAS}
    compare(op, ["x", "b"], feeds, weights, tolerance=Tolerance.ORDER_ONE)


def test_fast_gelu_of_float16():
    plain = compare("FastGelu", ["x"], {"x": X.astype(np.float16)}, tolerance=Tolerance.FLOAT16, outputs=[("y", 10)])
    assert [node.op_type for node in plain.graph.node] == ["Gelu"]


@pytest.mark.parametrize("alpha", [1.0, 1.702, -0.5])
def test_quick_gelu_with_its_factor(alpha):
    compare("QuickGelu", ["x"], {"x": X}, alpha=alpha, tolerance=Tolerance.ORDER_ONE)


def test_dropout_in_training_is_refused():
    feeds = {"x": X, "b": BIAS}
    weights = {"ratio": np.float32(0.5), "training": np.array(True)}
    assert "at random" in reason("BiasDropout", ["x", "b", "", "ratio", "training"], feeds, weights)


def without_a_kernel(op, inputs, feeds, weights=None, **attributes):
    """The output of plain ops for an op that onnxruntime does not run on CPUs."""
    (y,) = run(written(of_op(op, inputs, feeds, weights, **attributes)), feeds, optimise=False)
    return y


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


@pytest.mark.parametrize(("axis", "shape"), [(2, (2, 1, 8)), (2, (1, 1, 8)), (1, (1, 3, 8)), (1, (2, 3, 8))])
def test_softmax_of_a_sum_over_the_axes_from_one_on(axis, shape):
    feeds = {"x": X, "b": seeded(*shape)}
    powers = np.exp(X + feeds["b"])
    wanted = powers / powers.sum(tuple(range(axis, 3)), keepdims=True)
    y = without_a_kernel("BiasSoftmax", ["x", "b"], feeds, axis=axis, is_inner_broadcast=int(shape[1] == 1))
    assert_close(y, wanted, Tolerance.SUMS)


def test_a_split_sum_is_gated_by_gelu():
    y = without_a_kernel("BiasSplitGelu", ["x", "b"], {"x": X}, {"b": BIAS})
    assert_close(y, (X + BIAS)[..., :4] * gelu((X + BIAS)[..., 4:]), Tolerance.ORDER_ONE)


@pytest.mark.parametrize("op", ["BiasAdd", "BiasDropout"])
def test_a_bias_and_a_residual_are_added(op):
    residual = seeded(2, 3, 8, seed=2)
    y = without_a_kernel(op, ["x", "b", "r"], {"x": X, "r": residual}, {"b": BIAS})
    np.testing.assert_array_equal(y, X + BIAS + residual)


def test_dropout_without_a_residual_keeps_the_sum():
    np.testing.assert_array_equal(without_a_kernel("BiasDropout", ["x", "b"], {"x": X}, {"b": BIAS}), X + BIAS)
