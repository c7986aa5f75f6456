"""Gradients of the targets of a batch, at any points, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from xaionnx import progress
from xaionnx.autodiff import Gradient, gradient
from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.model import Model
from xaionnx.perturb.sample import Sample, split
from xaionnx.resolution import Resolution

if TYPE_CHECKING:
    import onnx

    from xaionnx.autodiff.rule import Table

Array = npt.NDArray[Any]
# Inputs (m, ...) by name for rows 0..M-1 given by number; the same whenever it is asked again.
At = Callable[[Array], Mapping[str, Array]]

_VALUE = "xaionnx_activated"
# Name of the input that squared distances are counted from.
REFERENCE = "xaionnx_reference"


@final
@dataclass(frozen=True, eq=False)
class _Graph:
    """The gradient graph of the targets that read the same tensor in the same way."""

    gradient: Gradient
    targets: tuple[int, ...]
    reference: bool


@final
class Slopes:
    """The gradients of T targets of N samples with respect to the float inputs.

    A target is a weighted sum over elements of a tensor after an activation. The activation is part of the graph,
    so that its slope belongs to the point where the gradient is asked, along a path too; the weights are the
    cotangent, which is fed. Targets that read the same tensor in the same way share one graph.

    Parameters
    ----------
    model : Model
    feeds : dict of arrays by input name
        As :meth:`xaionnx.Model.check` makes them.
    resolution : Resolution
    rules : mapping of str to Rule, optional
        What takes the place of derivatives; see :func:`xaionnx.autodiff.gradient`.

    Attributes
    ----------
    names : tuple of str
        The inputs that are explained.
    samples : list of N Sample

    Raises
    ------
    UnsupportedModelError
        The explained input holds no floats, or an op on the way has no rule.
    """

    def __init__(
        self, model: Model, feeds: Mapping[str, Array], resolution: Resolution, rules: Table | None = None
    ) -> None:
        self.names = differentiable(model)
        self.samples: list[Sample] = split(feeds, model.input().name, model.spec, model.shared)
        self._model = model
        self._rules = rules
        self._resolution = resolution
        self._feeds = feeds
        self._shared = {name: array for name, array in feeds.items() if name in model.shared}
        self._picks = resolution.selection.picks[: resolution.own]
        alike: dict[tuple[str, str, bool], list[int]] = {}
        for t, pick in enumerate(self._picks):
            alike.setdefault((pick.tensor, pick.activation, pick.reference is not None), []).append(t)
        self._graphs = [self._graph(*key, tuple(targets)) for key, targets in alike.items()]

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return len(self._picks)

    @property
    def approximations(self) -> list[str]:
        """What in the gradients is no derivative of what the model computes: see :class:`xaionnx.autodiff.Gradient`."""
        return sorted({label for graph in self._graphs for label in graph.gradient.approximations})

    def _graph(self, tensor: str, activation: str, reference: bool, targets: tuple[int, ...]) -> _Graph:
        sample, size = dict(self._feeds), None
        if reference:
            size = self._picks[targets[0]].indices.shape[1]
            sample[REFERENCE] = np.zeros((len(self.samples), size), dtype=np.float32)
        model, out = activated(self._model, tensor, activation, size)
        return _Graph(gradient(model, out, self.names, self._rules, sample), targets, reference)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[tuple[Array, dict[str, Array]]]:
        """Gradients at M points, each of one target of one sample.

        Parameters
        ----------
        sample, target : arrays of int (M,)
        points : callable
            The explained inputs of the rows that it is given.

        Yields
        ------
        rows : array of int (m,)
            In rising order for each target.
        gradients : dict of arrays (m, ...) by input name

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        progress.expect(len(sample))
        for graph in self._graphs:
            rows = np.flatnonzero(np.isin(target, graph.targets))
            if not len(rows):
                continue
            yield from self._through(graph, rows, sample, target, points)

    def _through(
        self, graph: _Graph, rows: Array, sample: Array, target: Array, points: At
    ) -> Iterator[tuple[Array, dict[str, Array]]]:
        found = graph.gradient
        info = found.model.input(found.cotangent)
        shape = tuple(int(size) for size in info.shape[1:] if size is not None)

        def feed(start: int, stop: int) -> dict[str, Array]:
            some = rows[start:stop]
            weights = np.zeros((len(some), int(np.prod(shape, dtype=np.int64))))
            reference = np.zeros(weights.shape, dtype=np.float32)
            for t in np.unique(target[some]):
                mine = np.flatnonzero(target[some] == t)
                pick, of = self._picks[t], sample[some[mine]]
                # An element may come again, with weight 0.
                np.add.at(weights, (mine[:, None], pick.indices[of]), pick.coefficients[of])
                if pick.reference is not None:
                    reference[mine[:, None], pick.indices[of]] = pick.reference[of]
            fed = self._fed(sample[some], points(some))
            fed[found.cotangent] = weights.reshape(len(some), *shape).astype(info.dtype)
            if graph.reference:
                fed[REFERENCE] = reference
            return fed

        fetch = [found.names[name] for name in self.names]
        for start, stop, outputs in found.model.batches(len(rows), feed, fetch, self._shared):
            progress.advance(stop - start)
            gradients = {name: outputs[found.names[name]] for name in self.names}
            self._refuse(gradients, sample[rows[start:stop]])
            yield rows[start:stop], gradients

    def values(self, sample: Array, points: At) -> Array:
        """The T targets at M points, (T, M), in float64.

        Raises
        ------
        OutputError
            The model answers NaN or infinity.
        """
        progress.expect(len(sample))
        values = np.empty((self.targets, len(sample)))
        selection = self._resolution.selection

        def feed(start: int, stop: int) -> dict[str, Array]:
            return self._fed(sample[start:stop], points(np.arange(start, stop)))

        model, fetch = self._resolution.model, selection.tensors
        for start, stop, outputs in model.batches(len(sample), feed, fetch, self._shared):
            progress.advance(stop - start)
            chosen = selection.of_samples(sample[start:stop]).select(outputs)[:, : self.targets]
            if not np.isfinite(chosen).all():
                bad = sample[start + int(np.argmin(np.isfinite(chosen).all(axis=1)))]
                raise OutputError(
                    f"{self._model.name} answers NaN or infinity at the baseline of sample {bad}. "
                    "Choose another baseline."
                )
            values[:, start:stop] = chosen.T
        return values

    def _fed(self, sample: Array, points: Mapping[str, Array]) -> dict[str, Array]:
        others = {n: a[sample] for n, a in self._feeds.items() if n not in self._shared and n not in points}
        return {**others, **points}

    def _refuse(self, gradients: Mapping[str, Array], sample: Array) -> None:
        for array in gradients.values():
            finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
            if not finite.all():
                bad = sample[int(np.argmin(finite))]
                raise OutputError(
                    f"The gradient of {self._model.name} is NaN or infinity for sample {bad}. "
                    "Check the sample, or use a method without gradients: occlusion, rise, lime, kernel_shap."
                )


def differentiable(model: Model) -> tuple[str, ...]:
    """Names of the inputs that a gradient can be taken of: those of floats, one a sample.

    Raises
    ------
    UnsupportedModelError
        The explained input is not among them.
    """
    main = model.input()
    if main.dtype.kind != "f" or main.name in model.shared:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is {main}, which has no gradient. "
            "Use a method without gradients: occlusion, rise, lime, kernel_shap."
        )
    return tuple(info.name for info in model.inputs if info.dtype.kind == "f" and info.name not in model.shared)


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
