"""Rules of cumulative sums, Range, Trilu and Hardmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, flat, rule, unary


@unary("CumSum")
def cumulative_sum(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    # Each entry is in the sums of all later ones, so its gradient is the cumulative sum from the other end.
    exclusive, reverse = node.attributes.get_int("exclusive", 0), node.attributes.get_int("reverse", 0)
    return g.op("CumSum", dy, node.inputs[1], exclusive=exclusive, reverse=1 - reverse)


@rule("Range")
def arithmetic_range(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """Entry i is start + i delta; the limit decides only how many there are."""
    start, limit, delta = node.inputs
    dy, kind = cotangents[0], g.gradient_dtype(node.outputs[0])
    if start is None or limit is None or delta is None:
        raise g.refusal(node, "an input is missing")
    count = g.op("Range", np.int64(0), g.op("Size", dy), np.int64(1))
    along = g.op("Mul", dy, g.op("Cast", count, to=kind))
    return [
        g.reshape_like(g.op("ReduceSum", dy, keepdims=0), start) if needed[0] else None,
        None,
        g.reshape_like(g.op("ReduceSum", along, keepdims=0), delta) if needed[2] else None,
    ]


@unary("Trilu")
def triangle(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    diagonal = node.inputs[1] if len(node.inputs) > 1 else None
    return g.op("Trilu", dy, diagonal, upper=node.attributes.get_int("upper", 1))


flat("Hardmax")
