"""The rule of Resize, which is a linear map along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, unary

# With these modes, the position of an entry is exact in floating point for integer scales.
_WHOLE = ("asymmetric", "half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")


class _Axis(NamedTuple):
    """How one axis is resized; ``scale`` is None if the output's size is given instead."""

    axis: int
    size: int
    out: int
    scale: float | None
    crop: tuple[float, float]


@unary("Resize")
def resize(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """Sum over blocks if entries are repeated an integer number of times; else transpose the interpolation by axis."""
    x = node.inputs[0]
    if x is None:
        raise g.refusal(node, "its input is missing")
    axes = _resized_axes(g, node, x)
    repeats = [_repeats(node, axis) for axis in axes]
    if all(repeat is not None for repeat in repeats):
        return _sum_blocks(g, x, dy, axes)
    kind = g.gradient_dtype(x)
    rank = g.rank(x)
    for entry in axes:
        weights = _interpolation_matrix(g, node, x, entry, kind)
        if entry.axis == rank - 1:
            dy = g.op("MatMul", dy, g.op("Transpose", weights, perm=[1, 0]))
        elif entry.axis == rank - 2:
            dy = g.op("MatMul", weights, dy)
        else:
            swap = list(range(rank))
            swap[entry.axis], swap[-2] = swap[-2], swap[entry.axis]
            dy = g.op("Transpose", g.op("MatMul", weights, g.op("Transpose", dy, perm=swap)), perm=swap)
    return dy


def _resized_axes(g: GradientBuilder, node: ir.Node, x: ir.Value) -> list[_Axis]:
    """The axes that change."""
    rank, y = g.rank(x), node.outputs[0]
    given = node.attributes.get_ints("axes") or range(rank)
    listed = [axis % rank for axis in given]
    cropped = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    roi = g.constant_input(node, 1) if cropped else None
    scales = g.constant_input(node, 2) if len(node.inputs) > 2 and not _is_empty(g, node, 2) else None
    found = []
    for position, axis in enumerate(listed):
        crop = (0.0, 1.0) if roi is None else (float(roi[position]), float(roi[position + len(listed)]))
        scale = None if scales is None else float(scales[position])
        if crop == (0.0, 1.0) and (scale == 1.0 or (scale is None and g.shape(x)[axis] == g.shape(y)[axis])):
            continue
        found.append(_Axis(axis, g.size(x, axis), g.size(y, axis), scale, crop))
    return found


def _is_empty(g: GradientBuilder, node: ir.Node, index: int) -> bool:
    value = node.inputs[index]
    return value is None or math.prod(g.sizes(value)) == 0


def _repeats(node: ir.Node, entry: _Axis) -> int | None:
    """How often each entry of the axis is repeated; None if it is interpolated."""
    read = node.attributes.get_string
    transformation = read("coordinate_transformation_mode", "half_pixel")
    if read("mode", "nearest") != "nearest" or transformation not in _WHOLE or entry.out % entry.size:
        return None
    times = entry.out // entry.size
    if times < 1 or (entry.scale is not None and entry.scale != times):
        return None
    if transformation != "asymmetric":
        # An entry is less than half a step from the one that it repeats, whichever way halves are rounded; floor and
        # ceil move it by up to a whole step.
        return times if read("nearest_mode", "round_prefer_floor").startswith("round") else None
    return times if read("nearest_mode", "round_prefer_floor") == "floor" else None


def _sum_blocks(g: GradientBuilder, x: ir.Value, dy: ir.Value, axes: Sequence[_Axis]) -> ir.Value:
    if not axes:
        return dy
    shape = g.shape(x)
    if shape.count(None) > 1:
        sizes = [g.size(x, axis) for axis in range(1, len(shape))]
        shape = (None, *sizes)
    times = {entry.axis: entry.out // entry.size for entry in axes}
    split: list[int] = []
    blocks: list[int] = []
    for axis, size in enumerate(shape):
        split.append(-1 if size is None else size)
        if axis in times:
            blocks.append(len(split))
            split.append(times[axis])
    return g.op("ReduceSum", g.reshape(dy, g.ints(*split)), g.ints(*blocks), keepdims=0)


def _interpolation_matrix(g: GradientBuilder, node: ir.Node, x: ir.Value, entry: _Axis, kind: ir.DataType) -> ir.Value:
    """The interpolation matrix (size, out) of an axis: the op's output for an identity matrix.

    The runtime computes it when it opens the graph, by the kernel of the forward pass, so that it agrees with the
    runtime's rounding and interpretation of the standard.
    """
    read = node.attributes
    policy = read.get_string("keep_aspect_ratio_policy", "stretch")
    size, out = entry.size, entry.out
    scales: ir.Value | None = None
    sizes: ir.Value | None = None
    if entry.scale is not None:
        scales = g.constant(np.array([1, 1, entry.scale, 1], dtype=np.float32))
    elif policy == "stretch":
        sizes = g.ints(1, size, out, 1)
    else:
        # One scale for all axes, which is exactly that of one axis; the output may differ from the given sizes.
        wanted, given = g.constant_input(node, 3), read.get_ints("axes") or range(g.rank(x))
        if wanted is None:
            raise g.refusal(node, "its sizes are missing")
        ratios = [float(want) / g.size(x, axis) for want, axis in zip(wanted, given, strict=True)]
        ratio = max(ratios) if policy == "not_smaller" else min(ratios)
        scales = g.constant(np.array([1, 1, ratio, 1], dtype=np.float32))
        if math.floor(np.float32(ratio) * size) != out:
            raise g.refusal(node, f"its policy '{policy}' rounds axis {entry.axis} up")
    transformation = read.get_string("coordinate_transformation_mode", "half_pixel")
    crop = None
    if transformation == "tf_crop_and_resize":
        crop = g.constant(np.array([0, 0, entry.crop[0], 0, 1, 1, entry.crop[1], 1]), kind)
    identity = g.constant(np.eye(size).reshape(1, size, size, 1), kind)
    measured = g.op(
        "Resize",
        identity,
        crop,
        scales,
        sizes,
        antialias=read.get_int("antialias", 0),
        coordinate_transformation_mode=transformation,
        cubic_coeff_a=read.get_float("cubic_coeff_a", -0.75),
        exclude_outside=read.get_int("exclude_outside", 0),
        # The value outside of a crop is a constant.
        extrapolation_value=0.0,
        mode=read.get_string("mode", "nearest"),
        nearest_mode=read.get_string("nearest_mode", "round_prefer_floor"),
    )
    return g.reshape(measured, g.ints(size, out))
