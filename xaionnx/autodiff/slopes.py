"""Gradient rules whose slopes are functions of floats, so that they have differences between two points.

The slope of a function with a kink is constant on either side: it has no derivative that tells of the kink. Compared
with that at another point, as by :mod:`xaionnx.autodiff.rescale`, a step of a float does tell. Comparisons and indices
do not, and are replaced here: the slope of a maximum is written as steps of differences between the numbers that it
selects from. A step may be that of the slope of a softplus, which is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, final

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.autodiff._windows import window
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, Table
from xaionnx.autodiff.rules.reductions import reduced_axes, with_reduced_axes
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView

# Steep enough to reach 1 at the smallest normal float32, and itself representable in float32.
_STEEP: Final = 1e38
_FAR: Final = np.iinfo(np.int64).max
_ACTIVATIONS: Final = ("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "HardSigmoid", "HardSwish", "Clip")
_SELECTIONS: Final = ("Max", "Min", "ReduceMax", "ReduceMin", "GlobalMaxPool", "MaxPool")
# The standard slopes of the last two are floats already.
_KINKED: Final = frozenset((*_ACTIVATIONS, *_SELECTIONS, "Abs", "Celu"))
_FLOATS: Final = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


def has_kinks(view: GraphView) -> bool:
    """Whether a graph has functions with kinks, of floats."""
    return any(
        node.op_type in _KINKED
        and node.domain in DEFAULT_DOMAINS
        and view.types.get(node.input[0], onnx.TensorProto.FLOAT) in _FLOATS
        for node in view.nodes
    )


@cache
def slope_table(softplus: float | None) -> Table:
    """Return the standard table with slopes that are functions of floats.

    Parameters
    ----------
    softplus : float or None
        Steps are ``1 / (1 + exp(-softplus x))``, the slope of ``log(1 + exp(softplus x)) / softplus``; with None they
        are 0 below 0 and 1 above, and the rules are derivatives.
    """
    slopes = _Slopes(softplus)
    selections = {
        **dict.fromkeys(("Max", "Min"), slopes.of_several),
        **dict.fromkeys(("ReduceMax", "ReduceMin", "GlobalMaxPool"), slopes.reduced),
        "MaxPool": slopes.max_pool,
    }
    return {**STANDARD, **dict.fromkeys(_ACTIVATIONS, slopes.activation), **selections}


@final
@dataclass(frozen=True)
class _Slopes:
    """The rules, with steps of one sharpness."""

    softplus: float | None

    def activation(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        x, dy = node.inputs[0], cotangents[0]
        slope = None if x is None or dy is None or any(needed[1:]) else self._slope(g, node, x)
        if slope is None:
            return STANDARD[node.op_type](g, node, cotangents, needed)
        return [g.op("Mul", dy, slope), *[None] * (len(node.inputs) - 1)]

    def of_several(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        """Of Max and Min."""
        dy = cotangents[0]
        assert dy is not None
        best, *others = (value for value in node.inputs if value is not None)
        compared = []
        for value in others:
            compared.append((best, value))
            best = g.op(node.op_type, best, value)
        found: list[Gradient] = []
        for before, value in reversed(compared):
            dy, own = self.pair(g, node.op_type, before, value, dy)
            found.append(own)
        return [dy, *found[::-1]]

    def reduced(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        """Of ReduceMax, ReduceMin and GlobalMaxPool."""
        x, dy, pooled = node.inputs[0], cotangents[0], node.op_type == "GlobalMaxPool"
        assert x is not None
        axes = list(range(2, g.rank(x))) if pooled else reduced_axes(g, node)
        if dy is None or not axes:
            return [dy, *[None] * (len(node.inputs) - 1)]
        running = _Running(g, self, "Min" if node.op_type == "ReduceMin" else "Max", x, g.rank(x))
        for axis in axes:
            running.along(axis, g.size(x, axis))
        whole = dy if pooled else with_reduced_axes(g, node, dy, axes)
        return [running.gradient(whole), *[None] * (len(node.inputs) - 1)]

    def max_pool(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        x, dy = node.inputs[0], cotangents[0]
        assert x is not None
        assert dy is not None
        frame, rank = window(g, node), g.rank(x)
        begin = [0, 0, *frame.begin]
        end = [0, 0, *(pad + max(0, -frame.spare(axis)) for axis, pad in enumerate(frame.end))]
        lowest = np.asarray(np.finfo(np.float32).min, (x.dtype or ir.DataType.FLOAT).numpy())
        padded = g.op("Pad", x, g.ints(*begin, *end), lowest) if any((*begin, *end)) else x
        running = _Running(g, self, "Max", padded, rank)
        for axis, (size, out, stride) in enumerate(zip(frame.size, frame.out, frame.strides, strict=True)):
            running.along(axis + 2, frame.kernel[axis], frame.dilations[axis])
            length = size + begin[axis + 2] + end[axis + 2] - frame.reach(axis) + 1
            dy = g.select_back(dy, rank, axis + 2, np.arange(out) * stride, length)
        found = running.gradient(dy)
        return [g.pad(found, [-pad for pad in begin], [-pad for pad in end])]

    def pair(self, g: GradientBuilder, op: str, a: ir.Value, b: ir.Value, dy: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The gradients of two operands of Max or Min."""
        second = g.op("Mul", dy, self._step(g, g.op("Sub", b, a) if op == "Max" else g.op("Sub", a, b)))
        return g.op("Sub", dy, second), second

    def _step(self, g: GradientBuilder, x: ir.Value) -> ir.Value:
        """1 where x is above 0, and 0 elsewhere, or the smooth step."""
        if self.softplus is not None:
            return g.op("Sigmoid", g.op("Mul", x, self.softplus))
        kind = x.dtype or ir.DataType.FLOAT
        narrow = x if kind == ir.DataType.FLOAT else g.op("Cast", x, to=ir.DataType.FLOAT)
        step = g.op("HardSigmoid", narrow, alpha=_STEEP, beta=0.0)
        return step if kind == ir.DataType.FLOAT else g.op("Cast", step, to=kind)

    def _inside(self, g: GradientBuilder, x: ir.Value, low: float, high: float) -> ir.Value | None:
        """1 between two bounds, which may be infinite, and 0 beyond them; None if neither is finite."""
        if np.isinf(low) and np.isinf(high):
            return None
        if np.isinf(high):
            return self._step(g, g.op("Sub", x, low))
        if np.isinf(low):
            return self._step(g, g.op("Sub", high, x))
        return self._step(g, g.op("Sub", (high - low) / 2, g.op("Abs", g.op("Sub", x, (low + high) / 2))))

    def _exponential(self, g: GradientBuilder, x: ir.Value, alpha: float) -> ir.Value:
        """1 above 0, and ``alpha exp(x)`` below."""
        below = g.op("Mul", g.op("Exp", g.op("Min", x, 0.0)), alpha)
        return below if alpha == 1 else g.op("Add", below, g.op("Mul", self._step(g, x), 1 - alpha))

    def _slope(self, g: GradientBuilder, node: ir.Node, x: ir.Value) -> ir.Value | None:
        """The slope of an activation; None if its bounds are computed, or it has none."""
        number = node.attributes.get_float
        match node.op_type:
            case "Relu":
                return self._step(g, x)
            case "LeakyRelu":
                alpha = number("alpha", 0.01)
                return g.op("Add", g.op("Mul", self._step(g, x), 1 - alpha), alpha)
            case "PRelu":
                below = node.inputs[1]
                return g.op("Add", below, g.op("Mul", self._step(g, x), g.op("Sub", 1.0, below)))
            case "Elu":
                return self._exponential(g, x, number("alpha", 1.0))
            case "Selu":
                slope = self._exponential(g, x, number("alpha", 1.67326319217681884765625))
                return g.op("Mul", slope, number("gamma", 1.05070102214813232421875))
            case "HardSigmoid":
                alpha = number("alpha", 0.2)
                line = g.op("Add", g.op("Mul", x, alpha), number("beta", 0.5))
                return g.op("Mul", self._inside(g, line, 0.0, 1.0), alpha)
            case "HardSwish":
                rising = g.op("Mul", self._inside(g, x, -3.0, 3.0), g.op("Add", g.op("Div", x, 3.0), 0.5))
                return g.op("Add", rising, self._step(g, g.op("Sub", x, 3.0)))
        bounds = _bounds(g, node)
        return None if bounds is None else self._inside(g, x, *bounds)


