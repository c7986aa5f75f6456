"""Rules of GridSample, AffineGrid and RoiAlign: pictures sampled at computed positions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary

# Coefficient of cubic convolution, fixed by the standard.
_A = -0.75
_MODES = {"linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic", "bicubic": "cubic"}


class Tap(NamedTuple):
    """One entry along an axis read by each sampling position: its index, its weight, and the slope of the weight."""

    entry: ir.Value
    weight: ir.Value
    slope: ir.Value | None


@rule("GridSample")
def grid_sample(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    x, grid, dy = node.inputs[0], node.inputs[1], cotangents[0]
    if x is None or grid is None or dy is None:
        raise g.refusal(node, "an input is missing")
    mode = _MODES[node.attributes.get_string("mode", "linear")]
    aligned = bool(node.attributes.get_int("align_corners", 0))
    padding = node.attributes.get_string("padding_mode", "zeros")
    if mode == "cubic" and padding == "border":
        raise g.refusal(node, "runtimes interpret mode cubic with padding border in two ways")
    rank = g.rank(x) - 2
    channels, *sizes = (g.size(x, axis) for axis in range(1, rank + 2))
    positions = math.prod(g.size(grid, axis) for axis in range(1, rank + 1))
    kind = x.dtype or ir.DataType.FLOAT
    flat_grid = g.reshape(grid, g.ints(-1, 1, positions, rank))
    lines = []
    for axis, size in enumerate(sizes):
        # The grid names the last axis first.
        unit = g.op("Gather", flat_grid, np.int64(rank - 1 - axis), axis=3)
        if unit.dtype != kind:
            unit = g.op("Cast", unit, to=kind)
        at = g.op("Mul", g.op("Add", unit, 1.0), _entries_per_unit(size, aligned))
        at = at if aligned else g.op("Sub", at, 0.5)
        lines.append([apply_padding(g, tap, size, padding, aligned) for tap in taps(g, at, mode)])
    flat = g.reshape(dy, g.ints(-1, channels, positions))
    corners = list(itertools.product(*lines))
    indices = [flat_index(g, corner, sizes) for corner in corners]
    gradients: list[Gradient] = [None, None]
    if needed[0]:
        updates = [g.op("Mul", flat, product(g, [tap.weight for tap in corner])) for corner in corners]
        joined = g.op("Concat", *updates, axis=2)
        index = g.op("Expand", g.op("Concat", *indices, axis=2), g.op("Shape", joined))
        empty = g.reshape(g.zeros_like(x), g.ints(-1, channels, math.prod(sizes)))
        filled = g.op("ScatterElements", empty, index, joined, axis=2, reduction="add")
        gradients[0] = g.reshape_like(filled, x)
    if needed[1] and mode != "nearest":
        flat_x = g.reshape(x, g.ints(-1, channels, math.prod(sizes)))
        parts: list[list[ir.Value]] = [[] for _ in sizes]
        for corner, index in zip(corners, indices, strict=True):
            read = g.op("GatherElements", flat_x, g.op("Expand", index, g.op("Shape", flat)), axis=2)
            count = g.op("ReduceSum", g.op("Mul", read, flat), g.ints(1), keepdims=1)
            for axis, tap in enumerate(corner):
                if tap.slope is not None:
                    others = [other.weight for a, other in enumerate(corner) if a != axis]
                    parts[axis].append(product(g, [count, tap.slope, *others]))
        slopes = [
            g.op("Unsqueeze", g.op("Mul", g.op("Sum", *part), _entries_per_unit(size, aligned)), g.ints(3))
            for part, size in zip(parts, sizes, strict=True)
        ]
        moved = g.op("Concat", *slopes[::-1], axis=3)
        if grid.dtype is not None and grid.dtype != kind:
            moved = g.op("Cast", moved, to=grid.dtype)
        gradients[1] = g.reshape_like(moved, grid)
    return gradients


def _entries_per_unit(size: int, aligned: bool) -> float:
    """Entries along the axis for each unit of the grid."""
    return (size - 1) / 2 if aligned else size / 2


def taps(g: GradientBuilder, at: ir.Value, mode: str) -> list[Tap]:
    if mode == "nearest":
        return [Tap(g.op("Round", at), _ones(g, at), None)]
    low = g.op("Floor", at)
    t = g.op("Sub", at, low)
    if mode == "linear":
        ones = _ones(g, at)
        return [Tap(low, g.op("Sub", 1.0, t), g.op("Neg", ones)), Tap(g.op("Add", low, 1.0), t, ones)]
    # Distances 1 + t, t, 1 - t and 2 - t; the last two decrease as t grows.
    left, right = t, g.op("Sub", 1.0, t)
    near, far = (_A + 2, -(_A + 3), 0.0, 1.0), (_A, -5 * _A, 8 * _A, -4 * _A)
    found = []
    for offset, distance, weights, sign in (
        (-1.0, g.op("Add", left, 1.0), far, 1.0),
        (0.0, left, near, 1.0),
        (1.0, right, near, -1.0),
        (2.0, g.op("Add", right, 1.0), far, -1.0),
    ):
        a, b, c, _ = weights
        slope = _polynomial(g, distance, (sign * 3 * a, sign * 2 * b, sign * c))
        found.append(Tap(g.op("Add", low, offset), _polynomial(g, distance, weights), slope))
    return found


def _polynomial(g: GradientBuilder, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    value = g.op("Add", g.op("Mul", x, coefficients[0]), coefficients[1])
    for coefficient in coefficients[2:]:
        value = g.op("Add", g.op("Mul", value, x), coefficient)
    return value


def apply_padding(g: GradientBuilder, tap: Tap, size: int, padding: str, aligned: bool) -> Tap:
    """Return a tap with its index inside the axis, by the padding mode."""
    index = tap.entry
    if padding == "zeros":
        inside = g.op("And", g.op("GreaterOrEqual", index, 0.0), g.op("LessOrEqual", index, float(size - 1)))
        slope = None if tap.slope is None else g.op("Where", inside, tap.slope, 0.0)
        tap = Tap(index, g.op("Where", inside, tap.weight, 0.0), slope)
    elif padding == "reflection":
        low, span = (0.0, size - 1.0) if aligned else (-0.5, float(size))
        if span > 0:
            # A triangle wave between the ends.
            away = g.op("Abs", g.op("Sub", index, low))
            turns = g.op("Floor", g.op("Div", away, 2 * span))
            along = g.op("Sub", away, g.op("Mul", turns, 2 * span))
            index = g.op("Add", g.op("Min", along, g.op("Sub", 2 * span, along)), low)
    return tap._replace(entry=g.op("Min", g.op("Max", index, 0.0), float(size - 1)))


def flat_index(g: GradientBuilder, corner: Sequence[Tap], sizes: Sequence[int]) -> ir.Value:
    # Cast first: float32 cannot index the entries of a large picture exactly.
    index = g.op("Cast", corner[0].entry, to=ir.DataType.INT64)
    for tap, size in zip(corner[1:], sizes[1:], strict=True):
        index = g.op("Add", g.op("Mul", index, size), g.op("Cast", tap.entry, to=ir.DataType.INT64))
    return index


def product(g: GradientBuilder, factors: Sequence[ir.Value]) -> ir.Value:
    value = factors[0]
    for factor in factors[1:]:
        value = g.op("Mul", value, factor)
    return value


def _ones(g: GradientBuilder, like: ir.Value) -> ir.Value:
    return g.op("Expand", g.constant(np.array(1), like.dtype or ir.DataType.FLOAT), g.op("Shape", like))


@unary("AffineGrid")
def affine_grid(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """The grid is the base grid times the affine map; the base is the op's output for unit maps."""
    theta, y = node.inputs[0], node.outputs[0]
    if theta is None:
        raise g.refusal(node, "its map is missing")
    rows, columns = g.size(theta, 1), g.size(theta, 2)
    sizes = [g.size(y, axis) for axis in range(1, rows + 1)]
    kind = theta.dtype or ir.DataType.FLOAT
    units = np.zeros((columns, rows, columns))
    units[:, 0] = np.eye(columns)
    shape = g.ints(columns, 1, *sizes)
    aligned = node.attributes.get_int("align_corners", 0)
    grids = g.op("AffineGrid", g.constant(units, kind), shape, align_corners=aligned)
    base = g.reshape(g.op("Gather", grids, np.int64(0), axis=rows + 1), g.ints(columns, math.prod(sizes)))
    flat = g.reshape(dy, g.ints(-1, math.prod(sizes), rows))
    # (columns, P) times (N, P, rows), turned.
    return g.op("Transpose", g.op("MatMul", base, flat), perm=[0, 2, 1])


