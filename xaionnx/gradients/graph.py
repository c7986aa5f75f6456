"""The gradient that is built: another graph, made of the model's own by the table of rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.autodiff.gradient import GraphRewrite
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
from xaionnx.runtime import progress
from xaionnx.runtime.model import Feed, Model
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    import onnx

    from xaionnx.autodiff.rule import Table
    from xaionnx.targets.in_graph import Aim


_VALUE = "xaionnx_activated"
# Name of the input that squared distances are counted from.
REFERENCE = "xaionnx_reference"
# What the cotangents and gradients of one point may hold in one run.
RUN_BYTES = 64 * 2**20
# How often a gradient lies in memory: as a run gives it, in the order of its axes, and twice as wide where summed.
_COPIES = 4


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The gradient graph of the targets that read the same tensor in the same way."""

    gradient: Gradient
    tensor: str
    targets: tuple[int, ...]
    reference: bool
    follows: bool

    @property
    def target_bytes(self) -> int:
        """Bytes of the cotangent of one target, and of its gradients at one point."""
        found = self.gradient
        fed = () if self.follows else (found.model.input(found.cotangent),)
        infos = (*fed, *(found.model.output(name) for name in found.names.values()))
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

    Where ``aims`` are given, one for each target, the graph finds out by itself which elements they read, and nothing
    else can be asked of it than :meth:`with_outputs`.

    Raises
    ------
    UnsupportedModelError
        An op on the way has no rule.
    """

    words: ClassVar[str] = "graph"

    def __init__(self, question: GradientRequest, rules: Table | None = None, aims: Sequence[Aim] = ()) -> None:
        self._question = question
        self._rules = rules
        self._aims = aims
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for t, term in enumerate(question.terms):
            alike.setdefault((term.tensor, term.activation, term.reference is not None), []).append(t)
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

    @property
    def follows(self) -> bool:
        """Whether the graph finds the elements by itself."""
        return bool(self._aims)

    def _part(self, tensor: str, activation: str, reference: bool, targets: tuple[int, ...]) -> _Part:
        asked = self._question
        sample, size = dict(asked.feeds), None
        if reference:
            size = asked.terms[targets[0]].indices.shape[1]
            sample[REFERENCE] = np.zeros((len(asked.samples), size), dtype=np.float32)
        model, out = activated(asked.model, tensor, activation, size)
        several = len(targets) > 1 and not reference
        keep = () if out == tensor else (tensor,)
        ending = GraphRewrite(keep, keep)
        if self._aims:
            aims = [self._aims[t] for t in targets]
            ending = GraphRewrite(
                (keep, *(aim.words for aim in aims)), keep, partial(following, tensor=tensor, aims=aims)
            )
        found = gradient(model, out, asked.names, self._rules, sample, several=several, ending=ending)
        return _Part(found, tensor, targets, reference, bool(self._aims))

    def with_outputs(self, sample: Array, points: At, fetch: Sequence[str] = ()) -> Iterator[Piece]:
        """Gradients of all T targets at M points, and from the same runs the tensors that they read, and ``fetch``."""
        targets = np.repeat(np.arange(len(self._question.terms))[:, None], len(sample), axis=1)
        yield from self._pieces(sample, targets, points, fetch)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        yield from self._pieces(sample, target, points, None)

    def _pieces(self, sample: Array, target: Array, points: At, fetch: Sequence[str] | None) -> Iterator[Piece]:
        for part in self._parts:
            also = [] if fetch is None else [part.tensor, *fetch]
            mine = np.isin(target, part.targets)
            # Points at which the same of the U targets belong to this part run together.
            for pattern in np.ones((1, len(mine)), dtype=bool) if mine.all() else np.unique(mine, axis=1).T:
                rows = np.flatnonzero((mine == pattern[:, None]).all(axis=0))
                which = np.flatnonzero(pattern)
                at_once = len(which) if part.follows else part.at_once
                for first in range(0, len(which), at_once):
                    some = which[first : first + at_once]
                    feed = partial(self._fed, part, rows, sample, target[some], points)
                    yield from self._through(part, some, sample[rows], rows, feed, also)

    def _fed(
        self, part: _Part, rows: Array, sample: Array, target: Array, points: At, start: int, stop: int
    ) -> dict[str, Array]:
        """The inputs at some of the rows, for targets (u, M)."""
        found, asked, some = part.gradient, self._question, rows[start:stop]
        fed = asked.fed(sample[some], points(some))
        if part.follows:
            return fed
        info = found.model.input(found.cotangent)
        shape = tuple(int(size) for size in info.shape[1 + found.several :] if size is not None)
        size, each = int(np.prod(shape, dtype=np.int64)), len(target)
        weights, reference = asked.weights(sample[some].repeat(each), target[:, some].T.reshape(-1), size)
        lead = (len(some), each) if found.several else (len(some),)
        fed[found.cotangent] = weights.reshape(*lead, *shape).astype(info.dtype)
        if part.reference:
            fed[REFERENCE] = reference.astype(np.float32)
        return fed

    def _through(
        self, part: _Part, which: Array, sample: Array, rows: Array, feed: Feed, also: Sequence[str]
    ) -> Iterator[Piece]:
        found, asked = part.gradient, self._question
        progress.expect(len(rows))
        fetch = [*(found.names[name] for name in asked.names), *also]
        held = _COPIES * part.target_bytes * len(which) if found.several else None
        for start, stop, outputs in found.model.batches(len(rows), feed, fetch, asked.shared, held):
            progress.advance(stop - start)
            asked.evaluations.add(sample[start:stop])
            answers = {name: outputs[found.names[name]] for name in asked.names}
            yield Piece(
                which,
                rows[start:stop],
                {name: np.moveaxis(a, 1, 0) if found.several else a[None] for name, a in answers.items()},
                outputs={name: outputs[name] for name in also},
            )


def following(proto: onnx.ModelProto, tensor: str, aims: Sequence[Aim]) -> onnx.ModelProto:
    """A gradient graph that finds its cotangents by itself: those of targets that follow what a tensor holds."""
    import onnx_ir as ir

    from xaionnx.autodiff.backward import COTANGENT
    from xaionnx.graph.builder import Builder

    model = ir.from_proto(proto)
    graph = model.graph
    g = Builder(model)
    cotangent = next(value for value in graph.inputs if value.name == COTANGENT)
    held = next(value for node in graph for value in node.outputs if value.name == tensor)
    flat = g.op("Reshape", g.op("Cast", held, to=1), np.array([0, -1], dtype=np.int64))
    weights = [aim.follow(g, flat, None).weights for aim in aims]
    sizes = [int(size) for size in (cotangent.shape or ())[1:] if isinstance(size, int)]
    if len(aims) > 1:
        weights = [g.op("Unsqueeze", each, np.array([1], dtype=np.int64)) for each in weights]
        sizes = [len(aims), *sizes]
    joined = g.op("Concat", *weights, axis=1) if len(weights) > 1 else weights[0]
    shaped = g.op("Reshape", joined, np.array([-1, *sizes], dtype=np.int64))
    graph.inputs.remove(cotangent)
    cotangent.replace_all_uses_with(g.op("Cast", shaped, to=cotangent.dtype or ir.DataType.FLOAT))
    graph.sort()
    return ir.to_proto(model)


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
