"""Rotary position embeddings: pairs of numbers are turned by angles that follow their position."""

from __future__ import annotations

from xaionnx.graph.fused_op import FusedNode, fused


@fused("RotaryEmbedding")
def rotary_embedding(f: FusedNode) -> str:
    """The input (B, S, N * H) or (B, N, S, H), turned by the cosines and sines of its positions."""
    if f.attribute("is_packed_batching", 0):
        raise f.refusal("its batches are packed")
    if f.attribute("scale", 1.0) != 1:
        raise f.refusal("its scale is not 1")
    x, positions, cosines, sines = (f.input(index) for index in range(4))
    turned = f.attribute("rotary_embedding_dim", 0) or 2 * f.size(cosines, 1)
    is_flat = f.rank(x) == 3
    if is_flat:
        heads = f.attribute("num_heads", 0)
        shape = [0, 0, heads, -1] if heads else [0, 0, -1, turned]
        x = f.transpose(f.op("Reshape", x, f.integers(shape)), 0, 2, 1, 3)
    if f.rank(positions) == 1:  # that of the first token
        positions = f.op("Add", positions, count(f, x, 2))
    y = rotate(f, x, f.op("Gather", cosines, positions), f.op("Gather", sines, positions), turned)
    return f.op("Reshape", f.transpose(y, 0, 2, 1, 3), f.integers([0, 0, -1])) if is_flat else y


def count(f: FusedNode, value: str, axis: int) -> str:
    """Write 0, 1, ... along an axis of a tensor."""
    size = f.op("Gather", f.op("Shape", value), f.integers(axis), axis=0)
    return f.op("Range", f.integers(0), size, f.integers(1))


def rotate(f: FusedNode, x: str, cosines: str, sines: str, turned: int) -> str:
    """Write the rotation of the first ``turned`` numbers of (B, N, S, H) by angles (B, S, turned / 2) or (S, ...)."""
    axes = f.integers([-3])
    cosines, sines = f.op("Unsqueeze", cosines, axes), f.op("Unsqueeze", sines, axes)
    kept = ""
    size = f.facts.shape(x)
    if size is None or size[3] != turned:
        bounds = (f.integers([0]), f.integers([turned]), f.integers([2**31 - 1]))
        kept = f.op("Slice", x, bounds[1], bounds[2], f.integers([3]))
        x = f.op("Slice", x, bounds[0], bounds[1], f.integers([3]))
    half = turned // 2
    if f.attribute("interleaved", f.attribute("rotary_interleaved", 0)):
        pairs = f.op("Reshape", x, f.integers([0, 0, 0, half, 2]))
        real, imaginary = (f.op("Gather", pairs, f.integers(side), axis=4) for side in (0, 1))
    else:
        real, imaginary = f.split(x, 3, (half, half))
    first = f.op("Sub", f.op("Mul", real, cosines), f.op("Mul", imaginary, sines))
    second = f.op("Add", f.op("Mul", real, sines), f.op("Mul", imaginary, cosines))
    if f.attribute("interleaved", f.attribute("rotary_interleaved", 0)):
        last = f.integers([4])
        both = f.op("Concat", f.op("Unsqueeze", first, last), f.op("Unsqueeze", second, last), axis=4)
        y = f.op("Reshape", both, f.integers([0, 0, 0, turned]))
    else:
        y = f.op("Concat", first, second, axis=3)
    return f.op("Concat", y, kept, axis=3) if kept else y
