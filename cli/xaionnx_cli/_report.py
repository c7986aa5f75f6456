"""The report of ``xaionnx explain``: top classes with their scores, strongest features, and the JSON document."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.caveats import diagnostic
from xaionnx.data.display import Display
from xaionnx.data.spec import InputSpec
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.layout import selects_boxes
from xaionnx.targets.scores import default_output, unnormalised
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Document
from xaionnx_cli._messages import for_shell, printable
from xaionnx_cli._suggestions import Size, suggest_targets
from xaionnx_cli._targets import default_target

_SHOWN_CLASSES = 5
_SHOWN_FEATURES = 10
# Pairs, triples and groups that are printed, and how many features of a group are named.
_SHOWN_TOGETHER = 5
_MOST_TOGETHER = 4
_LONGEST = 32
# Seconds below which a time is in milliseconds, and a thousandth of which below which it is in microseconds.
_SHORT_S = 0.1


@dataclass(frozen=True)
class Score:
    """A class with its score, its probability, and the kind of value that the score is."""

    name: str
    score: float
    probability: float
    quantity: str


@final
@dataclass(frozen=True)
class TopClasses(Target):
    """The highest classes of an output, once as scores and once as probabilities; empty if it has no classes."""

    output: str | None

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, shape = self.tensor(model), output.shape[1:]
        count = int(np.prod(shape, dtype=np.int64))
        if not _are_classes(shape) or selects_boxes(model) or _has_positions(tensor, model):
            return []
        if model.spec is not None and tensor == default_output(model):
            try:
                model.spec.check_outputs(count)
            except InputMismatchError as error:
                # Every input would fail in the same way: the spec is wrong, not the data.
                raise ParameterError(str(error)) from error
        tops = [Top(rank, probable, tensor) for probable in (False, True) for rank in range(min(_SHOWN_CLASSES, count))]
        return [term for top in tops for term in top.terms(output, model)]


def top_classes(request: Request) -> list[list[Score]]:
    """The highest classes of each sample, as found by :class:`TopClasses`, in descending order."""
    names, values = request.reported
    count = len(names) // 2
    if not count:
        return [[] for _ in request.samples]
    scores, chances = values[:count], values[count:]
    (report,) = request.report
    tensor = report.tensor(request.model)
    alike = np.allclose(scores, chances, rtol=1e-9, atol=1e-12)
    quantity = "probability" if alike else unnormalised(tensor, request.model, count)
    return [
        [Score(str(names[k, n]), float(scores[k, n]), float(chances[k, n]), quantity) for k in range(count)]
        for n in range(len(request.samples))
    ]


def _has_positions(tensor: str, model: Model) -> bool:
    """Whether an output has an axis of frames, tokens or places, whose scores do not compete as classes do."""
    known = tensor in {info.name for info in model.axes.outputs}
    return known and any(axis.role.counts_positions for axis in model.axes.of(tensor).axes)


def _are_classes(shape: Sequence[int]) -> bool:
    """Whether ``shape``, without the batch axis, is a single axis of classes."""
    return len(shape) <= 1 or math.prod(shape) == max(shape)


def no_top_class_error(model: Model, tensor: str, shape: Sequence[Size]) -> ParameterError:
    """The error for an output that has no top class; ``shape`` is without the batch axis."""
    return ParameterError(
        f"Output '{tensor}' of {model.name} is ({', '.join(map(str, ('N', *shape)))}), not one axis of classes. "
        f"{suggest_targets(model, tensor, shape)}"
    )


def check_top_class(model: Model, tensor: str) -> None:
    """Raise :func:`no_top_class_error` if the declared shape of an output rules out a top class."""
    shape = next((info.shape[1:] for info in model.outputs if info.name == tensor), ())
    # An unknown size may be 1.
    if sum(isinstance(size, int) and size != 1 for size in shape) > 1 and isinstance(default_target(model), Top):
        raise no_top_class_error(model, tensor, shape)


def class_lines(top: Sequence[Score]) -> list[str]:
    """A line for each class, below a heading that names its numbers."""
    if not top:
        return []
    quantity = top[0].quantity
    columns = {quantity: [f"{score.score:.4g}" for score in top]}
    chances = [f"{100 * score.probability:.2f} %" for score in top]
    if quantity == "probability":
        columns = {quantity: chances}
    elif quantity != "value":
        # Scores are not known to be logits, but their softmax shows how far they are apart.
        columns["softmax" if quantity == "score" else "probability"] = chances
    cells = [list(columns), *zip(*columns.values(), strict=True)]
    wide = [max(9, *map(len, column)) for column in zip(*cells, strict=True)]
    names = ["", *(printable(score.name) for score in top)]
    width = max(map(len, names))
    lines = []
    for name, row in zip(names, cells, strict=True):
        numbers = "".join(f"  {cell:>{size}}" for cell, size in zip(row, wide, strict=True))
        lines.append(f"  {name:<{width}}{numbers}")
    return lines


def target_values(names: Array, values: Array) -> str:
    """The targets of one sample and their values, in words."""
    pairs = [f"{printable(str(name))} = {value:.4g}" for name, value in zip(names.ravel(), values.ravel(), strict=True)]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return "; ".join(pairs[:5]) + more


def layer_lines(result: Explanation) -> list[str]:
    """The layer that was explained or mapped, with its shape, and the classes that the target was compared with."""
    layer = result.provenance.get("layer")
    if "seen_at" in result.provenance:
        size = " x ".join(map(str, result.maps["cam"].shape[-2:]))
        layer_name = printable(result.provenance["seen_at"]["name"])
        word = "layers" if "layers" in result.provenance["seen_at"] else "layer"
        return [f"  map of {word} {layer_name}, {size} positions", *_comparison_lines(result)]
    if layer is None or isinstance(result.values, dict):
        return []
    shape = result.values.shape[2 if result.several_targets else 1 :]
    return [f"  at layer {printable(layer['name'])} ({', '.join(map(str, ('N', *shape)))})"]


def _comparison_lines(result: Explanation) -> list[str]:
    others = result.diagnostics.get("against")
    if not others:
        return []
    if not result.several_targets:
        return [f"  compared with {printable(others[0])}"]
    each = zip(result.target[:, 0], others[0], strict=True)
    return [f"  {printable(str(name))}: compared with {printable(other)}" for name, other in each]


def approximation_line(result: Explanation) -> str:
    """Steps of the backward pass that are not derivatives or not as published; empty if there are none."""
    labels = list(result.provenance.get("approximations", ()))
    if "arithmetic" in result.provenance:
        labels.append(f"the gradient computes with {result.provenance['arithmetic']}")
    return f"  approximations: {printable('; '.join(labels))}" if labels else ""


def left_lines(result: Explanation) -> list[str]:
    """Lines on axes that were guessed, and on the inputs that the values do not cover; empty if there are none."""
    # Imported here: nothing else needs the drawing code.
    from xaionnx.render.settings import guessed_axes, left_as_is

    return [f"  {printable(words)}" for words in (*guessed_axes(result), *left_as_is(result))]


def warning_lines(result: Explanation) -> list[str]:
    """The warnings of a result, one a line."""
    return lines_of_warnings(result.warnings)


def lines_of_warnings(warnings: Sequence[str]) -> list[str]:
    """Warnings, one a line."""
    return [f"  warning: {printable(for_shell(warning))}" for warning in warnings]


def cost_line(result: Explanation) -> str:
    """Evaluations and time of one sample, and the source of its gradients unless it was the graph."""
    evaluations, seconds = sum(result.diagnostics["evaluations"]), result.diagnostics["seconds"]
    source = result.diagnostics.get("gradient", "graph")
    by = "" if source == "graph" else f", gradients by {printable(source)}"
    if evaluations == 1:
        return f"  1 evaluation in {_duration(seconds)}{by}"
    rate = evaluations / max(seconds, 1e-9)
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1g}"
    return f"  {evaluations:,} evaluations in {_duration(seconds)} ({shown}/s){by}"


def _duration(seconds: float) -> str:
    """A time in the unit that shows two digits of it, as the share of a row among thousands may be microseconds."""
    if seconds >= _SHORT_S:
        return f"{seconds:.2f} s"
    value, unit = (1e3 * seconds, "ms") if seconds >= _SHORT_S / 1e3 else (1e6 * seconds, "µs")
    # 99.9 to two digits would be 1e+02.
    return f"{float(f'{value:.2g}'):g} {unit}"


def gap_lines(result: Explanation) -> list[str]:
    """The completeness gap of the first targets; empty if the method does not report one."""
    if "relative_gap" not in result.diagnostics:
        return []
    # Imported here: nothing else needs the drawing code.
    from xaionnx.render.settings import gap

    if not result.several_targets:
        return [f"  {words}" for words in gap(result.sample(0))]
    each = [(printable(str(name)), gap(result.sample(0, t))) for t, name in enumerate(result.target[:5, 0])]
    return [f"  {name}: {words}" for name, found in each for words in found]


def feature_lines(result: Explanation, spec: InputSpec, feeds: Mapping[str, Array], main: str) -> list[str]:
    """The strongest features of rows for the first target, each with its input value and its attribution.

    ``feeds`` are those of one sample, (1, ...), and ``main`` is the explained input.
    """
    if result.feature_values is not None and result.provenance.get("feature_names"):
        players = (result.feature_values[0] if result.several_targets else result.feature_values)[0]
        found = np.isfinite(players)
        shown = [text for text, known in zip(result.shown_values(0), found, strict=True) if known]
        steps = _joined_steps(players, result.display.get(main), result.feature_names)
        return steps or _strongest(players[found], result.feature_names, shown)
    if "samples" in result.diagnostics and result.feature_values is not None:
        # All samples together have no value of a feature.
        players = (result.feature_values[0] if result.several_targets else result.feature_values)[0]
        return _strongest(players, result.feature_names, [""] * len(players))
    if isinstance(result.values, dict):
        return _lines_by_input(result, spec, feeds)
    x = feeds[main][0]
    values = (result.values[0] if result.several_targets else result.values)[0]
    known = token_names(result, x) or []
    if "layer" in result.provenance:
        # Imported here: nothing else needs the drawing code.
        from xaionnx.render.layers import layer_of, parts

        layer = layer_of(result)
        assert layer is not None  # the provenance has a layer
        values, known, _ = parts(values, layer)
        known = token_names(result, x) or known
    if values.ndim != 1:
        return []
    if known:
        return _strongest(values, known, [""] * len(values))
    if steps := _joined_steps(values, result.display.get(main)):
        return steps
    names = _columns(result, main, len(values)) or [f"column {i}" for i in range(len(values))]
    return _strongest(values, names, [_value_text(spec, name, value) for name, value in zip(names, x, strict=True)])


def _joined_steps(values: Array, drawn: Display | None, names: Sequence[str] | None = None) -> list[str]:
    """The strongest of the steps of a series, neighbours of one value as one; none if ``names`` are no steps."""
    if drawn is None or drawn.kind != "series":
        return []
    edges = np.flatnonzero(np.diff(values, prepend=np.nan, append=np.nan))
    steps = [(first, first + 1) for first in range(len(values))]
    if names is not None and list(names) != [drawn.time.words(*step) for step in steps]:
        return []
    runs = list(itertools.pairwise(edges.tolist()))
    return _strongest(values[edges[:-1]], [drawn.time.words(*run) for run in runs], [""] * len(runs))


def _lines_by_input(result: Explanation, spec: InputSpec, feeds: Mapping[str, Array]) -> list[str]:
    """The strongest columns of all inputs that are rows; the parts of others have no names."""
    found, names, shown = list[float](), list[str](), list[str]()
    assert isinstance(result.values, Mapping)  # checked by the caller
    for name, array in result.values.items():
        row, x = (array[0] if result.several_targets else array)[0], feeds.get(name)
        if row.ndim != 1 or x is None or x.ndim != 2:
            continue
        columns = _columns(result, name, len(row))
        labels = columns or ([name] if len(row) == 1 else [f"{name}[{i}]" for i in range(len(row))])
        found += row.tolist()
        names += labels
        shown += [_value_text(spec, label, value) for label, value in zip(labels, x[0], strict=True)]
    return _strongest(np.array(found), names, shown) if found else []


def _columns(result: Explanation, name: str, count: int) -> Sequence[str]:
    """The names of the columns of an input that is a row, from the record; none if they are not known."""
    shown = result.display.get(name)
    return shown.names if shown is not None and shown.kind == "row" and len(shown.names) == count else ()


def rule_lines(result: Explanation) -> list[str]:
    """The rule of an anchor with its precision and coverage; none for other methods."""
    rule, precision, coverage = (diagnostic(result, name) for name in ("rule", "precision", "coverage"))
    if not isinstance(rule, str):
        return []
    missing = "" if diagnostic(result, "found") else ", not accepted within the budget"
    return [f"  rule: {printable(rule) or 'none needed'}; precision {precision:.3g}, coverage {coverage:.3g}{missing}"]


def together_lines(result: Explanation) -> list[str]:
    """The strongest pairs, triples and groups of features for the first target; none for values of features alone."""
    one = result.sample(0, 0 if result.several_targets else None)
    names = one.feature_names
    found = [("pair", pair, value) for pair, value in _pairs(one)]
    found += [("triple", features, value) for *features, value, _ in diagnostic(one, "triples") or ()]
    found += [("group", features, value) for features, value in diagnostic(one, "groups") or ()]
    # Of groups by correlation or position, those of many features are not read; the whole has no news.
    largest = len(names) - 1 if diagnostic(one, "hierarchy") == "features" else _MOST_TOGETHER
    lines = []
    for kind in ("pair", "triple", "group"):
        own = [(features, value) for each, features, value in found if each == kind]
        own = [(features, value) for features, value in own if kind != "group" or len(features) <= largest]
        own = sorted(own, key=lambda each: -abs(each[1]))[:_SHOWN_TOGETHER]
        words = [_joined([printable(names[k]) for k in features]) for features, _ in own]
        width = max(map(len, words), default=0)
        lines += [f"  {kind} {word:<{width}}  {value:+.4g}" for word, (_, value) in zip(words, own, strict=True)]
    return lines


def _joined(names: Sequence[str]) -> str:
    """The names of a group, the first of many."""
    more = f" and {len(names) - _MOST_TOGETHER} more" if len(names) > _MOST_TOGETHER else ""
    return " + ".join(names[:_MOST_TOGETHER]) + more


def _pairs(one: Explanation) -> list[tuple[list[int], float]]:
    """The pairs of a matrix of interactions, each as a whole: both halves of it."""
    matrix = one.maps.get("interactions")
    if matrix is None or matrix.ndim != 3:
        return []
    first, second = np.triu_indices(matrix.shape[-1], 1)
    whole = matrix[0][first, second] + matrix[0][second, first]
    known = np.isfinite(whole)
    return [([i, j], v) for i, j, v in zip(*(array[known].tolist() for array in (first, second, whole)), strict=True)]


def _strongest(values: Array, all_names: Sequence[str], all_shown: Sequence[str]) -> list[str]:
    """Lines for the strongest of features, with names and input values."""
    order = np.argsort(-np.abs(values), kind="stable")[:_SHOWN_FEATURES]
    names, shown = [all_names[i] for i in order], [all_shown[i] for i in order]
    width, wide = max(map(len, names)), max(map(len, shown))
    lines = [
        f"  {printable(name):<{width}}  {printable(value):<{wide}}  {values[i]:+.4g}"
        for name, value, i in zip(names, shown, order, strict=True)
    ]
    rest = len(values) - len(order)
    return [*lines, f"  and {rest} more"] if rest else lines


def token_names(result: Explanation, x: Array) -> list[str] | None:
    """The names of the tokens of a layer, with their numbers in the input; None if the layer has no tokens."""
    layer = result.provenance.get("layer", result.provenance.get("seen_at"))
    if layer is None or layer["axes"] != "TD" or x.ndim != 1 or x.dtype.kind not in "fiu":
        return None
    # Some models take the numbers of tokens as floats.
    return [f"token {position} ({number:g})" for position, number in enumerate(x)]


def bar_names(result: Explanation, x: Array, spec: InputSpec) -> Sequence[str] | None:
    """The names of bars: tokens of a layer or columns of a table; None if there are neither."""
    columns = None if "layer" in result.provenance else spec.columns
    return token_names(result, x) or columns or None


def _value_text(spec: InputSpec, name: str, value: float | str) -> str:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
    words = spec.categories.get(name)
    if value != value:
        return "missing"
    shown = words[int(value)] if words and 0 <= int(value) < len(words) else f"{value:g}"
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def json_record(result: Explanation, *, arrays: bool) -> Document:
    """An explanation for JSON, without its arrays if ``arrays`` is False."""
    whole = result.to_dict()
    if not arrays:
        for name in ("values", "features", "feature_values", "standard_error", "maps"):
            del whole[name]
    return whole


def dump_json(document: object, indent: int | None = None) -> str:
    """Encode as JSON in ASCII; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_to_json(document), indent=indent, allow_nan=False)


def _to_json(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
