"""Softsign: x / (1 + abs(x)); its slope is (1 - abs(y)) squared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.graph.op import Kind, Op

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.autodiff.gradient_builder import GradientBuilder


def _slope(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> ir.Value:
    rest = g.op("Sub", 1.0, g.op("Abs", node.outputs[0]))
    return g.op("Mul", dy, g.op("Mul", rest, rest))


OPS = (Op("Softsign", Kind.ACTIVATION, slope=_slope),)
