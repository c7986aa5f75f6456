"""Operations of CAM formulas, for arrays and for nodes of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar, final

import numpy as np

from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_SPATIAL: Final = (-2, -1)


class Planes(Protocol):
    """An array (..., D, h, w), or a node that computes one; supports sums and products."""

    def __add__(self, other: Self | float, /) -> Self: ...
    def __radd__(self, other: float, /) -> Self: ...
    def __mul__(self, other: Self | float, /) -> Self: ...
    def __rmul__(self, other: float, /) -> Self: ...


PlanesT = TypeVar("PlanesT", bound=Planes)


class CamOps(Protocol[PlanesT]):
    """The operations of a formula besides sums and products."""

    def total(self, a: PlanesT) -> PlanesT:
        """The sum over the positions, (..., D, 1, 1)."""

    def mean(self, a: PlanesT) -> PlanesT:
        """The mean over the positions, (..., D, 1, 1)."""

    def weighted_sum(self, weights: PlanesT, a: PlanesT) -> PlanesT:
        """The sum of weights * a over the channels: a map (..., h, w); weights are (..., D, h, w) or (..., D, 1, 1)."""

    def positive(self, a: PlanesT) -> PlanesT:
        """The positive part, max(0, a)."""

    def quotient(self, a: PlanesT, b: PlanesT) -> PlanesT:
        """a / b, and zero where b is zero."""


@final
class NumpyOps:
    """The operations on arrays."""

    def total(self, a: Array) -> Array:
        return np.asarray(a.sum(axis=_SPATIAL, keepdims=True))

    def mean(self, a: Array) -> Array:
        return np.asarray(a.mean(axis=_SPATIAL, keepdims=True))

    def weighted_sum(self, weights: Array, a: Array) -> Array:
        return np.asarray(np.einsum("...dhw,...dhw->...hw", weights, a))

    def positive(self, a: Array) -> Array:
        return np.maximum(a, 0)

    def quotient(self, a: Array, b: Array) -> Array:
        return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


NUMBERS: Final = NumpyOps()


@final
@dataclass(frozen=True, eq=False)
class Node:
    """A value (N, D, h, w) of a graph, with the sum and product of arrays."""

    g: Builder
    value: ir.Value

    def __add__(self, other: Node | float) -> Node:
        return self._with("Add", other)

    def __mul__(self, other: Node | float) -> Node:
        return self._with("Mul", other)

    def __radd__(self, other: Node | float) -> Node:
        return self._with("Add", other)

    def __rmul__(self, other: Node | float) -> Node:
        return self._with("Mul", other)

    def _with(self, op_type: str, other: Node | float) -> Node:
        return Node(self.g, self.g.op(op_type, self.value, other.value if isinstance(other, Node) else other))


@final
@dataclass(frozen=True)
class OnnxOps:
    """The operations as nodes of a graph; a map keeps the channel axis, (N, 1, h, w)."""

    g: Builder

    def total(self, a: Node) -> Node:
        return self._reduce("ReduceSum", a, _SPATIAL)

    def mean(self, a: Node) -> Node:
        return self._reduce("ReduceMean", a, _SPATIAL)

    def weighted_sum(self, weights: Node, a: Node) -> Node:
        return self._reduce("ReduceSum", weights * a, (-3,))

    def positive(self, a: Node) -> Node:
        return Node(self.g, self.g.op("Relu", a.value))

    def quotient(self, a: Node, b: Node) -> Node:
        is_zero = self.g.op("Equal", b.value, 0.0)
        safe = self.g.op("Where", is_zero, 1.0, b.value)
        return Node(self.g, self.g.op("Where", is_zero, 0.0, self.g.op("Div", a.value, safe)))

    def _reduce(self, op_type: str, a: Node, axes: tuple[int, ...]) -> Node:
        # Axes as non-negative numbers, of (N, D, h, w).
        return Node(self.g, self.g.op(op_type, a.value, np.array([axis + 4 for axis in axes], dtype=np.int64)))
