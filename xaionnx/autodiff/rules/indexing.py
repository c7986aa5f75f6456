"""Rules of ops that gather numbers from positions, or scatter them to positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary
from xaionnx.autodiff.rules.layout import rarely_repeated
from xaionnx.typing import Array


def _input(g: GradientBuilder, node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise g.refusal(node, f"its input number {index} is missing")
    return value


@unary("GatherElements")
def gather_elements(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    axis = node.attributes.get_int("axis", 0)
    x, index = _input(g, node, 0), _input(g, node, 1)
    return g.op("ScatterElements", g.zeros_like(x), index, dy, axis=axis, reduction="add")


@unary("GatherND")
def gather_nd(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, index = _input(g, node, 0), _input(g, node, 1)
    batch_dims = node.attributes.get_int("batch_dims", 0)
    rows = _rows(g, x, index, batch_dims)
    updates, known = rows.matrix(dy), _known_rows(g, x, index, batch_dims)
    if known is not None and rarely_repeated(known.at):
        filled = g.select_back(updates, 2, 0, known.at, known.rows)
    else:
        filled = g.op("ScatterElements", rows.matrix(g.zeros_like(x)), rows.positions, updates, axis=0, reduction="add")
    return g.reshape_like(filled, x)


@rule("ScatterElements")
def scatter_elements(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    data, index, updates = (_input(g, node, i) for i in range(3))
    scattering = _Scattering(
        g, index, node.attributes.get_int("axis", 0), node.attributes.get_string("reduction", "none")
    )
    dy = cotangents[0]
    if dy is None:
        return [None] * 3
    return [
        scattering.data_gradient(data, updates, node.outputs[0], dy) if needed[0] else None,
        None,
        scattering.updates_gradient(data, updates, node.outputs[0], dy) if needed[2] else None,
    ]


@rule("ScatterND")
def scatter_nd(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    data, index, updates = (_input(g, node, i) for i in range(3))
    if cotangents[0] is None:
        return [None] * 3
    rows = _rows(g, data, index, 0)
    scattering = _Scattering(g, rows.positions, 0, node.attributes.get_string("reduction", "none"))
    whole, part, y, dy = (rows.matrix(value) for value in (data, updates, node.outputs[0], cotangents[0]))
    return [
        g.reshape_like(scattering.data_gradient(whole, part, y, dy), data) if needed[0] else None,
        None,
        g.reshape_like(scattering.updates_gradient(whole, part, y, dy), updates) if needed[2] else None,
    ]


class _Scattering(NamedTuple):
    """The two derivatives of ScatterElements; ScatterND is a ScatterElements of rows."""

    g: GradientBuilder
    positions: ir.Value
    axis: int
    reduction: str

    def put(self, into: ir.Value, values: ir.Value, reduction: str) -> ir.Value:
        return self.g.op("ScatterElements", into, self.positions, values, axis=self.axis, reduction=reduction)

    def take(self, source: ir.Value) -> ir.Value:
        return self.g.op("GatherElements", source, self.positions, axis=self.axis)

    def data_gradient(self, data: ir.Value, updates: ir.Value, y: ir.Value, dy: ir.Value) -> ir.Value:
        g = self.g
        if self.reduction == "add":
            return dy
        if self.reduction == "mul":
            return self.put(dy, updates, "mul")
        if self.reduction == "none":
            return self.put(dy, _filled_like(g, updates, 0.0), "none")
        return g.op("Mul", _equal(g, data, y), g.op("Div", dy, self._winners(data, updates, y)))

    def updates_gradient(self, data: ir.Value, updates: ir.Value, y: ir.Value, dy: ir.Value) -> ir.Value:
        g = self.g
        if self.reduction in ("none", "add"):
            return self.take(dy)
        if self.reduction == "mul":
            # The product of the other updates: with a single zero, only that of the zero is not 0.
            zero = g.op("Equal", updates, 0.0)
            zeros = g.op("Cast", zero, to=updates.dtype or ir.DataType.FLOAT)
            nonzero = g.op("Where", zero, 1.0, updates)
            product = self.take(self.put(g.op("Mul", dy, data), nonzero, "mul"))
            count = self.take(self.put(_filled_like(g, data, 0.0), zeros, "add"))
            alone = g.op("Equal", count, zeros)
            return g.op("Where", alone, g.op("Div", product, nonzero), 0.0)
        chosen = _equal(g, updates, self.take(y))
        return g.op("Mul", chosen, self.take(g.op("Div", dy, self._winners(data, updates, y))))

    def _winners(self, data: ir.Value, updates: ir.Value, y: ir.Value) -> ir.Value:
        """The number of ties for each maximum or minimum; ties share the derivative."""
        return self.put(_equal(self.g, data, y), _equal(self.g, updates, self.take(y)), "add")


class _Rows(NamedTuple):
    """A tensor as a matrix of the rows that GatherND and ScatterND move, and the row of each index."""

    g: GradientBuilder
    width: ir.Value
    positions: ir.Value

    def matrix(self, value: ir.Value) -> ir.Value:
        return self.g.reshape(value, self.g.join_sizes(self.g.ints(-1), self.width))


class _KnownRows(NamedTuple):
    """The number of rows, and the row of each index, if the graph fixes both."""

    rows: int
    at: Array


def _rows(g: GradientBuilder, data: ir.Value, index: ir.Value, batch_dims: int) -> _Rows:
    led, rank = batch_dims + g.size(index, -1), g.rank(data)
    width = g.count_of(data, range(led, rank))
    # Stride in rows of each leading axis.
    strides = [g.count_of(data, range(axis + 1, led)) for axis in range(led)]
    kind = ir.DataType.INT64
    at = index if index.dtype == kind else g.op("Cast", index, to=kind)
    lengths = g.sizes_of(data, range(batch_dims, led))
    at = g.op("Where", g.op("Less", at, 0), g.op("Add", at, lengths), at)
    row = g.op("ReduceSum", g.op("Mul", at, g.join_sizes(*strides[batch_dims:])), g.ints(-1), keepdims=0)
    rank = g.rank(index) - 1
    for axis in range(batch_dims):
        # The index along a batch axis is its own position.
        length = g.op("Gather", g.shape_of(data), np.int64(axis))
        count = g.op("Mul", g.op("Range", np.int64(0), length, np.int64(1)), strides[axis])
        row = g.op("Add", row, g.reshape(count, g.ints(*(-1 if a == axis else 1 for a in range(rank)))))
    column = g.reshape(row, g.ints(-1, 1))
    return _Rows(g, width, g.op("Expand", column, g.join_sizes(g.ints(1), width)))


def _known_rows(g: GradientBuilder, data: ir.Value, index: ir.Value, batch_dims: int) -> _KnownRows | None:
    at, sizes = g.constant_of(index), g.shape(data)[: g.size(index, -1)]
    if at is None or batch_dims:
        return None
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    places = np.moveaxis(at.astype(np.int64), -1, 0) % np.array(known).reshape(-1, *[1] * (at.ndim - 1))
    return _KnownRows(math.prod(known), np.ravel_multi_index(tuple(places), tuple(known)).reshape(-1))


@unary("Tile")
def tile(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, y = _input(g, node, 0), node.outputs[0]
    known = g.constant_of(_input(g, node, 1))
    split: list[int] = []
    repeated: list[int] = []
    for axis, (size, large) in enumerate(zip(g.shape(x), g.shape(y), strict=True)):
        if size == large and size is not None:
            split.append(size)
        elif size is None:
            if known is None:
                raise g.refusal(node, "its repeats change from run to run")
            if known[axis] != 1:
                repeated.append(len(split))
                split.append(int(known[axis]))
            split.append(-1)
        else:
            # The repeats of an axis that varies with the batch are inferred by Reshape.
            repeated.append(len(split))
            split.extend((-1 if large is None else large // size if size else 0, size))
    if not repeated:
        return dy
    if split.count(-1) > 1:
        raise g.refusal(node, "several of its axes vary with the number of samples")
    return g.op("ReduceSum", g.reshape(dy, g.ints(*split)), g.ints(*repeated), keepdims=0)


@unary("TopK")
def top_k(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    index = g.optional_output(node, 1, ir.DataType.INT64)
    x = _input(g, node, 0)
    return g.op("ScatterElements", g.zeros_like(x), index, dy, axis=node.attributes.get_int("axis", -1))


# Permutations between axes of blocks, (N, block, block, C, H, W) or (N, C, block, block, H, W), and the picture.
_FROM_PICTURE = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}
_TO_PICTURE = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}


@unary("DepthToSpace")
def depth_to_space(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _input(g, node, 0)
    block = node.attributes.get_int("blocksize", 1)
    channels, height, width = (g.size(x, axis) for axis in (1, 2, 3))
    blocks = g.reshape(dy, g.ints(-1, channels // block**2, height, block, width, block))
    mode = node.attributes.get_string("mode", "DCR")
    return g.reshape_like(g.op("Transpose", blocks, perm=_FROM_PICTURE[mode]), x)


@unary("SpaceToDepth")
def space_to_depth(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _input(g, node, 0)
    block = node.attributes.get_int("blocksize", 1)
    channels, height, width = (g.size(x, axis) for axis in (1, 2, 3))
    mode = node.attributes.get_string("mode", "DCR")
    depth = (block, block, channels) if mode == "DCR" else (channels, block, block)
    blocks = g.reshape(dy, g.ints(-1, *depth, height // block, width // block))
    return g.reshape_like(g.op("Transpose", blocks, perm=_TO_PICTURE[mode]), x)


@unary("ReverseSequence")
def reverse_sequence(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    batch, time = node.attributes.get_int("batch_axis", 1), node.attributes.get_int("time_axis", 0)
    return g.op("ReverseSequence", dy, node.inputs[1], batch_axis=batch, time_axis=time)


@unary("Compress")
def compress(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, condition = _input(g, node, 0), _input(g, node, 1)
    rank = g.rank(x)
    flat = "axis" not in node.attributes
    axis = 0 if flat else node.attributes.get_int("axis", 0) % rank
    known, zeros = g.constant_of(condition), g.zeros_like(x)
    if known is not None and not flat and g.shape(x)[axis] is not None:
        return g.select_back(dy, rank, axis, np.flatnonzero(known), g.size(x, axis))
    chosen = g.reshape(g.op("NonZero", condition), g.ints(-1))
    if flat:
        filled = g.op("ScatterElements", g.reshape(zeros, g.ints(-1)), chosen, dy)
        return g.reshape_like(filled, x)
    column = g.reshape(chosen, g.ints(*(-1 if a == axis else 1 for a in range(rank))))
    return g.op("ScatterElements", zeros, g.op("Expand", column, g.op("Shape", dy)), dy, axis=axis)


@rule("OneHot")
def one_hot(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """To the two values, off and on; indices and depth have no derivative."""
    dy, values = cotangents[0], _input(g, node, 2)
    if not needed[2]:
        return [None] * 3
    kind = g.gradient_dtype(values)
    units = g.constant(np.array([0, 1]), kind)
    hot = g.op("OneHot", node.inputs[0], node.inputs[1], units, axis=node.attributes.get_int("axis", -1))
    on = g.op("ReduceSum", g.op("Mul", dy, hot), keepdims=0)
    off = g.op("Sub", g.op("ReduceSum", dy, keepdims=0), on)
    return [None, None, g.op("Concat", *(g.reshape(part, g.ints(1)) for part in (off, on)), axis=0)]


@unary("MaxUnpool")
def max_unpool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        # Runtimes differ in whether indices refer to the given shape or to the one implied by the strides.
        raise g.refusal(node, "its output's shape is given")
    return g.op("Gather", g.reshape(dy, g.ints(-1)), node.inputs[1])


def _equal(g: GradientBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return g.op("Cast", g.op("Equal", a, b), to=a.dtype or ir.DataType.FLOAT)


def _filled_like(g: GradientBuilder, value: ir.Value, number: float) -> ir.Value:
    kind = value.dtype or ir.DataType.FLOAT
    return g.op("Expand", g.constant(np.array(number), kind), g.op("Shape", value))
