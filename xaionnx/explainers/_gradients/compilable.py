"""Methods that are graphs themselves: what they do with gradients, as nodes behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

import numpy as np

from xaionnx.data.sample import Sample
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
        The number B of points a sample. Row b * N + n is point b of sample n, and point 0 is the sample itself.
    x : mapping of values (B * N, ...) by input name
    """

    blocks: int
    x: Mapping[str, ir.Value]


@final
@dataclass(frozen=True, eq=False)
class Traced:
    """What a graph holds when a method adds its nodes.

    Attributes
    ----------
    x : mapping of values (N, ...) by input name
        The samples.
    blocks : int
        The number B of points a sample; see :class:`Rows`.
    model : Model
        The model that is explained.
    sample : Sample
        One sample, which tells the sizes and what the inputs mean; its numbers are made up.
    tensors : mapping of values (B * N, ...) by tensor name
        Those that the method names with ``wrt``.
    gradients : mapping of values like ``tensors``
        Of the target.
    target : value (B * N,)
        The target.
    read : callable
        The target (B * N,) of other rows of the tensor that it is read from.
    """

    x: Mapping[str, ir.Value]
    blocks: int
    model: Model
    sample: Sample
    tensors: Mapping[str, ir.Value]
    gradients: Mapping[str, ir.Value]
    target: ir.Value
    read: Callable[[ir.Value], ir.Value]


@final
@dataclass(frozen=True, eq=False)
class Emitted:
    """What a method answers in a graph.

    Attributes
    ----------
    values : mapping of values (N, ...) by name
        The attribution, of an input or of a tensor that the method names with ``wrt``.
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
    """A method of gradients that can be compiled: it says which gradients it needs, and adds nodes behind them.

    Its ``trace`` and :meth:`emit` are two faces of one definition and are tested to agree.
    """

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        """Tensors at which the gradient of the target, read from ``tensor``, is taken."""

    def rules(self, model: Model) -> Table | None:
        """The rules that take the place of derivatives; None for the derivatives themselves."""

    def rows(self, g: Builder, x: Mapping[str, ir.Value], sample: Sample) -> Rows:
        """Points of the explained inputs ``x``, (N, ...) each, at which the model runs."""

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        """Add the nodes that compute the attribution.

        Raises
        ------
        ParameterError
            A parameter asks for what no fixed graph can do.
        """
