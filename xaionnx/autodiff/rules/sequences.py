"""Running sums, triangles, and Hardmax."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary


@unary("CumSum")
def cumulative_sum(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    # An entry is in the sums of those behind it: the running sum from the other end.
    exclusive, reverse = node.attributes.get_int("exclusive", 0), node.attributes.get_int("reverse", 0)
    return g.op("CumSum", dy, node.inputs[1], exclusive=exclusive, reverse=1 - reverse)


@unary("Trilu")
def triangle(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    diagonal = node.inputs[1] if len(node.inputs) > 1 else None
    return g.op("Trilu", dy, diagonal, upper=node.attributes.get_int("upper", 1))


@rule("Hardmax")
def hardmax(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """Constant but for its jumps."""
    return [None]
