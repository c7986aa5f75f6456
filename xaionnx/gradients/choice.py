"""The choice of the source of gradients: the requested one, or the first that supports the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xaionnx.errors import ModelError, ParameterError, UnsupportedModelError
from xaionnx.gradients.differences import Differences
from xaionnx.gradients.finite_differences import FiniteDifferences
from xaionnx.gradients.graph import Graph
from xaionnx.gradients.source import GradientRequest, Source
from xaionnx.gradients.user_gradient import UserGradient
from xaionnx.parameters import Value, free
from xaionnx.runtime.model import Model
from xaionnx.typing import GradientLike

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.data.sample import Sample
    from xaionnx.layers.dry_run import DryRun

# Including the batch axis.
Shape = tuple[int | str | None, ...]

# The first source that accepts the user's choice is used.
SOURCES: Final[tuple[type[Source], ...]] = (Graph, Differences, UserGradient)
# Largest number of elements for which ``auto`` takes differences one by one.
MAX_ELEMENTS: Final = 4096


def words() -> str:
    """Return the possible choices as a list for help texts."""
    return f"auto, {', '.join(source.words for source in SOURCES)}"


def parameter(default: Value, help: str) -> Value:
    """Return a dataclass field for a source of gradients; ``help`` says of which gradients."""
    return free(
        default,
        lambda: f"one of {words()}, FiniteDifferences, or a Model",
        lambda: f"{help}: {words()}; auto takes the first of graph and finite_differences that can",
        optional=default is None,
    )


def check_source(owner: str, given: object) -> None:
    """Check that ``given`` is a source of gradients.

    Raises
    ------
    ParameterError, UnknownNameError
        It is none of :func:`words`.
    """
    auto = isinstance(given, str) and given == "auto"
    if not auto and not any(source.accepts(given) for source in SOURCES):
        raise ParameterError(
            f"The 'gradient' parameter of {owner} must be one of {words()}, FiniteDifferences, or a Model. "
            f"Got {given!r} instead."
        )


def choose_source(given: GradientLike, request: GradientRequest) -> Source:
    """Return the source of gradients for a request.

    Raises
    ------
    UnsupportedModelError
        The source does not support this model, or with ``auto`` none does at a reasonable cost.
    """
    check_source("a gradient", given)
    for source in SOURCES:
        if source.accepts(given):
            return source.of(given, request)
    try:
        return Graph(request)
    except ModelError as refusal:
        first = request.samples[0]
        shapes = [(1, *first.x[name].shape) for name in request.names]
        otherwise = _cheaper_sources(request.model, shapes, first)
        if otherwise is not None:
            raise UnsupportedModelError(f"{refusal} {otherwise}") from refusal
        return Differences(FiniteDifferences(), request)


def validate_source(dry_run: DryRun, names: Sequence[str], rules: Table | None = None) -> dict[str, str | None]:
    """Return the source that ``auto`` chooses for the default output, with a remark if it is not the graph.

    If the model has free sizes this is the graph: a missing rule shows with the first sample.

    Raises
    ------
    UnsupportedModelError
        The graph cannot be built, and differences do not replace it: they approximate derivatives, not other
        ``rules``, and they would cost too much.
    """
    if dry_run.rows is None:
        return {"gradient": "graph", "remark": None}
    try:
        dry_run.outputs(names, rules)
    except ModelError as refusal:
        if rules is not None:
            raise
        shapes = [(1, *(dry_run.shape(name) or ())) for name in names]
        otherwise = _cheaper_sources(dry_run.model, shapes, dry_run.sample)
        if otherwise is not None:
            raise UnsupportedModelError(f"{refusal} {otherwise}") from refusal
        remark = f"{2 * _elements(shapes):,} evaluations a gradient. {refusal}"
        return {"gradient": "finite_differences", "remark": remark}
    return {"gradient": "graph", "remark": None}


def _cheaper_sources(model: Model, shapes: Sequence[Shape], sample: Sample | None) -> str | None:
    """Explicit choices that the user has if ``auto`` does not take differences; None if it does."""
    if any(node.op_type.startswith("TreeEnsemble") for node in model.file.proto.graph.node):
        return (
            "Or choose gradient='finite_differences:step=0.1', a share of the value range: trees are piecewise "
            "constant, so the step decides which changes count."
        )
    elements = _elements(shapes)
    if elements <= MAX_ELEMENTS:
        return None
    found = sample.positions() if sample is not None else None
    divided = found is not None and (found.is_picture or found.is_volume)
    by_groups = ", 'finite_differences:superpixels' (about 100)" if divided else ""
    return (
        f"Or choose gradient='finite_differences:random:500' (1,000 evaluations a gradient){by_groups} or "
        f"'finite_differences' ({2 * elements:,}), or give a gradient model, a .onnx file."
    )


def _elements(shapes: Sequence[Shape]) -> int:
    return sum(math.prod(size for size in shape[1:] if isinstance(size, int)) for shape in shapes)
