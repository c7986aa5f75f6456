"""Normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule

_EPSILON = 1e-5


@rule("BatchNormalization")
def batch_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    if node.attributes.get_int("training_mode", 0):
        raise g.refusal(node, "it is in training mode, where samples mix; export the model for inference")
    if any(needed[1:]):
        raise g.refusal(node, "its statistics depend on what is explained")
    x, scale, _, _, variance = node.inputs
    assert x is not None
    deviation = g.op("Sqrt", g.op("Add", variance, node.attributes.get_float("epsilon", _EPSILON)))
    column = g.ints(-1, *[1] * (g.rank(x) - 2)) if g.rank(x) > 1 else g.ints(-1)
    slope = g.op("Reshape", g.op("Div", scale, deviation), column)
    return [g.op("Mul", cotangents[0], slope), None, None, None, None]


@rule("LayerNormalization")
def layer_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """With h = (x - mean) / deviation and u = dy * gamma: (u - mean(u) - h mean(u h)) / deviation."""
    if any(cotangent is not None for cotangent in cotangents[1:]):
        raise g.refusal(node, "the target depends on its statistics")
    x, gamma = node.inputs[:2]
    dy = cotangents[0]
    assert x is not None
    rank = g.rank(x)
    first = node.attributes.get_int("axis", -1) % rank
    axes = g.ints(*range(first, rank))
    statistics = x.dtype or ir.DataType.FLOAT
    mean = g.further_output(node, 1, statistics)
    inverse = g.further_output(node, 2, statistics)
    h = g.op("Mul", g.op("Sub", x, mean), inverse)
    gradients: list[Gradient] = [None] * len(node.inputs)
    if needed[0]:
        u = g.op("Mul", dy, gamma)
        average = g.op("ReduceMean", u, axes, keepdims=1)
        along = g.op("ReduceMean", g.op("Mul", u, h), axes, keepdims=1)
        gradients[0] = g.op("Mul", g.op("Sub", g.op("Sub", u, average), g.op("Mul", h, along)), inverse)
    if any(needed[1:]):
        raise g.refusal(node, "its scale or bias depends on what is explained")
    return gradients


@rule("InstanceNormalization")
def instance_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    x, scale = node.inputs[:2]
    assert x is not None
    if any(needed[1:]):
        raise g.refusal(node, "its scale or bias depends on what is explained")
    rank = g.rank(x)
    axes = g.ints(*range(2, rank))
    count = math.prod(g.size(x, axis) for axis in range(2, rank))
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
    variance = g.op("Mul", g.op("ReduceSumSquare", centred, axes, keepdims=1), 1.0 / count)
    inverse = g.op("Reciprocal", g.op("Sqrt", g.op("Add", variance, node.attributes.get_float("epsilon", _EPSILON))))
    h = g.op("Mul", centred, inverse)
    u = g.op("Mul", cotangents[0], g.op("Reshape", scale, g.ints(-1, *[1] * (rank - 2))))
    along = g.op("ReduceMean", g.op("Mul", u, h), axes, keepdims=1)
    rest = g.op("Sub", g.op("Sub", u, g.op("ReduceMean", u, axes, keepdims=1)), g.op("Mul", h, along))
    return [g.op("Mul", rest, inverse), None, None]