@rule("RoiAlign")
def roi_align(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """The sum of A' dy B over an image's regions, with A and B the shares of rows and columns in the bins of a region.

    Regions that depend on an explained tensor count as constant, as in training.
    """
    x, regions, images = node.inputs
    dy = cotangents[0]
    if x is None or regions is None or dy is None:
        raise g.refusal(node, "an input is missing")
    if needed[1]:
        g.approximate(node, "its regions count as constant")
    if not needed[0]:
        return [None, None, None]
    ratio = node.attributes.get_int("sampling_ratio", 0)
    if node.attributes.get_string("mode", "avg") != "avg":
        raise g.refusal(node, "it takes maxima")
    bins = [node.attributes.get_int("output_height", 1), node.attributes.get_int("output_width", 1)]
    channels, height, width = (g.size(x, axis) for axis in (1, 2, 3))
    rows = _bin_shares(g, node, regions, 1, bins[0], ratio, height)
    columns = _bin_shares(g, node, regions, 0, bins[1], ratio, width)
    # (R, C, P, W), then the bins of all regions of a channel as rows of a matrix (C, R P, W).
    along = g.op("MatMul", dy, g.op("Unsqueeze", columns, g.ints(1)))
    along = g.reshape(g.op("Transpose", along, perm=[1, 0, 2, 3]), g.ints(channels, -1, width))
    count = g.op("Range", np.int64(0), g.op("Gather", g.op("Shape", x), np.int64(0), axis=0), np.int64(1))
    own = g.op("Equal", g.op("Unsqueeze", count, g.ints(1)), g.op("Unsqueeze", images, g.ints(0)))
    own = g.op("Unsqueeze", g.op("Cast", own, to=g.gradient_dtype(x)), g.ints(2, 3))
    # (N, R, P, H): the rows of the regions of each image.
    mine = g.op("Mul", own, g.op("Unsqueeze", rows, g.ints(0)))
    mine = g.op(
        "Transpose", g.reshape(mine, g.op("Concat", _batch_shape(g, x), g.ints(-1, height), axis=0)), perm=[0, 2, 1]
    )
    return [g.op("MatMul", g.op("Unsqueeze", mine, g.ints(1)), g.op("Unsqueeze", along, g.ints(0))), None, None]


def _batch_shape(g: GradientBuilder, x: ir.Value) -> ir.Value:
    return g.op("Shape", x, start=0, end=1)


def _bin_shares(
    g: GradientBuilder, node: ir.Node, regions: ir.Value, first: int, bins: int, ratio: int, size: int
) -> ir.Value:
    """The share of each entry of an axis in each bin of each region (R, bins, size)."""
    half = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    kind = g.gradient_dtype(regions)
    scaled = g.op("Mul", regions, node.attributes.get_float("spatial_scale", 1.0))
    start, stop = (g.op("Slice", scaled, [at], [at + 1], [1]) for at in (first, first + 2))
    if half:
        start, stop = g.op("Sub", start, 0.5), g.op("Sub", stop, 0.5)
    length = g.op("Sub", stop, start)
    if not half:
        length = g.op("Max", length, 1.0)
    positions, taken = _bin_positions(g, length, bins, ratio, kind)
    at = g.op("Add", g.op("Unsqueeze", start, g.ints(2)), g.op("Mul", g.op("Unsqueeze", length, g.ints(2)), positions))
    inside = g.op("And", g.op("GreaterOrEqual", at, -1.0), g.op("LessOrEqual", at, float(size)))
    # Positions slightly outside read the edge; those further away read nothing.
    at = g.op("Min", g.op("Max", at, 0.0), float(size - 1))
    away = g.op("Abs", g.op("Sub", g.op("Unsqueeze", at, g.ints(3)), g.constant(np.arange(size), kind)))
    shares = g.op("Max", g.op("Sub", 1.0, away), 0.0)
    shares = g.op("Where", g.op("Unsqueeze", inside, g.ints(3)), shares, 0.0)
    if taken is None:
        return g.op("ReduceMean", shares, g.ints(2), keepdims=0)
    return g.op("ReduceSum", g.op("Mul", shares, g.op("Unsqueeze", taken, g.ints(3))), g.ints(2), keepdims=0)


def _bin_positions(
    g: GradientBuilder, length: ir.Value, bins: int, ratio: int, kind: ir.DataType
) -> tuple[ir.Value, ir.Value | None]:
    """The sampling positions (R or 1, bins, S) as fractions of a region, and the weight of each, 0 for unused ones.

    With ``ratio`` 0 a region has as many samples a bin as a bin is long, rounded up; S is the largest such number.
    Without weights all samples of a bin count alike.
    """
    first = np.arange(bins).reshape(1, bins, 1)
    if ratio:
        return g.constant((first + (np.arange(ratio) + 0.5) / ratio) / bins, kind), None
    own = g.op("Unsqueeze", g.op("Ceil", g.op("Div", length, float(bins))), g.ints(2))
    count = g.op("Max", own, 1.0)
    most = g.reshape(g.op("Cast", g.op("ReduceMax", count, keepdims=0), to=ir.DataType.INT64), g.ints())
    sample = g.op("Cast", g.op("Range", np.int64(0), most, np.int64(1)), to=kind)
    places = g.op("Div", g.op("Add", sample, 0.5), count)
    used = g.op("Cast", g.op("Less", sample, own), to=kind)  # regions without extent have none
    return g.op("Div", g.op("Add", g.constant(first, kind), places), float(bins)), g.op("Div", used, count)
