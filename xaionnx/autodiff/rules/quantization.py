"""Rules of quantisation with the straight-through estimator: rounding counts as the identity within the range.

Rounding has the derivative 0 almost everywhere, which carries no information about the model. The straight-through
estimator takes 1 instead, and 0 for clipped numbers. A gradient through one of :data:`STRAIGHT_THROUGH` is not the
derivative of what the model computes, but that of the model before quantisation, at the quantised numbers; it is
labelled.

:mod:`xaionnx.graph.dequantize` writes most quantised models as floats before rules apply. These rules are for
what it leaves.

References
----------
Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons for conditional
computation", 2013, arXiv:1308.3432.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import ESTIMATE, Gradient, rule
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import DEFAULT_DOMAINS

# Ops whose rule is an estimate; gradients through them are labelled.
STRAIGHT_THROUGH = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear",
    }
)  # fmt: skip

# Their first output represents floats by integers or narrow floats.
_QUANTIZING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
# They compute with quantised numbers.
_CALCULATING = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})


def carries_floats(node: ir.Node, index: int, active: Callable[[ir.Value], bool]) -> bool:
    """Whether an integer output of a node represents floats that depend on active tensors.

    Parameters
    ----------
    node : onnx_ir.Node
    index : int
        Number of the output.
    active : callable
        Whether a tensor depends on an explained one.
    """
    first = node.inputs[0] if node.inputs else None
    if node.op_type in _QUANTIZING:
        return index == 0 and first is not None and active(first)
    # Ops of other domains may compute with quantised numbers too. If they carry floats, the error names them as ops
    # without a rule, instead of saying that the output does not depend on the input.
    if node.op_type in _CALCULATING or node.domain not in DEFAULT_DOMAINS:
        return any(value is not None and active(value) for value in node.inputs)
    if not _moves_quantised(node) or (node.op_type == "MaxPool" and index > 0):
        return False
    moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return any(value is not None and active(value) for value in moved)


def _moves_quantised(node: ir.Node) -> bool:
    """Whether a node moves quantised numbers without changing them."""
    moves = find_op(node.op_type).kind is Kind.MOVES and node.op_type != "Cast"
    return moves or node.op_type in ("MaxPool", "Resize")


@rule("QuantizeLinear")
def quantize_linear(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """``dy / scale`` where ``x / scale + zero_point`` is in the range of the type, else 0."""
    if any(needed[1:]):
        raise g.refusal(node, "its scale depends on the explained tensor")
    g.approximate(node, ESTIMATE)
    x, scale = node.inputs[0], node.inputs[1]
    low, high = _quantised_range(g, node)
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    kind = _dtype_of(x)
    scale = _broadcastable(g, node, scale, x, kind)
    steps = g.op("Div", x, scale)
    if zero is not None:
        steps = g.op("Add", steps, _broadcastable(g, node, zero, x, kind))
    # Numbers up to half a step beyond the range still round into it.
    inside = g.op("And", g.op("GreaterOrEqual", steps, low - 0.5), g.op("LessOrEqual", steps, high + 0.5))
    gradient = g.op("Where", inside, g.op("Div", cotangents[0], scale), 0.0)
    return [gradient] + [None] * (len(node.inputs) - 1)


@rule("DequantizeLinear")
def dequantize_linear(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """``dy * scale``, as if the quantised numbers were floats."""
    x, scale, y = node.inputs[0], node.inputs[1], node.outputs[0]
    dy = cotangents[0]
    if needed[0]:
        g.approximate(node, ESTIMATE)
    gradient = g.op("Mul", dy, _broadcastable(g, node, scale, x, _dtype_of(y))) if needed[0] else None
    gradients: list[Gradient] = [gradient] + [None] * (len(node.inputs) - 1)
    if needed[1] and not _is_dynamic(scale):
        gradients[1] = _scale_gradient(g, node, dy)
    return gradients


def _is_dynamic(scale: ir.Value | None) -> bool:
    """Whether the scale comes from DynamicQuantizeLinear, and so counts as constant."""
    maker = scale.producer() if scale is not None else None
    return maker is not None and maker.op_type == "DynamicQuantizeLinear"


def _scale_gradient(g: GradientBuilder, node: ir.Node, dy: Gradient) -> ir.Value:
    """``dy * (x - zero_point)``, summed over the numbers of each scale."""
    x, scale, kind = node.inputs[0], node.inputs[1], _dtype_of(node.outputs[0])
    if x is None or scale is None or node.attributes.get_int("block_size", 0) > 0:
        raise g.refusal(node, "the scales of its blocks depend on the explained tensor")
    steps = g.op("Cast", x, to=kind)
    if len(node.inputs) > 2:
        steps = g.op("Sub", steps, _broadcastable(g, node, node.inputs[2], x, kind))
    rank, kept = g.rank(x), node.attributes.get_int("axis", 1)
    single = math.prod(g.sizes(scale)) == 1
    summed = [axis for axis in range(rank) if single or axis != kept % rank]
    return g.reshape_like(g.op("ReduceSum", g.op("Mul", dy, steps), g.ints(*summed), keepdims=0), scale)


@rule("DynamicQuantizeLinear")
def dynamic_quantize_linear(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """``dy / scale``: the range is that of the numbers, so nothing is clipped; the scale counts as constant.

    The scale's contributions to quantising and to dequantising cancel.
    """
    if cotangents[0] is None:
        raise g.refusal(node, "its scale is used without its numbers")
    g.approximate(node, ESTIMATE)
    return [g.op("Div", cotangents[0], g.optional_output(node, 1, ir.DataType.FLOAT))]


def _dtype_of(value: ir.Value | None) -> ir.DataType:
    return ir.DataType.FLOAT if value is None or value.dtype is None else value.dtype


def _quantised_range(g: GradientBuilder, node: ir.Node) -> tuple[float, float]:
    """The smallest and the largest number of the quantised type."""
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    kind = node.outputs[0].dtype or (zero.dtype if zero is not None else ir.DataType.UINT8)
    if kind is None or not (kind.is_integer() or kind.is_floating_point()):
        raise g.refusal(node, "the type of its output is not known")
    return float(kind.min), float(kind.max)


def _broadcastable(
    g: GradientBuilder, node: ir.Node, value: ir.Value | None, x: ir.Value | None, kind: ir.DataType
) -> ir.Value:
    """A scale or zero point in a shape that broadcasts to the numbers: per tensor, per axis, or per block."""
    if value is None or x is None:
        raise g.refusal(node, "its scale is missing")
    block = node.attributes.get_int("block_size", 0)
    rank, axis = g.rank(x), node.attributes.get_int("axis", 1)
    wide = value if value.dtype == kind else g.op("Cast", value, to=kind)
    if block:
        axis %= rank
        size = g.size(x, axis)
        return g.op("Gather", wide, g.constant(np.arange(size, dtype=np.int64) // block), axis=axis)
    if g.rank(value) == 0 or math.prod(g.sizes(value)) == 1:
        return g.reshape(wide, g.constant(np.zeros(0, dtype=np.int64)))
    axis %= rank
    return g.reshape(wide, g.ints(*(-1 if a == axis else 1 for a in range(rank))))
