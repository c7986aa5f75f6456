"""Products of matrices, with what is fused with them."""

from __future__ import annotations

from xaionnx.graph.fused.activations import activate_named
from xaionnx.graph.fused_op import FusedNode, fused


@fused("FusedGemm")
def fused_gemm(f: FusedNode) -> str:
    """Gemm with an activation."""
    stated = {name: f.attribute(name) for name in ("alpha", "beta", "transA", "transB")}
    product = f.op("Gemm", f.input(0), f.input(1), f.input(2), **stated)
    return activate_named(f, product)


@fused("FusedMatMul", "TransposeMatMul")
def fused_matmul(f: FusedNode) -> str:
    """``alpha`` times the product of two operands, each of them transposed if so stated."""
    return _product(f)


@fused("FusedMatMulActivation")
def fused_matmul_activation(f: FusedNode) -> str:
    """FusedMatMul with an activation."""
    return activate_named(f, _product(f))


def _product(f: FusedNode) -> str:
    product, alpha = f.op("MatMul", _transposed(f, 0, "A"), _transposed(f, 1, "B")), f.attribute("alpha", 1.0)
    return product if alpha == 1 else f.op("Mul", product, alpha)


def _transposed(f: FusedNode, index: int, side: str) -> str:
    value = f.input(index)
    swapped, batched = f.attribute(f"trans{side}", 0), f.attribute(f"transBatch{side}", 0)
    if not swapped and not batched:
        return value
    rank = f.rank(value)
    axes = list(range(rank))
    if batched and rank > 2:  # the first axis follows the batch axes
        axes = [*axes[1:-1], axes[0], axes[-1]]
    if swapped and rank > 1:  # a vector has nothing to swap
        axes[-2:] = axes[:-3:-1]
    return f.transpose(value, *axes)
