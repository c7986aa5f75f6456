"""Rules of ops that move numbers: reshaping, slicing, joining."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary
from xaionnx.typing import Array

# Indices that occur more often are summed by ScatterElements.
_GATHERED_TIMES = 4


def _operand(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _x(node: ir.Node) -> ir.Value:
    return _operand(node, 0)


@unary("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.reshape_like(dy, _x(node))


@unary("Transpose")
def transpose(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    rank = g.rank(_x(node))
    perm = node.attributes.get_ints("perm") or range(rank)[::-1]
    return g.op("Transpose", dy, perm=[int(axis) for axis in np.argsort(perm)])


@unary("Expand")
def expand(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return dy  # the walk sums over repeated axes


@rule("Concat")
def concat(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    dy = cotangents[0]
    rank = g.rank(node.outputs[0])
    axis = node.attributes.get_int("axis", 0) % rank
    values = [value for value in node.inputs if value is not None]
    found: list[Gradient] = []
    start = g.ints(0)
    for value, wanted in zip(values, needed, strict=True):
        end = g.add_sizes(start, g.sizes_of(value, [axis]))
        found.append(g.op("Slice", dy, start, end, g.ints(axis)) if wanted else None)
        start = end
    return found


@rule("Split")
def split(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    axis = node.attributes.get_int("axis", 0) % g.rank(_x(node))
    parts = [g.zeros_like(value) if dy is None else dy for value, dy in zip(node.outputs, cotangents, strict=True)]
    return [g.op("Concat", *parts, axis=axis)] + [None] * (len(node.inputs) - 1)


@unary("Slice")
def slice_(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, y = _x(node), node.outputs[0]
    rank = g.rank(x)
    axes_given = g.constant_input(node, 3)
    count = g.sizes(node.inputs[1])[0] if node.inputs[1] is not None else 0
    axes = [int(a) % rank for a in (range(count) if axes_given is None else axes_given)]
    steps_given = g.constant_input(node, 4)
    steps = [1] * count if steps_given is None else [int(s) for s in steps_given]
    left_alone = {
        axis for axis, stride in zip(axes, steps, strict=True) if stride == 1 and g.sizes(x)[axis] == g.sizes(y)[axis]
    }
    if set(axes) == left_alone:
        return dy
    starts, ends = (g.constant_of(_operand(node, index)) for index in (1, 2))
    if starts is None or ends is None:
        if set(steps) != {1}:
            raise g.refusal(node, "its bounds change from run to run, and its steps are not 1")
        return _pad_outside(g, x, dy, axes, _operand(node, 1), _operand(node, 2))
    begin, end = [0] * rank, [0] * rank
    for axis, start, stop, stride in zip(axes, starts, ends, steps, strict=True):
        if axis in left_alone:
            continue
        size = g.size(x, axis)
        chosen = np.arange(size)[slice(int(start), _stop(int(stop), size, stride), stride)]
        if stride == 1:
            begin[axis] = int(chosen[0]) if len(chosen) else size
            end[axis] = size - begin[axis] - len(chosen)
        else:
            dy = g.select_back(dy, rank, axis, chosen, size)
    return g.pad(dy, begin, end)


def _pad_outside(
    g: GradientBuilder, x: ir.Value, dy: ir.Value, axes: Sequence[int], starts: ir.Value, ends: ir.Value
) -> ir.Value:
    """Pad with zeros outside of bounds that are computed, as they follow the number of samples."""
    sizes, places = g.sizes_of(x, axes), g.ints(*axes)

    def inside(bounds: ir.Value) -> ir.Value:
        at = g.op("Cast", bounds, to=ir.DataType.INT64)
        at = g.op("Where", g.op("Less", at, np.int64(0)), g.op("Add", at, sizes), at)
        return g.op("Min", g.op("Max", at, np.int64(0)), sizes)

    begin = inside(starts)
    rest = g.op("Sub", sizes, g.op("Max", inside(ends), begin))
    none = g.ints(*[0] * g.rank(x))
    pads = [g.op("ScatterElements", none, places, pad, axis=0) for pad in (begin, rest)]
    return g.op("Pad", dy, g.op("Concat", *pads, axis=0))


def _stop(stop: int, size: int, stride: int) -> int | None:
    # With a negative stride, an end before the first entry has no Python index.
    return None if stride < 0 and stop < -size else stop


@rule("Pad")
def pad(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    x, dy = _x(node), cotangents[0]
    assert dy is not None
    rank = g.rank(x)
    pads, axes_given = g.constant_input(node, 1), g.constant_input(node, 3)
    if pads is None:
        raise g.refusal(node, "its pads are missing")
    axes = [int(a) % rank for a in (range(rank) if axes_given is None else axes_given)]
    begin, end = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        begin[axis], end[axis] = int(first), int(last)
    mode = node.attributes.get_string("mode", "constant")
    if mode == "constant":
        value: Gradient = None
        if len(needed) > 2 and needed[2]:
            inside = g.pad(dy, [min(-a, 0) for a in begin], [min(-b, 0) for b in end])
            total = g.op("Sub", g.op("ReduceSum", dy, keepdims=0), g.op("ReduceSum", inside, keepdims=0))
            value = g.reshape_like(total, _operand(node, 2))
        dx = g.pad(dy, [-a for a in begin], [-b for b in end]) if needed[0] else None
        return [dx, None, value, None][: len(node.inputs)]
    for axis in range(rank):
        if begin[axis] or end[axis]:
            size = g.size(x, axis)
            # The entry from which each entry of the padded axis was copied; negative pads crop.
            widths = (max(begin[axis], 0), max(end[axis], 0))
            wide = np.pad(np.arange(size), widths, mode=mode)  # type: ignore[call-overload]  # one of numpy's modes
            source = wide[max(-begin[axis], 0) : len(wide) - max(-end[axis], 0)]
            dy = g.select_back(dy, rank, axis, source, size)
    return [dy if needed[0] else None] + [None] * (len(node.inputs) - 1)


@unary("Gather")
def gather(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, index = _x(node), node.inputs[1]
    assert index is not None
    rank = g.rank(x)
    axis = node.attributes.get_int("axis", 0) % rank
    known, inner = g.constant_of(index), g.rank(index)
    if inner == 0:
        dy = g.op("Unsqueeze", dy, g.ints(axis))
    elif inner > 1:
        # One axis of indices instead of several; the sizes before it are copied by 0.
        after = g.sizes_of(x, range(axis + 1, rank))
        dy = g.reshape(dy, g.join_sizes(g.ints(*[0] * axis, -1), after))
    if known is not None and g.shape(x)[axis] is not None:
        size = g.size(x, axis)
        flat = known.reshape(-1) % size
        if inner == 0:
            at = int(flat[0])
            begin, end = [0] * rank, [0] * rank
            begin[axis], end[axis] = at, size - 1 - at
            return g.pad(dy, begin, end)
        if rarely_repeated(flat):
            return g.select_back(dy, rank, axis, flat, size)
    column = [1] * rank
    column[axis] = -1
    spread = g.op("Expand", g.reshape(index, g.ints(*column)), g.op("Shape", dy))
    return g.op("ScatterElements", g.zeros_like(x), spread, dy, axis=axis, reduction="add")


def rarely_repeated(positions: Array) -> bool:
    """Whether no position occurs so often that summing its entries one by one is slow."""
    return bool(np.bincount(positions, minlength=1).max() <= _GATHERED_TIMES)


@unary("CenterCropPad")
def center_crop_pad(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, y = _x(node), node.outputs[0]
    rank = g.rank(x)
    begin, end = [0] * rank, [0] * rank
    for axis in node.attributes.get_ints("axes") or range(rank):
        if g.sizes(x)[axis] != g.sizes(y)[axis]:
            more = g.size(x, axis) - g.size(y, axis)
            # If the difference is odd, the extra entry is at the end, whether it is cropped or padded.
            begin[axis] = more // 2 if more > 0 else -(-more // 2)
            end[axis] = more - begin[axis]
    return g.pad(dy, begin, end)


@unary("Col2Im")
def col2im(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """Columns are summed into pictures, so their gradient is read from the same positions."""
    x, image, block = _x(node), g.constant_input(node, 1), g.constant_input(node, 2)
    if image is None or block is None:
        raise g.refusal(node, "its shapes are missing")
    rank, attributes = len(image), node.attributes
    strides = attributes.get_ints("strides") or [1] * rank
    dilations = attributes.get_ints("dilations") or [1] * rank
    pads = attributes.get_ints("pads") or [0] * 2 * rank
    wide = [int(size) + pads[a] + pads[a + rank] for a, size in enumerate(image)]
    positions = np.zeros((1, 1), dtype=np.int64)
    for axis in range(rank):
        reach = (int(block[axis]) - 1) * dilations[axis] + 1
        first = np.arange(0, wide[axis] - reach + 1, strides[axis])
        line = np.arange(int(block[axis]))[:, None] * dilations[axis] + first
        # (entries of the block, windows), with the axes so far before this one.
        positions = (positions[:, None, :, None] * wide[axis] + line[None, :, None, :]).reshape(
            len(positions) * len(line), positions.shape[1] * len(first)
        )
    padded = g.pad(dy, [0, 0, *pads[:rank]], [0, 0, *pads[rank:]])
    flat = g.reshape(padded, g.ints(0, 0, int(np.prod(wide))))
    return g.reshape_like(g.op("Gather", flat, g.constant(positions), axis=2), x)
