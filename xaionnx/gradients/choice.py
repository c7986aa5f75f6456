"""Which source answers: the one that was asked for, or the first that can."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xaionnx.data.spec import picture_axes
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
    from xaionnx.layers.dry_run import DryRun

# With the batch axis.
Shape = tuple[int | str | None, ...]

# The first that takes what was asked for answers.
SOURCES: Final[tuple[type[Source], ...]] = (Graph, Differences, UserGradient)
# Elements whose differences are taken one by one where no one asked for that.
MOST: Final = 4096


def words() -> str:
    """What can be asked for, as help texts list it."""
    return f"auto, {', '.join(source.words for source in SOURCES)}"


def parameter(default: Value, help: str) -> Value:
    """A dataclass field that holds a source of gradients; ``help`` says whose."""
    return free(
        default,
        lambda: f"one of {words()}, FiniteDifferences, or a Model",
        lambda: f"{help}: {words()}; auto takes the first of graph and finite_differences that can",
        optional=default is None,
    )


def checked(owner: str, given: object) -> None:
    """Refuse what names no source.

    Raises
    ------
    ParameterError, UnknownNameError
        It is none of :func:`words`.
    """
    auto = isinstance(given, str) and given == "auto"
    if not auto and not any(source.takes(given) for source in SOURCES):
        raise ParameterError(
            f"The 'gradient' parameter of {owner} must be one of {words()}, FiniteDifferences, or a Model. "
            f"Got {given!r} instead."
        )


def chosen(given: GradientLike, question: GradientRequest) -> Source:
    """The source behind what was given.

    Raises
    ------
    UnsupportedModelError
        It cannot answer for this model, or with ``auto`` none can at a reasonable price.
    """
    checked("a gradient", given)
    for source in SOURCES:
        if source.takes(given):
            return source.of(given, question)
    try:
        return Graph(question)
    except ModelError as refusal:
        shapes = [(1, *question.samples[0].x[name].shape) for name in question.names]
        otherwise = _too_much(question.model, shapes)
        if otherwise is not None:
            raise UnsupportedModelError(f"{refusal} {otherwise}") from refusal
        return Differences(FiniteDifferences(), question)


def validated(dry_run: DryRun, names: Sequence[str], rules: Table | None = None) -> dict[str, str | None]:
    """The source that ``auto`` will take for the usual output, and a remark where that is not the graph.

    Where the model leaves sizes free the graph is named: whether a rule is missing shows with the first sample.

    Raises
    ------
    UnsupportedModelError
        The graph cannot be built, and nothing else takes its place: differences do for derivatives alone, so not
        where ``rules`` are given, and not at any price.
    """
    if dry_run.rows is None:
        return {"gradient": "graph", "remark": None}
    try:
        dry_run.outputs(names, rules)
    except ModelError as refusal:
        if rules is not None:
            raise
        shapes = [(1, *(dry_run.shape(name) or ())) for name in names]
        otherwise = _too_much(dry_run.model, shapes)
        if otherwise is not None:
            raise UnsupportedModelError(f"{refusal} {otherwise}") from refusal
        remark = f"{2 * _elements(shapes):,} evaluations a gradient. {refusal}"
        return {"gradient": "finite_differences", "remark": remark}
    return {"gradient": "graph", "remark": None}


def _too_much(model: Model, shapes: Sequence[Shape]) -> str | None:
    """Why differences are not taken unasked, as what can be asked for."""
    if any(node.op_type.startswith("TreeEnsemble") for node in model.file.proto.graph.node):
        return (
            "Or choose gradient='finite_differences:step=0.1', a share of the value range: trees are flat but for "
            "their jumps, so the step says what is asked."
        )
    elements = _elements(shapes)
    if elements <= MOST:
        return None
    by_groups = "" if picture_axes(shapes[0]) is None else ", 'finite_differences:superpixels' (about 100)"
    return (
        f"Or choose gradient='finite_differences:random:500' (1,000 evaluations a gradient){by_groups} or "
        f"'finite_differences' ({2 * elements:,}), or give a gradient model, a .onnx file."
    )


def _elements(shapes: Sequence[Shape]) -> int:
    return sum(math.prod(size for size in shape[1:] if isinstance(size, int)) for shape in shapes)
