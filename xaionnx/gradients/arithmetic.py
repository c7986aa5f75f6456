"""The arithmetic of gradient graphs, where it is not that of the model, and how far apart their answers are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.autodiff.gradient import CanonicalModel, first_rows
from xaionnx.errors import ModelError
from xaionnx.graph.quantised import rounds
from xaionnx.graph.widen import is_narrow
from xaionnx.layers.path import LayerPath
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import GraphView


def other_arithmetic(model: Model) -> str | None:
    """Return what gradient graphs of a model compute in another way than the model; None if nothing.

    Examples
    --------
    >>> from models import planted
    >>> print(other_arithmetic(planted.load(planted.net_f())))
    None
    """
    return graph_fact(model, "other arithmetic", lambda view: _describe(view, model.deployed))


def _describe(view: GraphView, deployed: onnx.ModelProto | None) -> str | None:
    said = []
    if rounds(view.model) or (deployed is not None and rounds(deployed)):
        said.append("floats in place of integers, so that activations are neither rounded nor cut to their range")
    if is_narrow(view.model):
        said.append("float32 in place of half precision")
    return "; ".join(said) or None


def in_floats(model: Model, feeds: Feeds, tensors: Sequence[str]) -> Model:
    """Return the model in the arithmetic of gradient graphs, for samples of the size of ``feeds``.

    Activations that a method multiplies by gradients are read from it: the rounding of a single layer to integers moves
    a map more than that of all weights. Models without such arithmetic are returned as they are, as are those that
    cannot be written in it.

    Parameters
    ----------
    model : Model
    feeds : mapping
        The samples, as returned by :meth:`xaionnx.Model.check`.
    tensors : sequence of str
        Tensors that are read; they keep their names.
    """
    if other_arithmetic(model) is None:
        return model
    try:
        return _in_floats(model, feeds, tensors)
    except ModelError:
        return model


def path_in_floats(path: LayerPath, *layers: str) -> LayerPath:
    """Return a path at the inputs through the model of :func:`in_floats`, where ``layers`` are then evaluated."""
    resolved = path.resolved
    model = in_floats(path.model, path.feeds, (*resolved.tensors, *layers))
    if model is path.model:
        return path
    outputs = {name: array for name, array in resolved.outputs.items() if name in resolved.tensors}
    return dataclasses.replace(path, model=model, resolved=dataclasses.replace(resolved, model=model, outputs=outputs))


def computes_in_half_precision(model: Model) -> bool:
    """Whether a model computes in float16 or bfloat16, so that its layers hold numbers of these types."""
    return graph_fact(model, "half precision", lambda view: is_narrow(view.model))


def _in_floats(model: Model, feeds: Feeds, tensors: Sequence[str]) -> Model:
    first = first_rows(model, feeds)
    shapes = tuple((name, array.shape, array.dtype.str) for name, array in first.items())
    key = ("in floats", tuple(tensors), shapes)
    return model.derived(key, lambda _: CanonicalModel.of(model, tensors, first).proto)


def predictions_in_floats(model: Model, feeds: Feeds, resolved: ResolvedTargets, evaluations: Evaluations) -> Array:
    """Return the targets (T, N) in the arithmetic of the gradient graph, from one run at the samples.

    Parameters
    ----------
    model : Model
    feeds : mapping
        The N samples, as returned by :meth:`xaionnx.Model.check`.
    resolved : ResolvedTargets
    evaluations : Evaluations
        The counter of the request.

    Returns
    -------
    array of float64 (T, N)
        NaN if the gradient graph is made for each sample, or its output is not finite.
    """
    tensors = list(resolved.tensors)
    try:
        outputs = _in_floats(model, feeds, tensors).run(feeds, tensors)
    except ModelError:
        return np.full(resolved.prediction.shape, np.nan)
    evaluations.add(np.arange(resolved.prediction.shape[1]))
    return np.asarray(resolved.selection.select(outputs)[:, : resolved.count].T, dtype=np.float64)
