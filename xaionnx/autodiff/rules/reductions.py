"""Rules of sums, means, extremes and norms along axes, and of Softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, unary
from xaionnx.autodiff.rules.activations import keep_zeros


def _x(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def reduced_axes(g: GradientBuilder, node: ir.Node) -> list[int]:
    """The reduced axes; empty if the op returns its input."""
    rank = g.rank(_x(node))
    given = g.constant_input(node, 1)
    if given is None or given.size == 0:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in given)


def with_reduced_axes(g: GradientBuilder, node: ir.Node, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    """An output or its cotangent with the reduced axes kept as axes of size 1."""
    if node.attributes.get_int("keepdims", 1) or not axes:
        return value
    return g.op("Unsqueeze", value, g.ints(*axes))


@unary("ReduceSum")
def reduce_sum(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.expand_like(with_reduced_axes(g, node, dy, reduced_axes(g, node)), _x(node))


@unary("ReduceMean")
def reduce_mean(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, axes = _x(node), reduced_axes(g, node)
    count = math.prod(g.size(x, axis) for axis in axes)
    return g.expand_like(g.op("Mul", with_reduced_axes(g, node, dy, axes), 1.0 / count), x)


@unary("ReduceMax", "ReduceMin")
def reduce_extreme(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, axes = _x(node), reduced_axes(g, node)
    y = with_reduced_axes(g, node, node.outputs[0], axes)
    chosen = g.op("Cast", g.op("Equal", x, y), to=x.dtype or ir.DataType.FLOAT)
    if not axes:
        return dy
    # Ties share the derivative.
    count = g.op("ReduceSum", chosen, g.ints(*axes), keepdims=1)
    return g.op("Mul", chosen, g.op("Div", with_reduced_axes(g, node, dy, axes), count))


@unary("ReduceProd")
def reduce_prod(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, axes = _x(node), reduced_axes(g, node)
    if not axes:
        return dy
    # The product of the other entries: with a single zero, only that of the zero is not 0.
    zero = g.op("Equal", x, 0.0)
    ones = g.op("Where", zero, 1.0, x)
    product = g.op("ReduceProd", ones, g.ints(*axes), keepdims=1)
    kind = x.dtype or ir.DataType.FLOAT
    zeros = g.op("Cast", zero, to=kind)
    count = g.op("ReduceSum", zeros, g.ints(*axes), keepdims=1)
    alone = g.op("Cast", g.op("Equal", g.op("Sub", count, zeros), 0.0), to=kind)
    others = g.op("Mul", g.op("Div", product, ones), alone)
    return g.op("Mul", with_reduced_axes(g, node, dy, axes), others)


@unary("ReduceL1")
def reduce_l1(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Mul", g.op("Sign", _x(node)), with_reduced_axes(g, node, dy, reduced_axes(g, node)))


@unary("ReduceL2")
def reduce_l2(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    axes = reduced_axes(g, node)
    y = with_reduced_axes(g, node, node.outputs[0], axes)
    # At the origin the norm has no derivative; 0 is the subgradient of least norm.
    scale = g.op("Where", g.op("Greater", y, 0.0), g.op("Div", with_reduced_axes(g, node, dy, axes), y), 0.0)
    return g.op("Mul", _x(node), scale)


@unary("ReduceSumSquare")
def reduce_sum_square(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Mul", g.op("Mul", _x(node), 2.0), with_reduced_axes(g, node, dy, reduced_axes(g, node)))


@unary("ReduceLogSum")
def reduce_log_sum(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    axes = reduced_axes(g, node)
    total = g.op("Exp", with_reduced_axes(g, node, node.outputs[0], axes))
    wide = with_reduced_axes(g, node, dy, axes)
    return g.expand_like(keep_zeros(g, wide, g.op("Div", wide, total)), _x(node))


@unary("ReduceLogSumExp")
def reduce_log_sum_exp(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    axes = reduced_axes(g, node)
    share = g.op("Exp", g.op("Sub", _x(node), with_reduced_axes(g, node, node.outputs[0], axes)))
    return g.op("Mul", share, with_reduced_axes(g, node, dy, axes))


@unary("Softmax")
def softmax(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y, axis = node.outputs[0], node.attributes.get_int("axis", -1)
    weighted = g.op("Mul", dy, y)
    return g.op("Sub", weighted, g.op("Mul", y, g.op("ReduceSum", weighted, g.ints(axis), keepdims=1)))


@unary("LogSoftmax")
def log_softmax(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y, axis = node.outputs[0], node.attributes.get_int("axis", -1)
    return g.op("Sub", dy, g.op("Mul", g.op("Exp", y), g.op("ReduceSum", dy, g.ints(axis), keepdims=1)))
