"""The gradient that is built: another graph, made of the model's own by the table of rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    import onnx

    from xaionnx.autodiff.rule import Table


_VALUE = "xaionnx_activated"
# Name of the input that squared distances are counted from.
REFERENCE = "xaionnx_reference"
# What the cotangents and gradients of one point may hold in one run.
RUN_BYTES = 64 * 2**20


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The gradient graph of the targets that read the same tensor in the same way."""

    gradient: Gradient
    targets: tuple[int, ...]
    reference: bool

    @property
    def target_bytes(self) -> int:
        """Bytes of the cotangent of one target, and of its gradients at one point."""
        found = self.gradient
        fed = found.model.input(found.cotangent)
        infos = (fed, *(found.model.output(name) for name in found.names.values()))
        skipped = 1 + found.several
        return sum(
            info.dtype.itemsize * math.prod(size for size in info.shape[skipped:] if isinstance(size, int))
            for info in infos
        )

    @property
    def at_once(self) -> int:
        """How many targets of one point run together."""
        return max(1, RUN_BYTES // max(1, self.target_bytes)) if self.gradient.several else 1


@final
class Graph(Source):
    """Built gradients, or what other rules hand back in their place.

    The activation is part of the graph, so that its slope belongs to the point where the gradient is asked, along a
    path too; the weights are the cotangent, which is fed. Targets that read the same tensor in the same way share one
    graph, and its forward part runs once for all of them at a point, or once for each piece of them whose gradients
    hold :data:`RUN_BYTES`. Squared distances have their forward part for each target.

    Raises
    ------
    UnsupportedModelError
        An op on the way has no rule.
    """

    words: ClassVar[str] = "graph"

    def __init__(self, question: GradientRequest, rules: Table | None = None) -> None:
        self._question = question
        self._rules = rules
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for t, pick in enumerate(question.picks):
            alike.setdefault((pick.tensor, pick.activation, pick.reference is not None), []).append(t)
        self._parts = [self._part(*key, tuple(targets)) for key, targets in alike.items()]

    @classmethod
    def takes(cls, given: object) -> bool:
        return isinstance(given, str) and given == "graph"

    @classmethod
    def of(cls, given: GradientLike, question: GradientRequest) -> Graph:
        del given
        return cls(question)

    @property
    def name(self) -> str:
        return "graph"

    def facts(self) -> object:
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
        several = len(targets) > 1 and not reference
        found = gradient(model, out, asked.names, self._rules, sample, several=several)
        return _Part(found, targets, reference)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        for part in self._parts:
            mine = np.isin(target, part.targets)
            # Points at which the same of the U targets belong to this part run together.
            for pattern in np.ones((1, len(mine)), dtype=bool) if mine.all() else np.unique(mine, axis=1).T:
                rows = np.flatnonzero((mine == pattern[:, None]).all(axis=0))
                which = np.flatnonzero(pattern)
                for first in range(0, len(which), part.at_once):
                    some = which[first : first + part.at_once]
                    yield from self._through(part, some, rows, sample, target[some], points)

    def _through(
        self, part: _Part, which: Array, rows: Array, sample: Array, target: Array, points: At
    ) -> Iterator[Piece]:
        """Of targets (u, M)."""
        found, asked = part.gradient, self._question
        info = found.model.input(found.cotangent)
        shape = tuple(int(size) for size in info.shape[1 + found.several :] if size is not None)
        size, each = int(np.prod(shape, dtype=np.int64)), len(which)
        progress.expect(len(rows))

        def feed(start: int, stop: int) -> dict[str, Array]:
            some = rows[start:stop]
            weights, reference = asked.weights(sample[some].repeat(each), target[:, some].T.reshape(-1), size)
            fed = asked.fed(sample[some], points(some))
            lead = (len(some), each) if found.several else (len(some),)
            fed[found.cotangent] = weights.reshape(*lead, *shape).astype(info.dtype)
            if part.reference:
                fed[REFERENCE] = reference.astype(np.float32)
            return fed

        fetch = [found.names[name] for name in asked.names]
        held = part.target_bytes * each if found.several else None
        for start, stop, outputs in found.model.batches(len(rows), feed, fetch, asked.shared, held):
            progress.advance(stop - start)
            asked.evaluations.add(sample[rows[start:stop]])
            answers = {name: outputs[found.names[name]] for name in asked.names}
            yield Piece(
                which,
                rows[start:stop],
                {name: np.moveaxis(a, 1, 0) if found.several else a[None] for name, a in answers.items()},
            )


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
    flat = g.reshape(g.op("Cast", values[tensor], to=1), np.array([0, -1], dtype=np.int64))
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
