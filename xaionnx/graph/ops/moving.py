"""Ops that move numbers about: shapes, slices, joints, selections by fixed positions."""

from __future__ import annotations

import math

import onnx

from xaionnx.graph.axis_factors import Axis, Layout, Part, among, broadcast, cut, lost, regrouped, tokens_on, whole_on
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.locality import RANK, Field, LocalStep, alone, joined, kept, not_local
from xaionnx.graph.op import Broadcast, Kind, Op, along_first, not_followed

# Types of inner tensors that arrays can hold.
_HELD = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def reshaped(step: AxisStep) -> Layout | None:
    """The same numbers in the same order, in other sizes."""
    layout, sizes = step.layout, step.sizes()
    target = step.numbers(1) if step.node.op_type == "Reshape" else None
    held = math.prod(part.size for axis in layout for part in axis)
    if target:
        sizes = [size or max(wanted, 0) for size, wanted in zip(sizes or [0] * len(target), target, strict=True)]
    if not sizes or not held:
        return None
    if sizes.count(0) == 1:
        rest = math.prod(size for size in sizes if size)
        sizes = [size or held // rest for size in sizes]
    return None if math.prod(sizes) != held else regrouped(layout, sizes)


def _squeezed(step: AxisStep) -> Layout | None:
    axes, layout = step.numbers(1, "axes"), step.layout
    if axes is None:
        return reshaped(step)
    gone = {axis % len(layout) for axis in axes}
    return tuple(axis for at, axis in enumerate(layout) if at not in gone)


def _unsqueezed(step: AxisStep) -> Layout | None:
    axes, layout = step.numbers(1, "axes"), step.layout
    if axes is None:
        return reshaped(step)
    wide = len(layout) + len(axes)
    new, rest = {axis % wide for axis in axes}, iter(layout)
    return tuple(() if at in new else next(rest) for at in range(wide))


def _transposed(step: AxisStep) -> Layout | None:
    layout = step.layout
    order = step.attributes.get("perm", range(len(layout))[::-1])
    return tuple(layout[axis] for axis in order) if len(order) == len(layout) else None


def _transposed_field(step: LocalStep) -> Field | None:
    perm = list(step.attributes.get("perm", (3, 2, 1, 0)))
    if not alone(step) or perm[0] != 0:
        return None
    return Field((perm.index(step.field.axes[0]), perm.index(step.field.axes[1])), step.field.reaches)


def _concatenated(step: AxisStep) -> Layout | None:
    names = list(step.node.input)
    read = [step.walk.layouts.get(name) for name in names]
    made = broadcast([layout for layout in read if layout])
    if made is None:
        return None
    axis = step.attributes["axis"] % len(made)
    parts = [layout[axis] if layout and len(layout) == len(made) else () for layout in read]
    placed = [at for at, part in enumerate(parts) if any(p.placed for p in part)]
    joint: Axis
    if not placed:
        joint = (Part("?" if any(p.kind == "?" for p in made[axis]) else "C", step.size(axis)),)
    elif len(placed) == 1 and (tokens := tokens_on(parts[placed[0]])) is not None:
        sizes = [step.size(axis, name) for name in names]
        joint = (among(tokens, sizes[: placed[0]], sizes[placed[0] + 1 :]),)
    else:
        joint = (Part("?", step.size(axis)),)
    return (*made[:axis], joint, *made[axis + 1 :])


def _concatenated_field(step: LocalStep) -> Field | None:
    return joined(step, constants=False) if step.attributes["axis"] % RANK == step.channels else None


def _divided(step: AxisStep) -> Layout:
    layout = step.layout
    at = step.attributes.get("axis", 0) % len(layout)
    held, sizes = step.size(at, step.node.input[0]), [step.size(at, made) for made in step.node.output]
    chosen = range(sum(sizes[: step.index]), sum(sizes[: step.index + 1])) if all(sizes) else None
    return (*layout[:at], cut(layout[at], held, sizes[step.index], chosen, 1), *layout[at + 1 :])


def _divided_field(step: LocalStep) -> Field | None:
    return step.field if alone(step) and step.attributes["axis"] % RANK == step.channels else None


def _sliced(step: AxisStep) -> Layout | None:
    node, layout = step.node, step.layout
    starts, ends = step.numbers(1, "starts"), step.numbers(2, "ends")
    axes, steps = step.numbers(3, "axes"), step.numbers(4, "steps")
    unknown = [numbers is None and len(node.input) > at and node.input[at] for at, numbers in ((3, axes), (4, steps))]
    if any(unknown):
        return None
    made = list(layout)
    for i, axis in enumerate(range(len(starts or layout)) if axes is None else axes):
        at, stride = axis % len(layout), steps[i] if steps else 1
        held = step.size(at, node.input[0])
        chosen = range(held)[starts[i] : ends[i] : stride] if starts and ends and held else None
        made[at] = cut(layout[at], held, step.size(at), chosen, stride)
    return tuple(made)


def _padded(step: AxisStep) -> Layout:
    """Places are surrounded by others: the input is still behind each of them."""
    layout, pads = step.layout, step.numbers(1, "pads")
    if pads is None or len(pads) != 2 * len(layout):
        pads = None
    made = []
    for at, axis in enumerate(layout):
        size, around = step.size(at), (pads[at], pads[at + len(layout)]) if pads else None
        if not size and around:
            held = step.size(at, step.node.input[0])
            size = held + sum(around) if held else 0
        part, tokens = whole_on(axis), tokens_on(axis)
        if tokens is not None:
            fits = around is not None and pads is not None and min(pads) >= 0
            made.append((among(tokens, around[:1], around[1:], none=True),) if around and fits else lost(axis, size))
        elif part is None:
            made.append(_same_or_lost(axis, size))
        else:
            made.append((Part.place(part.kind, size, part.due // part.under),))
    return tuple(made)


def rescaled(step: AxisStep) -> Layout:
    """Places are more or fewer: the input is still behind each of them."""
    cropping = step.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    made = []
    for at, axis in enumerate(step.layout):
        size, part = step.size(at), whole_on(axis)
        if part is None or cropping:
            made.append(_same_or_lost(axis, size))
        else:
            held = max(part.size, 1)
            made.append((Part.place(part.kind, size, round(part.due / part.under * size / held)),))
    return tuple(made)


def _same_or_lost(axis: Axis, size: int) -> Axis:
    same = size and size == math.prod(p.size for p in axis)
    return axis if same or not any(p.placed for p in axis) else lost(axis, size)


def _stretched(step: AxisStep) -> Layout | None:
    """What an op repeats is no place, as far as the sizes tell."""
    layout, sizes = step.layout, step.sizes()
    missing = len(sizes or layout) - len(layout)
    if sizes is None or missing < 0:
        return None
    wide: Layout = ((),) * missing + layout
    held = [1] * missing + (step.sizes(step.node.input[0]) or [0] * len(layout))
    return tuple(
        axis if size and size == old else lost(axis, size) for axis, size, old in zip(wide, sizes, held, strict=True)
    )


def _gathered(step: AxisStep) -> Layout | None:
    layout, sizes = step.layout, step.sizes()
    if step.node.input[1] in step.walk.layouts or sizes is None:
        return None
    at, new = step.attributes.get("axis", 0) % len(layout), len(sizes) - len(layout) + 1
    taken = tuple(lost(layout[at], sizes[at + i]) for i in range(max(new, 0)))
    return (*layout[:at], *taken, *layout[at + 1 :])


def _reversed(step: AxisStep) -> Layout:
    gone = step.attributes.get("time_axis", 0) % len(step.layout)
    return mixed(step, {gone})


def mixed(step: AxisStep, gone: set[int]) -> Layout:
    """Along some axes, numbers of a place go to others."""
    return tuple(lost(axis, step.size(at)) if at in gone else axis for at, axis in enumerate(step.layout))


def _cast_field(step: LocalStep) -> Field | None:
    return kept(step) if step.attributes["to"] in _HELD else None


_MOVES = Kind.MOVES

OPS = (
    Op("Identity", _MOVES, local=kept, carries=True, keeps_sign=True),
    Op("Dropout", _MOVES, carries=True),
    Op("Cast", _MOVES, local=_cast_field, carries=True),
    Op("Reshape", _MOVES, along_first(reshaped), carries=True, regroups=True, keeps_sign=True),
    Op("Flatten", _MOVES, along_first(reshaped), carries=True, regroups=True, keeps_sign=True),
    Op("Squeeze", _MOVES, along_first(_squeezed), carries=True, regroups=True),
    Op("Unsqueeze", _MOVES, along_first(_unsqueezed), carries=True, regroups=True),
    Op("Transpose", _MOVES, along_first(_transposed), _transposed_field, carries=True, regroups=True, keeps_sign=True),
    Op("Concat", _MOVES, _concatenated, _concatenated_field),
    Op("Split", _MOVES, along_first(_divided), _divided_field),
    Op("Slice", _MOVES, along_first(_sliced)),
    Op("Pad", _MOVES, along_first(_padded)),
    Op("DepthToSpace", _MOVES, along_first(rescaled)),
    Op("SpaceToDepth", _MOVES, along_first(rescaled)),
    Op("Expand", _MOVES, along_first(_stretched), not_local, Broadcast()),
    Op("Tile", _MOVES, along_first(_stretched)),
    Op("Gather", _MOVES, along_first(_gathered)),
    Op("GatherElements", _MOVES, not_followed),
    Op("GatherND", _MOVES, not_followed),
    Op("ReverseSequence", _MOVES, along_first(_reversed)),
    Op("Where", _MOVES, broadcasts=Broadcast()),
    Op("Compress", _MOVES),
    Op("MaxUnpool", _MOVES),
    Op("Trilu", _MOVES),
    Op("CenterCropPad", _MOVES),
)
