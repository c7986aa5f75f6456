"""Rules of matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule


def transposed(g: GradientBuilder, value: ir.Value, rank: int) -> ir.Value:
    """Emit a tensor with its last two axes swapped."""
    return g.op("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])


@rule("MatMul")
def matmul(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    a, b = node.inputs
    dy = cotangents[0]
    if a is None or b is None or dy is None:
        raise g.refusal(node, "an operand is missing")
    rank_a, rank_b = g.rank(a), g.rank(b)
    # A vector is a matrix of one row on the left, of one column on the right.
    if rank_b == 1:
        dy = g.op("Unsqueeze", dy, g.ints(-1))
    if rank_a == 1:
        dy = g.op("Unsqueeze", dy, g.ints(-2))
    da: Gradient = None
    db: Gradient = None
    if needed[0]:
        right = g.op("Unsqueeze", b, g.ints(0)) if rank_b == 1 else transposed(g, b, rank_b)
        da = g.op("MatMul", dy, right)
        if rank_a == 1:
            da = _vector(g, g.op("Squeeze", da, g.ints(-2)), max(rank_b - 2, 0))
    if needed[1]:
        left = g.op("Unsqueeze", a, g.ints(-1)) if rank_a == 1 else transposed(g, a, rank_a)
        db = g.op("MatMul", left, dy)
        if rank_b == 1:
            db = _vector(g, g.op("Squeeze", db, g.ints(-1)), max(rank_a - 2, 0))
    return [da, db]


def _vector(g: GradientBuilder, gradient: ir.Value, leading: int) -> ir.Value:
    return g.op("ReduceSum", gradient, g.ints(*range(leading)), keepdims=0) if leading else gradient


@rule("Gemm")
def gemm(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    a, b = node.inputs[:2]
    dy = cotangents[0]
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    ta, tb = node.attributes.get_int("transA", 0), node.attributes.get_int("transB", 0)
    da: Gradient = None
    db: Gradient = None
    if needed[0]:
        if ta:
            da = g.op("Gemm", b, dy, alpha=alpha, transA=tb, transB=1)
        else:
            da = g.op("Gemm", dy, b, alpha=alpha, transB=1 - tb)
    if needed[1]:
        if tb:
            db = g.op("Gemm", dy, a, alpha=alpha, transA=1, transB=ta)
        else:
            db = g.op("Gemm", a, dy, alpha=alpha, transA=1 - ta)
    gradients = [da, db]
    if len(node.inputs) > 2:
        scaled = dy if beta == 1.0 or not needed[2] else g.op("Mul", dy, beta)
        gradients.append(scaled if needed[2] else None)
    return gradients
