"""Products with weights, and rows of tables, that are stored as a few bits each."""

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


@fused("GatherBlockQuantized")
def gather_block_quantized(f: FusedNode) -> str:
    """Gather from the table as floats."""
    table, scales = f.array(f.input(0)), f.array(f.input(2))
    zeros = f.array(f.input(3)) if f.input(3) else None
    if table is None or scales is None or (f.input(3) and zeros is None):
        raise f.refusal("its table is computed")
    axis, size = f.attribute("quantize_axis", 1) % table.ndim, f.attribute("block_size", 128)
    start = np.zeros(scales.shape) if zeros is None else zeros
    if table.dtype == np.uint8:
        bits = f.attribute("bits", 4)
        table = unpacked(table, bits)
        start = start + 2 ** (bits - 1) if zeros is None else unpacked(zeros, bits)[..., : scales.shape[-1]]
    wide = [
        np.repeat(part.astype(np.float32), size, axis).take(np.arange(table.shape[axis]), axis)
        for part in (scales, start)
    ]
    plain = (table.astype(np.float32) - wide[1]) * wide[0]
    return f.op("Gather", f.constant(plain.astype(scales.dtype)), f.input(1), axis=f.attribute("gather_axis", 0))


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
