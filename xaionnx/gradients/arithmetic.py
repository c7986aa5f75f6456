"""The arithmetic of gradient graphs, where it is not that of the model, and how far apart their answers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xaionnx.autodiff.gradient import CanonicalModel, first_rows
from xaionnx.errors import ModelError
from xaionnx.graph.quantised import rounds
from xaionnx.graph.widen import is_narrow
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


def other_arithmetic(model: Model) -> str | None:
    """Return what gradient graphs of a model compute in another way than the model; None if nothing.

    Examples
    --------
    >>> from models import planted
    >>> print(other_arithmetic(planted.load(planted.net_f())))
    None
    """
    return graph_fact(model, "other arithmetic", _describe)


def _describe(view: GraphView) -> str | None:
    said = []
    if rounds(view.model):
        said.append("floats in place of integers, so that activations are neither rounded nor cut to their range")
    if is_narrow(view.model):
        said.append("float32 in place of half precision")
    return "; ".join(said) or None


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
    first = first_rows(model, feeds)
    shapes = tuple((name, array.shape, array.dtype.str) for name, array in first.items())
    try:
        floats = model.derived(
            ("in floats", tuple(tensors), shapes), lambda _: CanonicalModel.of(model, tensors, first).proto
        )
        outputs = floats.run(feeds, tensors)
    except ModelError:
        return np.full(resolved.prediction.shape, np.nan)
    evaluations.add(np.arange(resolved.prediction.shape[1]))
    return np.asarray(resolved.selection.select(outputs)[:, : resolved.count].T, dtype=np.float64)
