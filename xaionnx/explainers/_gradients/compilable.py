"""The protocol of methods that can be compiled to a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.layers.target_elements import TargetElements
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.autodiff.rule import Table
    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """The points at which the model runs, for N samples.

    Attributes
    ----------
    blocks : int
        The number B of points per sample. Row b * N + n is point b of sample n; point 0 is the sample itself.
    x : mapping of values (B * N, ...) by input name
    """

    blocks: int
    x: Mapping[str, ir.Value]


@final
@dataclass(frozen=True, eq=False)
class Traced:
    """The values of a graph to which a method adds its nodes.

    Attributes
    ----------
    x : mapping of values (N, ...) by input name
        The samples.
    blocks : int
        The number B of points per sample; see :class:`Rows`.
    model : Model
        The explained model.
    sample : Sample
        One sample, for the sizes and roles of the inputs; its values are placeholders.
    tensors : mapping of values (B * N, ...) by tensor name
        The tensors that the method names in ``wrt``.
    gradients : mapping of values like ``tensors``
        The gradients of the target.
    target : value (B * N,)
        The target.
    read : callable
        Computes the target (B * N,) from other rows of the tensor from which it is read.
    """

    x: Mapping[str, ir.Value]
    blocks: int
    model: Model
    sample: Sample
    tensors: Mapping[str, ir.Value]
    gradients: Mapping[str, ir.Value]
    target: ir.Value
    read: Callable[[ir.Value], ir.Value]


@runtime_checkable
class ChoosesLayer(Protocol):
    """A method whose default layer depends on the elements that the target reads."""

    layer: str | Sequence[str] | None

    def layer_for(self, model: Model, sample: Sample, read: Sequence[TargetElements]) -> str:
        """The default layer for targets that read some elements."""


@final
@dataclass(frozen=True, eq=False)
class Emitted:
    """The outputs of a method in a graph.

    Attributes
    ----------
    values : mapping of values (N, ...) by name
        The attribution of an input, or of a tensor that the method names in ``wrt``.
    diagnostics : mapping of values (N,) by name
    """

    values: Mapping[str, ir.Value]
    diagnostics: Mapping[str, ir.Value] = field(default_factory=dict)


def total(g: Builder, values: Mapping[str, ir.Value], like: ir.Value) -> ir.Value:
    """The sum (N,) of the values over all elements of all inputs, in the type of ``like``."""
    parts = []
    for value in values.values():
        flat = g.reshape(value, np.array([0, -1], dtype=np.int64))
        part = g.op("ReduceSum", flat, np.array([1]), keepdims=0)
        parts.append(part if like.dtype in (None, part.dtype) else g.op("Cast", part, to=like.dtype))
    return parts[0] if len(parts) == 1 else g.op("Sum", *parts)


@runtime_checkable
class Compilable(Protocol):
    """A gradient method that can be compiled: it names the gradients it needs and adds nodes after them.

    Its ``explain_points`` and :meth:`emit` implement the same definition; tests check that they agree.
    """

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """Tensors with respect to which the gradient of the target, read from ``tensor``, is taken."""

    def rules(self, model: Model) -> Table | None:
        """The rules that replace derivatives; None for the derivatives."""

    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        """The points at which the model runs, for explained inputs ``x``, (N, ...) each."""

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        """Add the nodes that compute the attribution.

        Raises
        ------
        ParameterError
            A parameter cannot be implemented by a fixed graph.
        """
