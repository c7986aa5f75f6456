"""Rules of products of quantised numbers, with the straight-through estimator: integers count as floats.

The numbers of an integer tensor are steps; its cotangent is the derivative of the target with respect to a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff._windows import window
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import ESTIMATE, Gradient, rule
from xaionnx.autodiff.rules.convolution import conv_back
from xaionnx.autodiff.rules.matmul import transposed

_KIND = ir.DataType.FLOAT


@rule("MatMulInteger")
def matmul_integer(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    a, b, a_zero, b_zero = _pad_inputs(node, 4)
    g.approximate(node, ESTIMATE)
    found = _product_back(g, node, cotangents[0], (a, None, a_zero), (b, None, b_zero), needed[0], needed[1])
    return [*found, *[None] * (len(node.inputs) - 2)]


@rule("QLinearMatMul")
def qlinear_matmul(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, _ = node.inputs
    _check_scales(g, node, needed, (1, 4, 6))
    g.approximate(node, ESTIMATE)
    dy = g.op("Div", _zero_where_clipped(g, node, cotangents[0]), y_scale)
    da, db = _product_back(g, node, dy, (a, a_scale, a_zero), (b, b_scale, b_zero), needed[0], needed[3])
    return [da, None, None, db, None, None, None, None]


@rule("ConvInteger")
def conv_integer(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    _, w, _, w_zero = _pad_inputs(node, 4)
    g.approximate(node, ESTIMATE)
    return [_conv_back(g, node, cotangents[0], w, None, w_zero, needed[1]), *[None] * (len(node.inputs) - 1)]


@rule("QLinearConv")
def qlinear_conv(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    _, x_scale, _, w, w_scale, w_zero, y_scale = node.inputs[:7]
    _check_scales(g, node, needed, (1, 4, 6))
    g.approximate(node, ESTIMATE)
    dy = g.op("Mul", _zero_where_clipped(g, node, cotangents[0]), g.op("Div", x_scale, y_scale))
    return [_conv_back(g, node, dy, w, w_scale, w_zero, needed[3]), *[None] * (len(node.inputs) - 1)]


def _pad_inputs(node: ir.Node, count: int) -> list[ir.Value | None]:
    return [*node.inputs, *[None] * count][:count]


def _check_scales(g: GradientBuilder, node: ir.Node, needed: Sequence[bool], scales: Sequence[int]) -> None:
    if any(needed[index] for index in scales):
        raise g.refusal(node, "its scale depends on the explained tensor")


def _zero_where_clipped(g: GradientBuilder, node: ir.Node, dy: Gradient) -> ir.Value:
    """``dy`` where the output is inside the range of its type, and 0 where it may have been clipped."""
    y = node.outputs[0]
    kind = y.dtype
    if kind is None or dy is None:
        raise g.refusal(node, "the type of its output is not known")
    steps = g.op("Cast", y, to=_KIND)
    inside = g.op("And", g.op("Greater", steps, float(kind.min)), g.op("Less", steps, float(kind.max)))
    return g.op("Where", inside, dy, 0.0)


# Quantised numbers, their scale, and their zero point.
_Operand = tuple[ir.Value | None, ir.Value | None, ir.Value | None]


def _product_back(
    g: GradientBuilder, node: ir.Node, dy: Gradient, a: _Operand, b: _Operand, to_a: bool, to_b: bool
) -> list[Gradient]:
    """The gradients of the operands, in steps: the scale times the product of the cotangent and the other operand."""
    if a[0] is None or b[0] is None or min(g.rank(a[0]), g.rank(b[0])) < 2:
        raise g.refusal(node, "an operand is a vector")
    rows, columns = g.rank(a[0]), g.rank(b[0])
    da: Gradient = None
    db: Gradient = None
    if to_a:
        da = g.op("MatMul", dy, transposed(g, _floats(g, b, row=False), columns))
        da = _sum_to_shape(g, da if a[1] is None else g.op("Mul", da, _as_column(g, a[1], True)), node, a[0])
    if to_b:
        db = g.op("MatMul", transposed(g, _floats(g, a, row=True), rows), dy)
        db = _sum_to_shape(g, db if b[1] is None else g.op("Mul", db, b[1]), node, b[0])
    return [da, db]


def _floats(g: GradientBuilder, operand: _Operand, row: bool) -> ir.Value:
    value, scale, zero = operand
    wide = g.op("Cast", value, to=_KIND)
    if zero is not None:
        wide = g.op("Sub", wide, _as_column(g, g.op("Cast", zero, to=_KIND), row, g.rank(zero)))
    return wide if scale is None else g.op("Mul", wide, _as_column(g, scale, row))


def _as_column(g: GradientBuilder, value: ir.Value, row: bool, rank: int | None = None) -> ir.Value:
    """A scale or zero point; if it is per row of the left operand, as a column."""
    rank = g.rank(value) if rank is None else rank
    return g.op("Unsqueeze", value, g.ints(-1)) if row and rank == 1 else value


def _sum_to_shape(g: GradientBuilder, gradient: ir.Value, node: ir.Node, operand: ir.Value) -> ir.Value:
    """Sum over leading axes along which an operand is broadcast."""
    small, large = g.sizes(operand), g.sizes(node.outputs[0])
    extra = len(large) - len(small)
    repeated = [extra + a for a in range(len(small) - 2) if g.shape(operand)[a] == 1 and large[extra + a] != 1]
    if repeated:
        gradient = g.op("ReduceSum", gradient, g.ints(*repeated), keepdims=1)
    return g.op("ReduceSum", gradient, g.ints(*range(extra)), keepdims=0) if extra else gradient


def _conv_back(
    g: GradientBuilder,
    node: ir.Node,
    dy: Gradient,
    w: ir.Value | None,
    scale: ir.Value | None,
    zero: ir.Value | None,
    to_weights: bool,
) -> ir.Value:
    if to_weights:
        raise g.refusal(node, "its weights depend on the explained tensor")
    if dy is None or w is None:
        raise g.refusal(node, "its weights are missing")
    shape = g.sizes(w)
    column = g.ints(-1, *[1] * (len(shape) - 1))
    wide = g.op("Cast", w, to=_KIND)
    if zero is not None:
        wide = g.op("Sub", wide, g.reshape(g.op("Cast", zero, to=_KIND), column))
    if scale is not None:
        wide = g.op("Mul", wide, g.reshape(scale, column))
    return conv_back(g, dy, wide, shape, window(g, node, shape[2:]), node.attributes.get_int("group", 1))