def _bounds(g: GradientBuilder, node: ir.Node) -> tuple[float, float] | None:
    """The bounds of a Clip, infinite where it has none; None if the graph computes one."""
    found = []
    for index, free in ((1, -np.inf), (2, np.inf)):
        given = node.inputs[index] if index < len(node.inputs) else None
        value = np.array(free) if given is None else g.constant_of(given)
        if value is None:
            return None
        bound = float(value.reshape(()))
        # Exporters write the largest float where there is no bound.
        found.append(free if abs(bound) > np.finfo(np.float32).max / 2 else bound)
    return found[0], found[1]


class _Running:
    """The extreme of neighbours along axes, as extremes of two tensors, and its gradient."""

    def __init__(self, g: GradientBuilder, slopes: _Slopes, op: str, x: ir.Value, rank: int) -> None:
        self._g, self._slopes, self._op, self._rank = g, slopes, op, rank
        self._compared: list[tuple[ir.Value, ir.Value, int, int]] = []
        self._value = x

    def along(self, axis: int, size: int, apart: int = 1) -> None:
        """Take the extreme of ``size`` numbers that are ``apart``: of 1, 2, 4 and so on."""
        g, run = self._g, 1
        while run < size:
            move = min(run, size - run) * apart
            first = g.op("Slice", self._value, g.ints(0), g.ints(-move), g.ints(axis))
            second = g.op("Slice", self._value, g.ints(move), g.ints(_FAR), g.ints(axis))
            self._compared.append((first, second, axis, move))
            self._value = g.op(self._op, first, second)
            run += move // apart

    def gradient(self, dy: ir.Value) -> ir.Value:
        """The gradient of the first tensor from that of the last one."""
        g, none = self._g, [0] * self._rank
        for first, second, axis, move in reversed(self._compared):
            ends = [move * (other == axis) for other in range(self._rank)]
            here, there = self._slopes.pair(g, self._op, first, second, dy)
            dy = g.op("Add", g.pad(here, none, ends), g.pad(there, ends, none))
        return dy
