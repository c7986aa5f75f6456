"""Rules of pooling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff._windows import Window, window
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, unary
from xaionnx.autodiff.rules.convolution import conv_back
from xaionnx.typing import Array


def _x(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


@unary("MaxPool")
def max_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """To the entry that onnxruntime selects, so that ties are not split."""
    x = _x(node)
    if node.attributes.get_int("storage_order", 0) and len(node.outputs) > 1:
        # The model reads column-major indices: a second pooling returns row-major ones.
        same = {name: a.value for name, a in node.attributes.items() if name != "storage_order"}
        index = g.op("MaxPool", x, outputs=2, **same)[1]
    else:
        node.attributes.pop("storage_order", None)
        index = g.optional_output(node, 1, ir.DataType.INT64)
    flat = g.ints(-1)
    empty = g.reshape(g.zeros_like(x), flat)
    filled = g.op("ScatterElements", empty, g.reshape(index, flat), g.reshape(dy, flat), reduction="add")
    return g.reshape_like(filled, x)


@unary("AveragePool")
def average_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    frame = window(g, node)
    count = _window_counts(frame, bool(node.attributes.get_int("count_include_pad", 0)))
    dtype = x.dtype or ir.DataType.FLOAT
    weights = g.constant((1.0 / count)[None, None].astype(dtype.numpy()), dtype)
    if (
        frame.kernel == frame.strides
        and not any((*frame.begin, *frame.end))
        and set(frame.dilations) == {1}
        and all(frame.spare(a) == 0 for a in range(frame.rank))
    ):
        return _repeat_over_windows(g, g.op("Mul", dy, 1.0 / math.prod(frame.kernel)), x, frame)
    channels = g.size(x, 1)
    ones = g.constant(np.ones((channels, 1, *frame.kernel), dtype=dtype.numpy()), dtype)
    return conv_back(g, g.op("Mul", dy, weights), ones, g.sizes(ones), frame, channels)


def _window_counts(frame: Window, with_pads: bool) -> Array:
    """The number of entries that each window averages, a product over the axes."""
    lines = []
    for axis in range(frame.rank):
        taps = np.arange(frame.kernel[axis]) * frame.dilations[axis]
        first = np.arange(frame.out[axis])[:, None] * frame.strides[axis] - frame.begin[axis]
        at = first + taps
        low = -frame.begin[axis] if with_pads else 0
        # A window that extends beyond the pads does not count entries after them.
        high = frame.size[axis] + (frame.end[axis] if with_pads else 0)
        lines.append(((at >= low) & (at < high)).sum(axis=1))
    grids = [line.reshape([-1 if a == axis else 1 for a in range(frame.rank)]) for axis, line in enumerate(lines)]
    return np.asarray(math.prod(grids), dtype=np.float64)


def _repeat_over_windows(g: GradientBuilder, dy: ir.Value, x: ir.Value, frame: Window) -> ir.Value:
    """Each entry repeated over its window, for windows that tile the input."""
    channels = g.size(x, 1)
    split = itertools.chain.from_iterable((n, 1) for n in frame.out)
    tiles = itertools.chain.from_iterable((1, k) for k in frame.kernel)
    shaped = g.reshape(dy, g.ints(-1, channels, *split))
    return g.reshape_like(g.op("Expand", shaped, g.ints(1, 1, *tiles)), x)


@unary("GlobalAveragePool")
def global_average_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    count = math.prod(g.size(x, axis) for axis in range(2, g.rank(x)))
    return g.expand_like(g.op("Mul", dy, 1.0 / count), x)


@unary("GlobalMaxPool")
def global_max_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x, y = _x(node), node.outputs[0]
    chosen = g.op("Cast", g.op("Equal", x, y), to=x.dtype or ir.DataType.FLOAT)
    count = g.op("ReduceSum", chosen, g.ints(*range(2, g.rank(x))), keepdims=1)
    return g.op("Mul", chosen, g.op("Div", dy, count))


@unary("LpPool")
def lp_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    frame, channels, p = window(g, node), g.size(x, 1), node.attributes.get_int("p", 2)
    kind = g.gradient_dtype(x)
    ones = g.constant(np.ones((channels, 1, *frame.kernel), dtype=kind.numpy()), kind)
    return _times_power(
        g, x, conv_back(g, _divided_by_power(g, dy, node.outputs[0], p), ones, g.sizes(ones), frame, channels), p
    )


@unary("GlobalLpPool")
def global_lp_pool(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    p = node.attributes.get_int("p", 2)
    return _times_power(g, _x(node), _divided_by_power(g, dy, node.outputs[0], p), p)


def _divided_by_power(g: GradientBuilder, dy: ir.Value, y: ir.Value, p: int) -> ir.Value:
    """``dy / y^(p-1)``; if all entries are 0 the norm has no derivative, and 0 is the subgradient of least norm."""
    if p == 1:
        return dy
    power = y if p == 2 else g.op("Pow", y, float(p - 1))
    return g.op("Div", dy, g.op("Where", g.op("Greater", y, 0.0), power, math.inf))


def _times_power(g: GradientBuilder, x: ir.Value, spread: ir.Value, p: int) -> ir.Value:
    """``spread * sign(x) |x|^(p-1)``."""
    if p == 2:
        return g.op("Mul", spread, x)
    signed = g.op("Mul", spread, g.op("Sign", x))
    return signed if p == 1 else g.op("Mul", signed, g.op("Pow", g.op("Abs", x), float(p - 1)))
