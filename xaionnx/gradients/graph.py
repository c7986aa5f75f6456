"""The gradient that is built: another graph, made of the model's own by the table of rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx

    from xaionnx.autodiff.rule import Table


_VALUE = "xaionnx_activated"
# Name of the input that squared distances are counted from.
REFERENCE = "xaionnx_reference"


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The gradient graph of the targets that read the same tensor in the same way."""

    gradient: Gradient
    targets: tuple[int, ...]
    reference: bool


@final
class Graph(Source):
    """Built gradients, or what other rules hand back in their place.

    The activation is part of the graph, so that its slope belongs to the point where the gradient is asked, along a
    path too; the weights are the cotangent, which is fed. Targets that read the same tensor in the same way share one
    graph.

    Raises
    ------
    UnsupportedModelError
        An op on the way has no rule.
    """

    def __init__(self, question: GradientRequest, rules: Table | None = None) -> None:
        self._question = question
        self._rules = rules
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for t, pick in enumerate(question.picks):
            alike.setdefault((pick.tensor, pick.activation, pick.reference is not None), []).append(t)
        self._parts = [self._part(*key, tuple(targets)) for key, targets in alike.items()]

    @property
    def name(self) -> str:
        return "graph"

    def facts(self) -> Any:
        return "graph"

    @property
    def approximations(self) -> tuple[str, ...]:
        return tuple(sorted({label for part in self._parts for label in part.gradient.approximations}))

    def _part(self, tensor: str, activation: str, reference: bool, targets: tuple[int, ...]) -> _Part:
        asked = self._question
        sample, size = dict(asked.feeds), None
        if reference:
            size = asked.picks[targets[0]].indices.shape[1]
            sample[REFERENCE] = np.zeros((len(asked.samples), size), dtype=np.float32)
        model, out = activated(asked.model, tensor, activation, size)
        return _Part(gradient(model, out, asked.names, self._rules, sample), targets, reference)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        progress.expect(len(sample))
        for part in self._parts:
            rows = np.flatnonzero(np.isin(target, part.targets))
            if len(rows):
                yield from self._through(part, rows, sample, target, points)

    def _through(self, part: _Part, rows: Array, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        found, asked = part.gradient, self._question
        info = found.model.input(found.cotangent)
        shape = tuple(int(size) for size in info.shape[1:] if size is not None)

        def feed(start: int, stop: int) -> dict[str, Array]:
            some = rows[start:stop]
            weights, reference = asked.weights(sample[some], target[some], int(np.prod(shape, dtype=np.int64)))
            fed = asked.fed(sample[some], points(some))
            fed[found.cotangent] = weights.reshape(len(some), *shape).astype(info.dtype)
            if part.reference:
                fed[REFERENCE] = reference.astype(np.float32)
            return fed

        fetch = [found.names[name] for name in asked.names]
        for start, stop, outputs in found.model.batches(len(rows), feed, fetch, asked.shared):
            progress.advance(stop - start)
            asked.evaluations.add(sample[rows[start:stop]])
            yield Piece(rows[start:stop], {name: outputs[found.names[name]] for name in asked.names})


def activated(model: Model, tensor: str, activation: str, size: int | None) -> tuple[Model, str]:
    """A model with the activation of a tensor in its graph, and the name of what is differentiated there.

    Where ``size`` is given that is the squared distance to the input :data:`REFERENCE`, (N, size).
    """
    if activation == "identity" and size is None:
        return model, tensor
    key = ("activated", tensor, activation, size)
    return model.derived(key, lambda proto: _activated(proto, tensor, activation, size)), _VALUE


def _activated(proto: onnx.ModelProto, tensor: str, activation: str, size: int | None) -> onnx.ModelProto:
    """The graph with the activation of a tensor as a further output, (N, S); its squared distance where ``size``."""
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

    model = ir.from_proto(proto)
    graph = model.graph
    g = Builder(model)
    values = {str(v.name): v for v in graph.inputs} | {str(v.name): v for node in graph for v in node.outputs}
    flat = g.op("Reshape", g.op("Cast", values[tensor], to=1), np.array([0, -1], dtype=np.int64))
    if activation == "sigmoid":
        flat = g.op("Sigmoid", flat)
    elif activation != "identity":
        flat = g.op({"softmax": "Softmax", "log_softmax": "LogSoftmax"}[activation], flat, axis=1)
    if size is not None:
        lead = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else "N"
        reference = g.input(REFERENCE, np.float32, (lead if isinstance(lead, int) else "N", size))
        difference = g.op("Sub", flat, reference)
        flat = g.op("Mul", difference, difference)
    g.output(flat, _VALUE)
    return ir.to_proto(model)
