"""Rules of element dependence: the elements of operands that elements of an output are computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from xaionnx.graph.dependence import Elements, ElementStep, Entries, Operands, aligned
from xaionnx.typing import MOST_AXES, Array

# Tensors of more elements are not followed through a reshape.
_MOST = 2**24


def _with_axes(elements: tuple[Entries, ...], changed: dict[int, Entries]) -> tuple[Entries, ...]:
    return tuple(changed.get(at, axis) for at, axis in enumerate(elements))


def _entries(size: int, at: Array) -> Array:
    found = np.zeros(size, dtype=bool)
    found[at[(at >= 0) & (at < size)]] = True
    return found


def _positions(entries: Entries, size: int) -> Array:
    return np.arange(size) if entries is None else np.flatnonzero(entries)


def reshaped_elements(step: ElementStep) -> Operands:
    """The same numbers in the same order, in another shape."""
    held, shape = step.shape(), step.output_shape
    if step.elements is None or held is None or shape is None or max(len(held), len(shape)) > MOST_AXES:
        return Operands({0: None})
    if not math.prod(held) == math.prod(shape) <= _MOST:
        return Operands({0: None})
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(*(_positions(axis, size) for axis, size in zip(step.elements, shape, strict=True)))] = True
    mask = mask.reshape(held)
    axes = range(len(held))
    kept = (mask.any(axis=tuple(other for other in axes if other != axis)) for axis in axes)
    return Operands({0: tuple(np.asarray(entries) for entries in kept)})


def transposed_elements(step: ElementStep) -> Operands:
    """The same numbers, with axes in another order."""
    if step.elements is None:
        return Operands({0: None})
    order = step.attributes.get("perm", range(len(step.elements))[::-1])
    return Operands({0: tuple(step.elements[list(order).index(axis)] for axis in range(len(order)))})


def joined_elements(step: ElementStep) -> Operands | None:
    """Each entry of the joined axis comes from one operand."""
    shapes = [step.shape(number) for number in range(len(step.node.input))]
    if step.elements is None:
        return None
    axis = step.attributes["axis"] % len(step.elements)
    entries, first, found = step.elements[axis], 0, dict[int, Elements]()
    for number, shape in enumerate(shapes):
        if shape is None or len(shape) != len(step.elements):
            return None
        part = None if entries is None else entries[first : first + shape[axis]]
        found[number] = _with_axes(step.elements, {axis: part})
        first += shape[axis]
    return Operands(found)


def split_elements(step: ElementStep) -> Operands:
    """One output of a tensor split along an axis."""
    held, shapes = step.shape(), [step.walk.shape(name) for name in step.node.output[: step.index + 1] if name]
    known = [shape for shape in shapes if shape is not None]
    if held is None or len(known) <= step.index:
        return Operands({0: None})
    axis = step.attributes.get("axis", 0) % len(held)
    elements = step.elements or (None,) * len(held)
    first = sum(shape[axis] for shape in known[:-1])
    at = first + _positions(elements[axis], known[-1][axis])
    return Operands({0: _with_axes(elements, {axis: _entries(held[axis], at)})})


def sliced_elements(step: ElementStep) -> Operands:
    """Ranges of some axes."""
    held = step.shape()
    starts, ends = step.array(1, "starts"), step.array(2, "ends")
    axes, steps = step.array(3, "axes"), step.array(4, "steps")
    unknown = (step.has(3) and axes is None) or (step.has(4) and steps is None)
    if held is None or starts is None or ends is None or unknown:
        return Operands({0: None})
    elements, changed = step.elements or (None,) * len(held), dict[int, Entries]()
    for i, (start, end) in enumerate(zip(starts.ravel(), ends.ravel(), strict=True)):
        axis = int(axes.ravel()[i]) % len(held) if axes is not None else i
        chosen = np.arange(held[axis])[int(start) : int(end) : int(steps.ravel()[i]) if steps is not None else 1]
        entries = elements[axis]
        if entries is None or len(entries) == len(chosen):
            changed[axis] = _entries(held[axis], chosen if entries is None else chosen[entries])
    return Operands({0: _with_axes(elements, changed)})


def gathered_elements(step: ElementStep) -> Operands:
    """Entries of one axis, chosen by constant or computed indices."""
    held, indices, chosen = step.shape(), step.array(1), step.shape(1)
    if held is None or chosen is None:
        return Operands({0: None, 1: None}, certain=indices is not None)
    axis, more = step.attributes.get("axis", 0) % len(held), len(chosen)
    elements = step.elements or (None,) * (len(held) - 1 + more)
    rest = (*elements[:axis], None, *elements[axis + more :])
    of_indices = elements[axis : axis + more]
    if indices is None:
        return Operands({0: rest, 1: of_indices}, certain=False)
    at = np.ix_(*(_positions(entries, size) for entries, size in zip(of_indices, chosen, strict=True)))
    return Operands({0: _with_axes(rest, {axis: _entries(held[axis], indices[at].ravel() % held[axis])})})


def picked_elements(step: ElementStep) -> Operands:
    """Entries of one axis that values choose, separately for each entry of the other axes."""
    held, shape = step.shape(), step.output_shape
    if step.elements is None or held is None or shape is None or len(held) != len(shape):
        return Operands(dict.fromkeys(range(len(step.node.input))), certain=False)
    axis = step.attributes.get("axis", 0) % len(held)
    same = tuple(None if at == axis or held[at] != shape[at] else entries for at, entries in enumerate(step.elements))
    indices = {1: step.elements} if step.node.op_type == "GatherElements" else {}
    return Operands({0: same, **indices}, certain=False)


def scattered_elements(step: ElementStep) -> Operands:
    """A tensor in which some elements are replaced by others."""
    return Operands({0: step.elements, 2: None}, certain=False)


def expanded_elements(step: ElementStep) -> Operands:
    """Axes of size one, repeated."""
    shape = step.shape()
    fits = shape is not None and step.elements is not None and len(shape) <= len(step.elements)
    return Operands({0: aligned(step.elements, shape) if fits else None})


def tiled_elements(step: ElementStep) -> Operands:
    """Axes repeated as a whole."""
    held = step.shape()
    if step.elements is None or held is None:
        return Operands({0: None})
    return Operands(
        {
            0: tuple(
                None if entries is None else _entries(size, np.flatnonzero(entries) % size)
                for entries, size in zip(step.elements, held, strict=True)
            )
        }
    )


def padded_elements(step: ElementStep) -> Operands:
    """Further entries around those of the operand: constants, or copies of any of them."""
    held, shape, pads, axes = step.shape(), step.output_shape, step.array(1, "pads"), step.array(3)
    if step.elements is None or held is None or shape is None:
        return Operands({0: None})
    before = None
    if pads is not None and axes is None and not step.has(3) and pads.size == 2 * len(held):
        before = pads.ravel()[: len(held)]
    constant = step.attributes.get("mode", "constant") == "constant" and before is not None
    changed: dict[int, Entries] = {}
    for axis, entries in enumerate(step.elements):
        if entries is not None and held[axis] != shape[axis]:
            shifted = constant and before is not None
            at = np.flatnonzero(entries) - int(before[axis]) if shifted and before is not None else None
            changed[axis] = None if at is None else _entries(held[axis], at)
    return Operands({0: _with_axes(step.elements, changed)})


def along_axes(axes_of: Callable[[ElementStep, int], Iterable[int]]) -> Callable[[ElementStep], Operands]:
    """Return the rule of an op whose outputs read all entries of some axes, and the same entries of the others."""

    def rule(step: ElementStep) -> Operands:
        others: dict[int, Elements] = dict.fromkeys(range(1, len(step.node.input)))
        if step.elements is None:
            return Operands({0: None, **others})
        rank = len(step.elements)
        mixed: dict[int, Entries] = {axis % rank: None for axis in axes_of(step, rank)}
        return Operands({0: _with_axes(step.elements, mixed), **others})

    return rule


def _softmax_axes(step: ElementStep, rank: int) -> Iterable[int]:
    axis = step.attributes.get("axis", -1 if step.opset >= 13 else 1) % rank
    # Before opset 13 all axes from this one on were flattened.
    return (axis,) if step.opset >= 13 else range(axis, rank)


softmax_elements = along_axes(_softmax_axes)
one_axis_elements = along_axes(lambda step, _: (step.attributes.get("axis", -1),))
last_axes_elements = along_axes(lambda step, rank: range(step.attributes.get("axis", -1) % rank, rank))
channel_elements = along_axes(lambda step, rank: (1,) if rank > 1 else (0,))
after_channel_elements = along_axes(lambda step, rank: range(2, rank))
all_but_batch_elements = along_axes(lambda step, rank: range(1, rank))


def reduced_elements(step: ElementStep) -> Operands:
    """All entries of the reduced axes."""
    held, arg = step.shape(), step.node.op_type.startswith("Arg")
    axes = step.array(1, "axis" if arg else "axes")
    if step.elements is None or held is None or (axes is None and step.has(1)):
        return Operands({0: None})
    every = () if step.attributes.get("noop_with_empty_axes", 0) else range(len(held))
    gone = {int(axis) % len(held) for axis in axes.ravel()} if axes is not None and axes.size else set(every)
    if step.attributes.get("keepdims", 1):
        return Operands({0: _with_axes(step.elements, dict.fromkeys(gone))})
    rest = iter(step.elements)
    return Operands({0: tuple(None if axis in gone else next(rest) for axis in range(len(held)))})


def cumulated_elements(step: ElementStep) -> Operands:
    """All entries of the axis along which sums run."""
    axis = step.array(1)
    if step.elements is None or axis is None:
        return Operands({0: None})
    return Operands({0: _with_axes(step.elements, {int(axis.ravel()[0]) % len(step.elements): None})})


def matmul_elements(step: ElementStep) -> Operands | None:
    """Rows of the first factor, columns of the second."""
    one, other = step.shape(0), step.shape(1)
    if step.elements is None or one is None or other is None or min(len(one), len(other)) < 2:
        return None
    *lead, row, column = step.elements
    batch = tuple(lead)
    return Operands(
        {
            0: (*(aligned(batch, one[:-2]) or (None,) * (len(one) - 2)), row, None),
            1: (*(aligned(batch, other[:-2]) or (None,) * (len(other) - 2)), None, column),
        }
    )


def gemm_elements(step: ElementStep) -> Operands | None:
    """Rows of the first factor, columns of the second."""
    if step.elements is None or len(step.elements) != 2:
        return None
    row, column = step.elements
    found: dict[int, Elements] = {
        0: (None, row) if step.attributes.get("transA") else (row, None),
        1: (column, None) if step.attributes.get("transB") else (None, column),
    }
    if step.has(2):
        found[2] = aligned(step.elements, step.shape(2))
    return Operands(found)


def _windows(step: ElementStep, kernel: Sequence[int], held: Sequence[int], shape: Sequence[int]) -> list[Entries]:
    """The entries of the spatial axes that windows at some outputs cover."""
    assert step.elements is not None
    found, count = list[Entries](), len(kernel)
    strides = step.attributes.get("strides") or [1] * count
    dilations = step.attributes.get("dilations") or [1] * count
    pads, auto = step.attributes.get("pads") or [0] * 2 * count, step.attributes.get("auto_pad", "NOTSET")
    for at in range(count):
        entries, size = step.elements[2 + at], held[2 + at]
        if entries is None:
            found.append(None)
            continue
        before = int(pads[at])
        if auto.startswith("SAME"):
            reach = (kernel[at] - 1) * dilations[at] + 1
            missing = max(0, (shape[2 + at] - 1) * strides[at] + reach - size)
            before = missing // 2 if auto == "SAME_UPPER" else missing - missing // 2
        elif auto == "VALID":
            before = 0
        first = np.flatnonzero(entries) * strides[at] - before
        found.append(_entries(size, (first[:, None] + np.arange(kernel[at]) * dilations[at]).ravel()))
    return found


def conv_elements(step: ElementStep) -> Operands | None:
    """The channels of the group, at the positions of the window."""
    held, shape, weights = step.shape(), step.output_shape, step.shape(1)
    if step.elements is None or held is None or shape is None or weights is None:
        return None
    kernel = step.attributes.get("kernel_shape") or weights[2:]
    channels: Entries = None
    groups, own = step.attributes.get("group", 1), step.elements[1]
    if groups > 1 and own is not None:
        group = np.flatnonzero(own) // (shape[1] // groups)
        each = held[1] // groups
        channels = _entries(held[1], (group[:, None] * each + np.arange(each)).ravel())
    others: dict[int, Elements] = {number: None for number in range(1, len(step.node.input)) if step.has(number)}
    return Operands({0: (step.elements[0], channels, *_windows(step, kernel, held, shape)), **others})


def conv_transpose_elements(step: ElementStep) -> Operands | None:
    """All channels, at the positions whose windows cover the outputs."""
    held, weights = step.shape(), step.shape(1)
    automatic = step.attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in step.attributes
    if step.elements is None or held is None or weights is None or automatic:
        return None
    kernel = step.attributes.get("kernel_shape") or weights[2:]
    count, found = len(kernel), list[Entries]()
    strides = step.attributes.get("strides") or [1] * count
    dilations = step.attributes.get("dilations") or [1] * count
    pads = step.attributes.get("pads") or [0] * 2 * count
    for at in range(count):
        entries = step.elements[2 + at]
        if entries is None:
            found.append(None)
            continue
        ahead = np.flatnonzero(entries)[:, None] + int(pads[at]) - np.arange(kernel[at]) * dilations[at]
        found.append(_entries(held[2 + at], ahead[ahead % strides[at] == 0] // strides[at]))
    others: dict[int, Elements] = {number: None for number in range(1, len(step.node.input)) if step.has(number)}
    return Operands({0: (step.elements[0], None, *found), **others})


def pooled_elements(step: ElementStep) -> Operands:
    """The same channel, at the positions of the window."""
    held, shape = step.shape(), step.output_shape
    if step.elements is None or held is None or shape is None:
        return Operands({0: None})
    windows = _windows(step, step.attributes["kernel_shape"], held, shape)
    return Operands({0: (*step.elements[:2], *windows)})


def resized_elements(step: ElementStep) -> Operands:
    """The positions around each output's own, as far as an interpolation reaches."""
    held, shape = step.shape(), step.output_shape
    whole = step.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if step.elements is None or held is None or shape is None or len(held) != len(shape) or whole:
        return Operands({0: None})
    changed: dict[int, Entries] = {}
    for axis, entries in enumerate(step.elements):
        if entries is None or held[axis] == shape[axis]:
            continue
        ratio = held[axis] / shape[axis]
        reach = 2 if step.attributes.get("mode") == "cubic" else 1
        if step.attributes.get("antialias"):
            reach = math.ceil(reach * max(1.0, ratio))
        centre = np.floor(np.flatnonzero(entries) * ratio).astype(int)
        at = (centre[:, None] + np.arange(-reach, reach + 1)).ravel()
        changed[axis] = _entries(held[axis], np.clip(at, 0, held[axis] - 1))
    return Operands({0: _with_axes(step.elements, changed)})


def block_elements(step: ElementStep) -> Operands:
    """Blocks of positions that are stored as channels, or the reverse."""
    held = step.shape()
    if step.elements is None or held is None or len(step.elements) != 4:
        return Operands({0: None})
    block = step.attributes["blocksize"]
    found = list[Entries]()
    for axis in (2, 3):
        entries = step.elements[axis]
        if entries is None:
            found.append(None)
            continue
        at = np.flatnonzero(entries)
        deep = step.node.op_type == "DepthToSpace"
        found.append(_entries(held[axis], at // block if deep else (at[:, None] * block + np.arange(block)).ravel()))
    return Operands({0: (step.elements[0], None, *found)})
