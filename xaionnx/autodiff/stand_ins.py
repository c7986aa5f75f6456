"""Stand-ins for the input, the weights or the bias of a layer in rules of relevance propagation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.op import Kind, ops_of_kind

# Layers whose operands rules replace.
LAYERS = ops_of_kind(Kind.WEIGHS)

# A number, or nested tuples of numbers that broadcast against a sample.
Content: TypeAlias = "float | tuple[Content, ...]"


class StandIn(ABC):
    """A function of an operand of a layer that replaces it."""

    @abstractmethod
    def of(self, g: GradientBuilder, value: ir.Value) -> ir.Value | None:
        """Emit the stand-in; None if it is zero."""


@final
@dataclass(frozen=True)
class Signed(StandIn):
    """``positive * max(v, 0) + negative * min(v, 0)``."""

    positive: float = 1.0
    negative: float = 1.0

    def of(self, g: GradientBuilder, value: ir.Value) -> ir.Value | None:
        if self.positive == self.negative == 1:
            return value
        parts = []
        for factor, op in ((self.positive, "Relu"), (self.negative, "Min")):
            if factor:
                part = g.op(op, value) if op == "Relu" else g.op(op, value, 0.0)
                parts.append(part if factor == 1 else g.op("Mul", part, factor))
        return g.op("Add", *parts) if len(parts) == 2 else parts[0] if parts else None


@final
@dataclass(frozen=True)
class Square(StandIn):
    """``v ** 2``."""

    def of(self, g: GradientBuilder, value: ir.Value) -> ir.Value:
        return g.op("Mul", value, value)


@final
@dataclass(frozen=True)
class Ones(StandIn):
    """1 everywhere."""

    def of(self, g: GradientBuilder, value: ir.Value) -> ir.Value:
        return _fill_like(g, value, 1.0)


@final
@dataclass(frozen=True)
class Bound(StandIn):
    """The least, or greatest, value of a layer's input, for inputs of the model in a box.

    The nodes between the model's input and the layer are emitted again on both corners of the box. That is exact if
    they are element-wise and monotonic, or move elements, as input normalisation does.

    Raises
    ------
    UnsupportedModelError
        Another layer lies between.
    """

    low: Content
    high: Content
    greatest: bool

    def of(self, g: GradientBuilder, value: ir.Value) -> ir.Value:
        low, high = (self._through(g, value, content) for content in (self.low, self.high))
        if value.producer() is None:
            return high if self.greatest else low
        return g.op("Max" if self.greatest else "Min", low, high)

    def _through(self, g: GradientBuilder, value: ir.Value, content: Content) -> ir.Value:
        node = value.producer()
        if value.is_graph_input():
            return _fill_like(g, value, content)
        if node is None or g.constant_of(value) is not None:
            return value
        if node.op_type in LAYERS:
            raise UnsupportedModelError(
                f"The box rule is for the first layer, but layer '{node.name}' comes before one that uses it. "
                "Assign the box rule to the key 'first' of the composite."
            )
        inputs = [None if v is None else self._through(g, v, content) for v in node.inputs]
        return g.emit_again(node, *inputs).outputs[0]


def _fill_like(g: GradientBuilder, value: ir.Value, content: Content) -> ir.Value:
    kind = value.dtype or ir.DataType.FLOAT
    filled = g.op("Expand", g.constant(np.asarray(content, dtype=kind.numpy()), kind), g.shape_of(value))
    g.match_shape(filled, value)
    return filled
