"""Gradients from a gradient graph, built from the model's graph by a table of rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.autodiff.gradient import GraphRewrite
from xaionnx.errors import UnsupportedModelError
from xaionnx.gradients.source import GradientRequest, InputsAt, Piece, Source
from xaionnx.runtime import progress
from xaionnx.runtime.batch_runner import Feed
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import SIMILARITY, emit_activation
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    import onnx

    from xaionnx.autodiff.rule import Table
    from xaionnx.targets.in_graph import Aim


_VALUE = "xaionnx_activated"
# Name of the input for the reference of squared distances.
REFERENCE = "xaionnx_reference"
# Bytes of the cotangents and gradients of one point in one run, at most.
RUN_BYTES = 64 * 2**20
# Copies of a gradient in memory: as returned by the run, with its axes reordered, and in double precision for sums.
_COPIES = 4


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The gradient graph of the targets that read the same tensor with the same activation."""

    gradient: Gradient
    tensor: str
    targets: tuple[int, ...]
    reference: bool
    follows: bool

    @property
    def target_bytes(self) -> int:
        """Bytes of the cotangent and of the gradients of one target at one point."""
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
        """The number of targets of one point in a run."""
        return max(1, RUN_BYTES // max(1, self.target_bytes)) if self.gradient.several else 1


@final
class Graph(Source):
    """Gradients from a gradient graph, or what other rules propagate in their place.

    The activation is part of the graph, so its derivative is that at the point of the gradient, along a path too; the
    weights are the cotangent, which is fed. Targets that read the same tensor with the same activation share a graph,
    and its forward part runs once for all of them at a point, or once for each group whose gradients fit into
    :data:`RUN_BYTES`. Squared distances run the forward part for each target.

    With ``aims``, one for each target, the graph itself determines the elements of the targets, and only
    :meth:`with_outputs` may be called.

    Raises
    ------
    UnsupportedModelError
        An op on the path has no rule.
    """

    words: ClassVar[str] = "graph"

    def __init__(self, request: GradientRequest, rules: Table | None = None, aims: Sequence[Aim] = ()) -> None:
        self._request = request
        self._rules = rules
        self._aims = aims
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for t, term in enumerate(request.terms):
            alike.setdefault((term.tensor, term.activation, term.reference is not None), []).append(t)
        self._parts = [self._part(*key, tuple(targets)) for key, targets in alike.items()]

    @classmethod
    def accepts(cls, given: object) -> bool:
        return isinstance(given, str) and given == "graph"

    @classmethod
    def of(cls, given: GradientLike, request: GradientRequest) -> Graph:
        del given
        return cls(request)

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
        """Whether the graph itself determines the elements of the targets."""
        return bool(self._aims)

    def _part(self, tensor: str, activation: str, reference: bool, targets: tuple[int, ...]) -> _Part:
        request = self._request
        sample, size = dict(request.feeds), None
        if reference:
            size = request.terms[targets[0]].indices.shape[1]
            sample[REFERENCE] = np.zeros((len(request.samples), size), dtype=np.float32)
        model, out = with_activation(request.model, tensor, activation, size)
        several = len(targets) > 1 and not reference
        keep = () if out == tensor else (tensor,)
        ending = GraphRewrite(keep, keep)
        if self._aims:
            aims = [self._aims[t] for t in targets]
            ending = GraphRewrite(
                (keep, *(aim.words for aim in aims)), keep, partial(with_own_cotangent, tensor=tensor, aims=aims)
            )
        found = gradient(model, out, request.names, self._rules, sample, several=several, ending=ending)
        return _Part(found, tensor, targets, reference, bool(self._aims))

    def with_outputs(self, sample: Array, points: InputsAt, fetch: Sequence[str] = ()) -> Iterator[Piece]:
        """Yield gradients of all T targets at M points, with the tensors that they read and ``fetch`` as outputs."""
        targets = np.repeat(np.arange(len(self._request.terms))[:, None], len(sample), axis=1)
        yield from self._pieces(sample, targets, points, fetch)

    def at(self, sample: Array, target: Array, points: InputsAt) -> Iterator[Piece]:
        yield from self._pieces(sample, target, points, None)

    def _pieces(self, sample: Array, target: Array, points: InputsAt, fetch: Sequence[str] | None) -> Iterator[Piece]:
        for part in self._parts:
            also = [] if fetch is None else [part.tensor, *fetch]
            mine = np.isin(target, part.targets)
            # Points with the same targets in this part run together.
            for pattern in np.ones((1, len(mine)), dtype=bool) if mine.all() else np.unique(mine, axis=1).T:
                rows = np.flatnonzero((mine == pattern[:, None]).all(axis=0))
                which = np.flatnonzero(pattern)
                at_once = len(which) if part.follows else part.at_once
                for first in range(0, len(which), at_once):
                    some = which[first : first + at_once]
                    feed = partial(self._feeds, part, rows, sample, target[some], points)
                    yield from self._run_part(part, some, sample[rows], rows, feed, also)

    def _feeds(
        self, part: _Part, rows: Array, sample: Array, target: Array, points: InputsAt, start: int, stop: int
    ) -> dict[str, Array]:
        """The feeds at some of the rows, for targets (u, M)."""
        found, request, some = part.gradient, self._request, rows[start:stop]
        fed = request.feeds_at(sample[some], points(some))
        if part.follows:
            return fed
        info = found.model.input(found.cotangent)
        shape = tuple(int(size) for size in info.shape[1 + found.several :] if size is not None)
        size, each = int(np.prod(shape, dtype=np.int64)), len(target)
        weights, reference = request.weights(sample[some].repeat(each), target[:, some].T.reshape(-1), size)
        lead = (len(some), each) if found.several else (len(some),)
        fed[found.cotangent] = weights.reshape(*lead, *shape).astype(info.dtype)
        if part.reference:
            fed[REFERENCE] = reference.astype(np.float32)
        return fed

    def _run_part(
        self, part: _Part, which: Array, sample: Array, rows: Array, feed: Feed, also: Sequence[str]
    ) -> Iterator[Piece]:
        found, request = part.gradient, self._request
        progress.expect(len(rows))
        fetch = [*(found.names[name] for name in request.names), *also]
        held = _COPIES * part.target_bytes * len(which) if found.several else None
        for start, stop, outputs in found.model.batches(len(rows), feed, fetch, request.shared, held):
            progress.advance(stop - start)
            request.evaluations.add(sample[start:stop])
            gradients = {name: outputs[found.names[name]] for name in request.names}
            yield Piece(
                which,
                rows[start:stop],
                {name: np.moveaxis(a, 1, 0) if found.several else a[None] for name, a in gradients.items()},
                outputs={name: outputs[name] for name in also},
            )


def with_own_cotangent(proto: onnx.ModelProto, tensor: str, aims: Sequence[Aim]) -> onnx.ModelProto:
    """Return a gradient graph that computes its cotangents, for targets chosen by the values of a tensor."""
    import onnx_ir as ir

    from xaionnx.autodiff.backward import COTANGENT
    from xaionnx.graph.builder import Builder

    model = ir.from_proto(proto)
    graph = model.graph
    g = Builder(model)
    cotangent = next(value for value in graph.inputs if value.name == COTANGENT)
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    held = next(value for value in values if value.name == tensor)
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


def similarity_error() -> UnsupportedModelError:
    """Return the error for gradients of the similarity to a detection."""
    return UnsupportedModelError(
        "The similarity to a detection is a maximum over the boxes, which gradients of one box do not explain. "
        "Use Target.box, or a method that removes parts of the input: d_rise, occlusion, kernel_shap."
    )


def with_activation(model: Model, tensor: str, activation: str, size: int | None) -> tuple[Model, str]:
    """Return a model with the activation of a tensor in its graph, and the name of the tensor to differentiate.

    With ``size`` that is the squared distance of each element to the input :data:`REFERENCE`, (N, size).
    """
    if activation == SIMILARITY:
        raise similarity_error()
    if activation == "identity" and size is None:
        return model, tensor
    key = ("with_activation", tensor, activation, size)
    return model.derived(key, lambda proto: _add_activation(proto, tensor, activation, size)), _VALUE


def _add_activation(proto: onnx.ModelProto, tensor: str, activation: str, size: int | None) -> onnx.ModelProto:
    """The graph with the activation (N, S) of a tensor as an additional output; with ``size`` its squared distance."""
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

    model = ir.from_proto(proto)
    graph = model.graph
    g = Builder(model)
    values = {str(v.name): v for v in graph.inputs} | {str(v.name): v for node in graph for v in node.outputs}
    flat = emit_activation(g, activation, values[tensor])
    if size is not None:
        lead = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else "N"
        reference = g.input(REFERENCE, np.float32, (lead if isinstance(lead, int) else "N", size))
        difference = g.op("Sub", flat, reference)
        flat = g.op("Mul", difference, difference)
    g.output(flat, _VALUE)
    return ir.to_proto(model)
