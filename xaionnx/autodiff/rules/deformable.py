"""The rule of DeformConv, a convolution whose kernel reads at computed positions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff._windows import window
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule
from xaionnx.autodiff.rules.sampling import apply_padding, flat_index, product, taps


class _Read(NamedTuple):
    """One corner of all sampling positions (N, G, C/G, K P): value, entry, weight, and slopes of the weight."""

    value: ir.Value
    entry: ir.Value
    share: ir.Value
    slopes: tuple[ir.Value, ir.Value]


@rule("DeformConv")
def deform_conv(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """The columns under the kernel are sampled as by GridSample, and multiplied as by Conv.

    There are G groups of offsets, K entries of the kernel and P positions.
    """
    x, w, offset, bias, mask = [*node.inputs, None, None][:5]
    dy = cotangents[0]
    if x is None or w is None or offset is None or dy is None or g.rank(x) != 4:
        raise g.refusal(node, "an input is missing, or it is not of pictures")
    group, sets = node.attributes.get_int("group", 1), node.attributes.get_int("offset_group", 1)
    frame = window(g, node, g.sizes(w)[2:])
    channels, entries, positions = g.size(x, 1), int(np.prod(frame.kernel)), int(np.prod(frame.out))
    filters = g.reshape(w, g.ints(group, g.size(w, 0) // group, -1))
    flat = g.reshape(dy, g.ints(-1, group, g.size(w, 0) // group, positions))
    columns = g.ints(-1, sets, channels // sets, entries * positions)
    # The gradient of each entry of the columns.
    column_gradient = g.reshape(g.op("MatMul", g.op("Transpose", filters, perm=[0, 2, 1]), flat), columns)
    offsets = g.reshape(offset, g.ints(-1, sets, entries, 2, positions))
    lines = []
    for axis in range(2):
        own = g.reshape(g.op("Gather", offsets, np.int64(axis), axis=3), g.ints(-1, sets, 1, entries * positions))
        at = np.arange(frame.out[axis]) * frame.strides[axis] - frame.begin[axis]
        entry = np.arange(frame.kernel[axis]) * frame.dilations[axis]
        # (kH, kW, oH, oW), of which this axis has two.
        shape = [-1 if axis == 0 else 1, -1 if axis == 1 else 1]
        grid = entry.reshape(*shape, 1, 1) + at.reshape(1, 1, *shape)
        base = np.broadcast_to(grid, (*frame.kernel, *frame.out)).reshape(-1)
        moved = g.op("Add", own, g.constant(base, g.gradient_dtype(x)))
        lines.append([apply_padding(g, tap, frame.size[axis], "zeros", False) for tap in taps(g, moved, "linear")])
    whole = g.reshape(x, g.ints(-1, sets, channels // sets, int(np.prod(frame.size))))
    reads = []
    for row, column in itertools.product(*lines):
        index = g.op("Expand", flat_index(g, (row, column), frame.size), g.op("Shape", column_gradient))
        assert row.slope is not None
        assert column.slope is not None
        slopes = (g.op("Mul", row.slope, column.weight), g.op("Mul", row.weight, column.slope))
        share = product(g, [row.weight, column.weight])
        reads.append(_Read(g.op("GatherElements", whole, index, axis=3), index, share, slopes))
    scale = None if mask is None else g.reshape(mask, g.ints(-1, sets, 1, entries * positions))
    scaled = column_gradient if scale is None else g.op("Mul", column_gradient, scale)
    gradients: list[Gradient] = [None] * len(node.inputs)
    if needed[0]:
        joined = g.op("Concat", *(g.op("Mul", scaled, read.share) for read in reads), axis=3)
        index = g.op("Concat", *(read.entry for read in reads), axis=3)
        empty = g.reshape(g.zeros_like(x), g.op("Shape", whole))
        gradients[0] = g.reshape_like(g.op("ScatterElements", empty, index, joined, axis=3, reduction="add"), x)
    if needed[1] or (mask is not None and needed[4]):
        met = g.op("Sum", *(g.op("Mul", read.value, read.share) for read in reads))
        if mask is not None and needed[4]:
            gradients[4] = g.reshape_like(
                g.op("ReduceSum", g.op("Mul", column_gradient, met), g.ints(2), keepdims=1), mask
            )
        if needed[1]:
            read_in = met if scale is None else g.op("Mul", met, scale)
            rows = g.reshape(read_in, g.ints(-1, group, channels // group * entries, positions))
            products = g.op("MatMul", flat, g.op("Transpose", rows, perm=[0, 1, 3, 2]))
            gradients[1] = g.reshape_like(g.op("ReduceSum", products, g.ints(0), keepdims=0), w)
    if needed[2]:
        moves = []
        for axis in range(2):
            grown = g.op("Sum", *(g.op("Mul", read.value, read.slopes[axis]) for read in reads))
            total = g.op("ReduceSum", g.op("Mul", scaled, grown), g.ints(2), keepdims=1)
            moves.append(g.reshape(total, g.ints(-1, sets, entries, 1, positions)))
        gradients[2] = g.reshape_like(g.op("Concat", *moves, axis=3), offset)
    if bias is not None and needed[3]:
        gradients[3] = g.op("ReduceSum", dy, g.ints(0, 2, 3), keepdims=0)
    return gradients
