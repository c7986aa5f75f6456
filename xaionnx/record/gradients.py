"""What a record says about gradients that the model's own outputs do not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.graph.steps import steps_between
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.attribution import Attribution
    from xaionnx.explainer import Explainer
    from xaionnx.request import Request


def other_arithmetic_facts(request: Request, attribution: Attribution) -> tuple[Document, dict[str, Array]]:
    """What a gradient graph computes in another way than the model, and the targets (T, N) that it saw."""
    built = attribution.diagnostics.get("gradient", "graph") == "graph" and "approximations" in attribution.facts
    if not built:
        return {}, {}
    from xaionnx.gradients.arithmetic import other_arithmetic, predictions_in_floats

    said = other_arithmetic(request.model)
    if said is None:
        return {}, {}
    seen = predictions_in_floats(request.model, request.feeds, request.resolved, request.evaluations)
    return {"arithmetic": said}, {"gradient_prediction": seen}


def steps_on_the_way(explainer: Explainer, request: Request, attribution: Attribution) -> Document:
    """The ops on the way to the targets that round, or have no slope, for a method by gradients."""
    if explainer.needs != "gradient":
        return {}
    model = request.model
    layer = attribution.parameters.get("layer")
    named = [layer] if isinstance(layer, str) else [*layer] if isinstance(layer, list | tuple) else []
    starts = [name for name in named or attribution.values if name in model.view.tensor_names] or [request.main]
    # Methods around others keep no source.
    passed = attribution.diagnostics.get("gradient") == "graph"
    ends = tuple(request.tensors)
    key = ("steps", tuple(starts), ends, passed)
    found = graph_fact(model, key, lambda view: steps_between(view, starts, ends, quantisers=not passed))
    kept = {"rounding": list(found.rounding), "all_paths": list(found.all_paths)}
    return {"steps": {key: ops for key, ops in kept.items() if ops}} if any(kept.values()) else {}
