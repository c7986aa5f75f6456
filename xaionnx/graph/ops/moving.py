"""Ops that move numbers: reshaping, slicing, joining, selecting by fixed positions."""

from __future__ import annotations

import math

import onnx

from xaionnx.graph.axis_factors import (
    Axis,
    AxisFactor,
    Layout,
    broadcast_layout,
    mixed_axis,
    reshaped_layout,
    sliced_axis,
    spatial_factor,
    token_factor,
    with_extra_tokens,
)
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.dependence import same_elements
from xaionnx.graph.element_rules import (
    block_elements,
    expanded_elements,
    gathered_elements,
    joined_elements,
    padded_elements,
    picked_elements,
    reshaped_elements,
    sliced_elements,
    split_elements,
    tiled_elements,
    transposed_elements,
)
from xaionnx.graph.locality import RANK, Field, LocalStep, alone, not_local, same_field, union_field
from xaionnx.graph.op import Broadcast, Kind, Op, if_first_known, unknown_axes
from xaionnx.graph.roles import lookup_roles, window_roles

# Float types that numpy has too.
_NUMPY_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def reshape_axes(step: AxisStep) -> Layout | None:
    """The same numbers in the same order, in a new shape."""
    layout, sizes = step.layout, step.sizes()
    target = step.numbers(1) if step.node.op_type == "Reshape" else None
    held = math.prod(part.size for axis in layout for part in axis)
    if target:
        if sizes is None or len(sizes) != len(target):
            sizes = [0] * len(target)  # not known, or declared falsely
        sizes = [size or max(wanted, 0) for size, wanted in zip(sizes, target, strict=True)]
    if not sizes or not held:
        return None
    if sizes.count(0) == 1:
        rest = math.prod(size for size in sizes if size)
        sizes = [size or held // rest for size in sizes]
    return None if math.prod(sizes) != held else reshaped_layout(layout, sizes)


def _squeeze_axes(step: AxisStep) -> Layout | None:
    axes, layout = step.numbers(1, "axes"), step.layout
    if axes is None:
        return reshape_axes(step)
    gone = {axis % len(layout) for axis in axes}
    return tuple(axis for at, axis in enumerate(layout) if at not in gone)


def _unsqueeze_axes(step: AxisStep) -> Layout | None:
    axes, layout = step.numbers(1, "axes"), step.layout
    if axes is None:
        return reshape_axes(step)
    wide = len(layout) + len(axes)
    new, rest = {axis % wide for axis in axes}, iter(layout)
    return tuple(() if at in new else next(rest) for at in range(wide))


def _transpose_axes(step: AxisStep) -> Layout | None:
    layout = step.layout
    order = step.attributes.get("perm", range(len(layout))[::-1])
    return tuple(layout[axis] for axis in order) if len(order) == len(layout) else None


def _transpose_field(step: LocalStep) -> Field | None:
    perm = list(step.attributes.get("perm", (3, 2, 1, 0)))
    if not alone(step) or perm[0] != 0:
        return None
    return Field((perm.index(step.field.axes[0]), perm.index(step.field.axes[1])), step.field.reaches)


def _concat_axes(step: AxisStep) -> Layout | None:
    names = list(step.node.input)
    read = [step.walk.layouts.get(name) for name in names]
    result = broadcast_layout([layout for layout in read if layout])
    if result is None:
        return None
    axis = step.attributes["axis"] % len(result)
    parts = [layout[axis] if layout and len(layout) == len(result) else () for layout in read]
    placed = [at for at, part in enumerate(parts) if any(p.is_spatial for p in part)]
    joint: Axis
    if not placed:
        joint = (AxisFactor("?" if any(p.kind == "?" for p in result[axis]) else "C", step.size(axis)),)
    elif len(placed) == 1 and (tokens := token_factor(parts[placed[0]])) is not None:
        sizes = [step.size(axis, name) for name in names]
        joint = (with_extra_tokens(tokens, sizes[: placed[0]], sizes[placed[0] + 1 :]),)
    else:
        joint = (AxisFactor("?", step.size(axis)),)
    return (*result[:axis], joint, *result[axis + 1 :])


def _concat_field(step: LocalStep) -> Field | None:
    return union_field(step, constants=False) if step.attributes["axis"] % RANK == step.channels else None


def _split_axes(step: AxisStep) -> Layout:
    layout = step.layout
    at = step.attributes.get("axis", 0) % len(layout)
    held, sizes = step.size(at, step.node.input[0]), step.output_sizes(at)
    chosen = range(sum(sizes[: step.index]), sum(sizes[: step.index + 1])) if all(sizes) else None
    return (*layout[:at], sliced_axis(layout[at], held, sizes[step.index], chosen, 1), *layout[at + 1 :])


def _split_field(step: LocalStep) -> Field | None:
    return step.field if alone(step) and step.attributes["axis"] % RANK == step.channels else None


def _slice_axes(step: AxisStep) -> Layout | None:
    node, layout = step.node, step.layout
    starts, ends = step.numbers(1, "starts"), step.numbers(2, "ends")
    axes, steps = step.numbers(3, "axes"), step.numbers(4, "steps")
    unknown = [numbers is None and len(node.input) > at and node.input[at] for at, numbers in ((3, axes), (4, steps))]
    if any(unknown):
        return None
    result = list(layout)
    for i, axis in enumerate(range(len(starts or layout)) if axes is None else axes):
        at, stride = axis % len(layout), steps[i] if steps else 1
        held = step.size(at, node.input[0])
        chosen = range(held)[starts[i] : ends[i] : stride] if starts and ends and held else None
        result[at] = sliced_axis(layout[at], held, step.size(at), chosen, stride)
    return tuple(result)


def _pad_axes(step: AxisStep) -> Layout:
    """Padding adds positions; the others keep their position in the input."""
    layout, pads = step.layout, step.numbers(1, "pads")
    if pads is None or len(pads) != 2 * len(layout):
        pads = None
    result = []
    for at, axis in enumerate(layout):
        size, around = step.size(at), (pads[at], pads[at + len(layout)]) if pads else None
        if not size and around:
            held = step.size(at, step.node.input[0])
            size = held + sum(around) if held else 0
        part, tokens = spatial_factor(axis), token_factor(axis)
        if tokens is not None:
            fits = around is not None and pads is not None and min(pads) >= 0
            result.append(
                (with_extra_tokens(tokens, around[:1], around[1:], none=True),)
                if around and fits
                else mixed_axis(axis, size)
            )
        elif part is None:
            result.append(_same_or_mixed(axis, size))
        else:
            result.append((AxisFactor.spatial(part.kind, size, part.covered // part.stride),))
    return tuple(result)


def resize_axes(step: AxisStep) -> Layout:
    """The number of positions changes; they still cover the input."""
    cropping = step.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    result = []
    for at, axis in enumerate(step.layout):
        size, part = step.size(at), spatial_factor(axis)
        if part is None or cropping:
            result.append(_same_or_mixed(axis, size))
        else:
            held = max(part.size, 1)
            result.append((AxisFactor.spatial(part.kind, size, round(part.covered / part.stride * size / held)),))
    return tuple(result)


def _same_or_mixed(axis: Axis, size: int) -> Axis:
    same = size and size == math.prod(p.size for p in axis)
    return axis if same or not any(p.is_spatial for p in axis) else mixed_axis(axis, size)


def _expand_axes(step: AxisStep) -> Layout | None:
    """A repeated axis has no spatial positions; unchanged sizes are not repeated."""
    layout, sizes = step.layout, step.sizes()
    missing = len(sizes or layout) - len(layout)
    if sizes is None or missing < 0:
        return None
    wide: Layout = ((),) * missing + layout
    held = [1] * missing + (step.sizes(step.node.input[0]) or [0] * len(layout))
    return tuple(
        axis if size and size == old else mixed_axis(axis, size)
        for axis, size, old in zip(wide, sizes, held, strict=True)
    )


def _gather_axes(step: AxisStep) -> Layout | None:
    """Entries of an axis of the first operand; or rows of a table of constants, one per token."""
    layout, sizes = step.layout, step.sizes()
    tokens, table = step.operand(1), step.sizes(step.node.input[0])
    if not layout and tokens and table is not None and step.attributes.get("axis", 0) == 0:
        return (*tokens, *((AxisFactor("C", size),) for size in table[1:]))
    if len(layout) < 2:
        return None
    if step.node.input[1] in step.walk.layouts or sizes is None:
        return None
    at, new = step.attributes.get("axis", 0) % len(layout), len(sizes) - len(layout) + 1
    taken = tuple(mixed_axis(layout[at], sizes[at + i]) for i in range(max(new, 0)))
    return (*layout[:at], *taken, *layout[at + 1 :])


def _reverse_axes(step: AxisStep) -> Layout:
    gone = step.attributes.get("time_axis", 0) % len(step.layout)
    return mix_axes(step, {gone})


def mix_axes(step: AxisStep, gone: set[int]) -> Layout:
    """Layout after numbers move between positions along some axes."""
    return tuple(mixed_axis(axis, step.size(at)) if at in gone else axis for at, axis in enumerate(step.layout))


def _cast_field(step: LocalStep) -> Field | None:
    return same_field(step) if step.attributes["to"] in _NUMPY_FLOATS else None


_MOVES = Kind.MOVES

OPS = (
    Op("Identity", _MOVES, local=same_field, elements=same_elements, carries=True, keeps_sign=True),
    Op("Dropout", _MOVES, elements=same_elements, carries=True),
    Op("Cast", _MOVES, local=_cast_field, elements=same_elements, carries=True),
    Op(
        "Reshape",
        _MOVES,
        if_first_known(reshape_axes),
        elements=reshaped_elements,
        carries=True,
        regroups=True,
        keeps_sign=True,
    ),
    Op(
        "Flatten",
        _MOVES,
        if_first_known(reshape_axes),
        elements=reshaped_elements,
        carries=True,
        regroups=True,
        keeps_sign=True,
    ),
    Op("Squeeze", _MOVES, if_first_known(_squeeze_axes), elements=reshaped_elements, carries=True, regroups=True),
    Op("Unsqueeze", _MOVES, if_first_known(_unsqueeze_axes), elements=reshaped_elements, carries=True, regroups=True),
    Op(
        "Transpose",
        _MOVES,
        if_first_known(_transpose_axes),
        _transpose_field,
        transposed_elements,
        carries=True,
        regroups=True,
        keeps_sign=True,
    ),
    Op("Concat", _MOVES, _concat_axes, _concat_field, joined_elements),
    Op("Split", _MOVES, if_first_known(_split_axes), _split_field, split_elements),
    Op("Slice", _MOVES, if_first_known(_slice_axes), elements=sliced_elements),
    Op("Pad", _MOVES, if_first_known(_pad_axes), elements=padded_elements),
    Op("DepthToSpace", _MOVES, if_first_known(resize_axes), elements=block_elements, roles=window_roles),
    Op("SpaceToDepth", _MOVES, if_first_known(resize_axes), elements=block_elements, roles=window_roles),
    Op("Expand", _MOVES, if_first_known(_expand_axes), not_local, expanded_elements, Broadcast()),
    Op("Tile", _MOVES, if_first_known(_expand_axes), elements=tiled_elements),
    Op("Gather", _MOVES, _gather_axes, elements=gathered_elements, roles=lookup_roles),
    Op("GatherElements", _MOVES, unknown_axes, elements=picked_elements),
    Op("GatherND", _MOVES, unknown_axes),
    Op("ReverseSequence", _MOVES, if_first_known(_reverse_axes)),
    Op("Where", _MOVES, broadcasts=Broadcast()),
    Op("Compress", _MOVES),
    Op("MaxUnpool", _MOVES),
    Op("Trilu", _MOVES, elements=same_elements),
    Op("CenterCropPad", _MOVES),
)
