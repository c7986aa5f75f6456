"""Rules of convolutions: their backward is a convolution with the same weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff._windows import Window, window
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule


@rule("Conv")
def conv(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    w, dy = node.inputs[1], cotangents[0]
    assert w is not None
    assert dy is not None
    group = node.attributes.get_int("group", 1)
    frame = window(g, node, g.sizes(w)[2:])
    gradients: list[Gradient] = [
        conv_back(g, dy, w, g.sizes(w), frame, group) if needed[0] else None,
        _weights_back(g, node.inputs[0], dy, g.sizes(w), frame, group) if needed[1] else None,
    ]
    if len(node.inputs) > 2:
        gradients.append(_bias_back(g, dy, frame.rank) if needed[2] else None)
    return gradients


def conv_back(
    g: GradientBuilder, dy: ir.Value, w: ir.Value, shape: Sequence[int], frame: Window, group: int
) -> ir.Value:
    """Emit the gradient of a Conv with respect to its input; ``w`` of ``shape`` may be an emitted tensor."""
    rank = frame.rank
    if rank == 2 and tuple(shape[:2]) == (group, 1) and set(frame.strides) != {1} and set(frame.dilations) == {1}:
        dy, frame = _insert_zeros(g, dy, w, frame, group)
    before = [frame.reach(a) - 1 - frame.begin[a] for a in range(rank)]
    after = [frame.reach(a) - 1 - frame.end[a] for a in range(rank)]
    # ConvTranspose is faster for three axes, and Conv does not allow negative pads.
    if rank < 3 and set(frame.strides) == {1} and min(*before, *after, 0) == 0:
        return g.op(
            "Conv",
            dy,
            _flip_weights(g, w, shape, frame, group),
            dilations=frame.dilations,
            group=group,
            pads=[*before, *after],
        )
    spare = [frame.spare(a) for a in range(rank)]
    largest = [max(frame.strides[a], frame.dilations[a]) - 1 for a in range(rank)]
    extra = [min(max(spare[a], 0), largest[a]) for a in range(rank)]
    dx = g.op(
        "ConvTranspose",
        dy,
        w,
        dilations=frame.dilations,
        group=group,
        strides=frame.strides,
        pads=[*frame.begin, *frame.end],
        output_padding=extra,
    )
    # Entries outside all windows have no gradient, and windows over the end read only pads.
    rest = [spare[a] - extra[a] for a in range(rank)]
    if any(rest):
        dx = g.pad(dx, [0] * (rank + 2), [0, 0, *rest])
    return dx


def _insert_zeros(g: GradientBuilder, dy: ir.Value, w: ir.Value, frame: Window, group: int) -> tuple[ir.Value, Window]:
    """``dy`` with zeros between its entries, and the window of stride one over it.

    Transposed convolutions of single channels are slow, plain ones are not: even with the zeros, this takes half to
    four fifths of the time.
    """
    dtype = w.dtype or ir.DataType.FLOAT
    ones = g.constant(np.ones((group, 1, 1, 1), dtype=dtype.numpy()), dtype)
    spread = g.op("ConvTranspose", dy, ones, group=group, strides=frame.strides)
    return spread, frame.dense()


def _flip_weights(g: GradientBuilder, w: ir.Value, shape: Sequence[int], frame: Window, group: int) -> ir.Value:
    """Weights flipped along the kernel, with input and output channels swapped in each group.

    A session folds these nodes when it opens, so the file stores the weights once.
    """
    rank = frame.rank
    outer, inner, *kernel = shape
    if outer != group or inner != 1:
        if group == 1:
            w = g.op("Transpose", w, perm=[1, 0, *range(2, rank + 2)])
        else:
            split = g.reshape(w, g.ints(group, outer // group, inner, *kernel))
            swapped = g.op("Transpose", split, perm=[0, 2, 1, *range(3, rank + 3)])
            w = g.reshape(swapped, g.ints(group * inner, outer // group, *kernel))
    wide = [axis for axis in range(rank) if kernel[axis] > 1]
    if wide:
        backwards = g.ints(*[-1] * len(wide))
        least = g.ints(*[-(2**31)] * len(wide))
        w = g.op("Slice", w, backwards, least, g.ints(*(axis + 2 for axis in wide)), backwards)
    return w


def _weights_back(
    g: GradientBuilder, x: Gradient, dy: ir.Value, shape: Sequence[int], frame: Window, group: int
) -> ir.Value:
    """The gradient of a Conv with respect to its weights, of ``shape``: the input convolved with the cotangent.

    It sums over samples as a convolution does over channels; strides and dilations are swapped.
    """
    rank = frame.rank
    inner, *kernel = shape[1:]
    begin, end = [max(p, 0) for p in frame.begin], [max(p, 0) for p in frame.end]
    assert x is not None
    cropped = [min(p, 0) for p in frame.begin], [min(p, 0) for p in frame.end]
    x = g.pad(x, [0, 0, *cropped[0]], [0, 0, *cropped[1]])
    # (N, GC, ...) to (C, GN, ...): each group of the convolution sums over the samples of its channels.
    sizes = [size + a + b for size, a, b in zip(frame.size, *cropped, strict=True)]
    split = g.reshape(x, g.ints(-1, group, inner, *sizes))
    turned = g.op("Transpose", split, perm=[2, 1, 0, *range(3, rank + 3)])
    images = g.reshape(turned, g.ints(inner, -1, *sizes)) if group > 1 else g.op("Squeeze", turned, g.ints(1))
    filters = g.op("Transpose", dy, perm=[1, 0, *range(2, rank + 2)])
    found = g.op(
        "Conv", images, filters, dilations=frame.strides, strides=frame.dilations, group=group, pads=[*begin, *end]
    )
    # Entries after the kernel are outside all windows.
    far = g.op("Slice", found, g.ints(*[0] * rank), g.ints(*kernel), g.ints(*range(2, rank + 2)))
    return g.op("Transpose", far, perm=[1, 0, *range(2, rank + 2)])


def _bias_back(g: GradientBuilder, dy: ir.Value, rank: int) -> ir.Value:
    return g.op("ReduceSum", dy, g.ints(0, *range(2, rank + 2)), keepdims=0)


@rule("ConvTranspose")
def conv_transpose(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    x, w, dy = node.inputs[0], node.inputs[1], cotangents[0]
    assert x is not None
    assert w is not None
    attributes = node.attributes
    kernel = g.sizes(w)[2:]
    rank = len(kernel)
    strides = list(attributes.get_ints("strides") or [1] * rank)
    dilations = list(attributes.get_ints("dilations") or [1] * rank)
    group = attributes.get_int("group", 1)
    assert dy is not None
    size = tuple(g.size(x, axis + 2) for axis in range(rank))
    out = tuple(g.size(node.outputs[0], axis + 2) for axis in range(rank))
    full = [(size[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 for axis in range(rank)]
    begin = [_begin_pad(node, axis, rank, full[axis], out[axis]) for axis in range(rank)]
    crop = [full[axis] - begin[axis] - out[axis] for axis in range(rank)]
    gradients: list[Gradient] = [None] * len(node.inputs)
    if len(node.inputs) > 2 and needed[2]:
        gradients[2] = _bias_back(g, dy, rank)
    # Padding of the output depends on no input.
    less, more = [min(entry, 0) for entry in begin], [min(entry, 0) for entry in crop]
    if any(less + more):
        dy = g.pad(dy, [0, 0, *less], [0, 0, *more])
        out = tuple(entry + a + b for entry, a, b in zip(out, less, more, strict=True))
    pads = [max(entry, 0) for entry in (*begin, *crop)]
    if needed[0]:
        gradients[0] = g.op("Conv", dy, w, dilations=dilations, group=group, strides=strides, pads=pads)
    if needed[1]:
        # The weights' gradient of the Conv that is the backward: the cotangent is its input, and the input its
        # cotangent.
        frame = Window(
            tuple(kernel), tuple(strides), tuple(dilations), tuple(pads[:rank]), tuple(pads[rank:]), out, size
        )
        gradients[1] = _weights_back(g, dy, x, g.sizes(w), frame, group)
    return gradients


def _begin_pad(node: ir.Node, axis: int, rank: int, full: int, out: int) -> int:
    """The pad at the beginning, as ONNX defines it for a given or automatic output size."""
    attributes = node.attributes
    auto = attributes.get_string("auto_pad", "NOTSET")
    if auto == "VALID":
        return 0
    if auto == "NOTSET" and not attributes.get_ints("output_shape"):
        pads = attributes.get_ints("pads") or [0] * 2 * rank
        return int(pads[axis])
    added = (attributes.get_ints("output_padding") or [0] * rank)[axis]
    total = max(full + added - out, 0)
    return total // 2 if auto == "SAME_UPPER" else total - total // 2
