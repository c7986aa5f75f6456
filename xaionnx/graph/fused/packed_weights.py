"""Products with weights that are stored as a few bits each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaionnx.graph.fused_op import FusedNode, fused

if TYPE_CHECKING:
    from xaionnx.typing import Array


@fused("MatMulNBits")
def matmul_nbits(f: FusedNode) -> str:
    """MatMul with the weights as floats."""
    packed, scales = f.array(f.input(1)), f.array(f.input(2))
    zeros = f.array(f.input(3)) if f.input(3) else None
    if packed is None or scales is None or (f.input(3) and zeros is None):
        raise f.refusal("its weights are computed")
    if f.input(4) or f.attribute("weight_prepacked", 0):
        raise f.refusal("its weights are in the order of another device")
    bits, size = f.attribute("bits", 4), f.attribute("block_size")
    outputs, inputs = f.attribute("N"), f.attribute("K")
    blocks = -(-inputs // size)
    steps = unpacked(packed.reshape(outputs, blocks, -1), bits)[..., :size].astype(np.float32)
    if zeros is None:
        start = np.full((outputs, blocks), 2.0 ** (bits - 1), np.float32)
    elif zeros.dtype == np.uint8:
        start = unpacked(zeros.reshape(outputs, -1), bits)[:, :blocks].astype(np.float32)
    else:
        start = zeros.reshape(outputs, blocks).astype(np.float32)
    weights = (steps - start[..., None]) * scales.reshape(outputs, blocks, 1).astype(np.float32)
    plain = weights.reshape(outputs, -1)[:, :inputs].T
    product = f.op("MatMul", f.input(0), f.constant(plain.astype(scales.dtype)))
    return f.op("Add", product, f.input(5)) if f.input(5) else product


def unpacked(content: Array, bits: int) -> Array:
    """Return the numbers in bytes along the last axis, the first in the lowest bits.

    Examples
    --------
    >>> unpacked(np.uint8([0x21, 0x43]), 4).tolist()
    [1, 2, 3, 4]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (content[..., None] >> shifts) & np.uint8(2**bits - 1)
    return np.asarray(numbers.reshape(*content.shape[:-1], -1))
