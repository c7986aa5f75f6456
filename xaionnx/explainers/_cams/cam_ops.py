"""One formula over the places and channels of a layer, for numbers and for nodes of a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_PLACES: Final = (-2, -1)


class CamOps(ABC):
    """What a formula needs beside sums and products, of operands (..., D, h, w)."""

    @abstractmethod
    def total(self, a: Any) -> Any:
        """The sum over the places, (..., D, 1, 1)."""

    @abstractmethod
    def mean(self, a: Any) -> Any:
        """The mean over the places, (..., D, 1, 1)."""

    @abstractmethod
    def positive(self, a: Any) -> Any:
        """Zero in the place of what is below it."""

    @abstractmethod
    def quotient(self, a: Any, b: Any) -> Any:
        """a / b, and zero where b is zero."""


@final
class _Numbers(CamOps):
    def total(self, a: Any) -> Any:
        return a.sum(axis=_PLACES, keepdims=True)

    def mean(self, a: Any) -> Any:
        return a.mean(axis=_PLACES, keepdims=True)

    def positive(self, a: Any) -> Any:
        return np.maximum(a, 0)

    def quotient(self, a: Any, b: Any) -> Any:
        return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


NUMBERS: Final = _Numbers()


@final
@dataclass(frozen=True, eq=False)
class Node:
    """A value (N, D, h, w) of a graph that is added and multiplied as an array is."""

    g: Builder
    value: ir.Value

    def __add__(self, other: Any) -> Node:
        return self._of("Add", other)

    def __mul__(self, other: Any) -> Node:
        return self._of("Mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def channels(self) -> ir.Value:
        """The sum over the channels, (N, 1, h, w)."""
        return self.g.op("ReduceSum", self.value, np.array([1], dtype=np.int64))

    def _of(self, op_type: str, other: Any) -> Node:
        return Node(self.g, self.g.op(op_type, self.value, other.value if isinstance(other, Node) else other))


@final
@dataclass(frozen=True)
class Nodes(CamOps):
    """Adds nodes to a graph."""

    g: Builder

    def total(self, a: Any) -> Any:
        return self._reduced("ReduceSum", a)

    def mean(self, a: Any) -> Any:
        return self._reduced("ReduceMean", a)

    def positive(self, a: Any) -> Any:
        return Node(self.g, self.g.op("Relu", a.value))

    def quotient(self, a: Any, b: Any) -> Any:
        none = self.g.op("Equal", b.value, 0.0)
        safe = self.g.op("Where", none, 1.0, b.value)
        return Node(self.g, self.g.op("Where", none, 0.0, self.g.op("Div", a.value, safe)))

    def _reduced(self, op_type: str, a: Any) -> Node:
        return Node(self.g, self.g.op(op_type, a.value, np.array([2, 3], dtype=np.int64)))
