"""What `explain` says: the classes with their scores, the features that count most, and the JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.data.spec import InputSpec
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.scores import unnormalised
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Document
from xaionnx_cli._likely import Size, likely

_SHOWN_CLASSES = 5
_SHOWN_FEATURES = 10
_LONGEST = 32


@dataclass(frozen=True)
class Score:
    """A class, its score, its probability where the output holds another number, and what the score is."""

    name: str
    score: float
    probability: float
    quantity: str


@final
@dataclass(frozen=True)
class TopClasses(Target):
    """The highest classes of an output, by score and again by probability; none where it has no classes."""

    output: str | None

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, shape = self.tensor(model), output.shape[1:]
        count = int(np.prod(shape, dtype=np.int64))
        if not _are_classes(shape):
            return []
        if model.spec is not None and tensor == model.output().name:
            try:
                model.spec.check_outputs(count)
            except InputMismatchError as error:
                # It would be the same for every input: the spec is wrong, not the data.
                raise ParameterError(str(error)) from error
        tops = [Top(rank, probable, tensor) for probable in (False, True) for rank in range(min(_SHOWN_CLASSES, count))]
        return [term for top in tops for term in top.terms(output, model)]


def top_classes(request: Request) -> list[list[Score]]:
    """What :class:`TopClasses` found for each sample, the highest classes first."""
    names, values = request.reported
    count = len(names) // 2
    if not count:
        return [[] for _ in request.samples]
    scores, chances = values[:count], values[count:]
    (report,) = request.report
    tensor = report.tensor(request.model)
    alike = np.allclose(scores, chances, rtol=1e-9, atol=1e-12)
    told = "probability" if alike else unnormalised(tensor, request.model, count)
    return [
        [Score(str(names[k, n]), float(scores[k, n]), float(chances[k, n]), told) for k in range(count)]
        for n in range(len(request.samples))
    ]


def _are_classes(shape: Sequence[int]) -> bool:
    """Whether a shape without the batch axis is one axis of classes."""
    return len(shape) <= 1 or math.prod(shape) == max(shape)


def no_classes(model: Model, tensor: str, shape: Sequence[Size]) -> ParameterError:
    """The error for an output that has no top class; ``shape`` is without the batch axis."""
    return ParameterError(
        f"Output '{tensor}' of {model.name} is ({', '.join(map(str, ('N', *shape)))}), not one axis of classes. "
        f"{likely(model, tensor, shape)}"
    )


def refuse_no_classes(model: Model, tensor: str) -> None:
    """Raise :func:`no_classes` where the model tells that an output has no top class to explain."""
    shape = model.output(tensor).shape[1:]
    # A size that is not told may be 1.
    if sum(isinstance(size, int) and size != 1 for size in shape) > 1:
        raise no_classes(model, tensor, shape)


def plain(text: str) -> str:
    """A name from a model or file with control characters made visible: they could rewrite a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def class_lines(top: Sequence[Score]) -> list[str]:
    """A line for each class, under a head that says what its numbers are."""
    if not top:
        return []
    told = top[0].quantity
    columns = {told: [f"{score.score:.4g}" for score in top]}
    chances = [f"{100 * score.probability:.2f} %" for score in top]
    if told == "probability":
        columns = {told: chances}
    elif told != "value":
        # That scores are logits is not told, but their softmax shows how far they are apart.
        columns["softmax" if told == "score" else "probability"] = chances
    cells = [list(columns), *zip(*columns.values(), strict=True)]
    wide = [max(9, *map(len, column)) for column in zip(*cells, strict=True)]
    names = ["", *(plain(score.name) for score in top)]
    width = max(map(len, names))
    lines = []
    for name, row in zip(names, cells, strict=True):
        numbers = "".join(f"  {cell:>{size}}" for cell, size in zip(row, wide, strict=True))
        lines.append(f"  {name:<{width}}{numbers}")
    return lines


def explained(names: Array, values: Array) -> str:
    """The targets of one sample and their values, in words."""
    pairs = [f"{plain(str(name))} = {value:.4g}" for name, value in zip(names.ravel(), values.ravel(), strict=True)]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return "; ".join(pairs[:5]) + more


def layer_lines(result: Explanation) -> list[str]:
    """The layer that was explained, or looked at, and its shape; what the classes were compared with."""
    layer = result.provenance.get("layer")
    if "seen_at" in result.provenance:
        places = " x ".join(map(str, result.maps["cam"].shape[-2:]))
        return [f"  seen at layer {plain(result.provenance['seen_at']['name'])}, {places} places", *_against(result)]
    if layer is None or isinstance(result.values, dict):
        return []
    shape = result.values.shape[2 if result.several_targets else 1 :]
    return [f"  at layer {plain(layer['name'])} ({', '.join(map(str, ('N', *shape)))})"]


def _against(result: Explanation) -> list[str]:
    told = result.diagnostics.get("against")
    if not told:
        return []
    if not result.several_targets:
        return [f"  against {plain(told[0])}"]
    each = zip(result.target[:, 0], told[0], strict=True)
    return [f"  {plain(str(name))}: against {plain(other)}" for name, other in each]


def approximation_line(result: Explanation) -> str:
    """What in the walk is no derivative, or not as published; empty where all of it is."""
    labels = result.provenance.get("approximations")
    return f"  approximations: {plain('; '.join(labels))}" if labels else ""


def warning_lines(result: Explanation) -> list[str]:
    """What is off about a result, and what to do, a line each."""
    return [f"  warning: {plain(warning)}" for warning in result.warnings]


def cost_line(result: Explanation) -> str:
    """What one sample took, and where its gradients came from if not from a graph."""
    evaluations, seconds = sum(result.diagnostics["evaluations"]), result.diagnostics["seconds"]
    source = result.diagnostics.get("gradient", "graph")
    by = "" if source == "graph" else f", gradients by {plain(source)}"
    return f"  {evaluations:,} evaluations in {seconds:.2f} s ({evaluations / max(seconds, 1e-9):,.0f}/s){by}"


def gap_lines(result: Explanation) -> list[str]:
    """How far the values of the first targets are off what they add up to; no line where no method says so."""
    if "relative_gap" not in result.diagnostics:
        return []
    # Only this needs what draws pictures.
    from xaionnx.render.words import gap

    if not result.several_targets:
        return [f"  {words}" for words in gap(result.sample(0))]
    each = [(plain(str(name)), gap(result.sample(0, t))) for t, name in enumerate(result.target[:5, 0])]
    return [f"  {name}: {words}" for name, found in each for words in found]


def feature_lines(result: Explanation, spec: InputSpec, x: Array) -> list[str]:
    """The entries of a row that count most, with the value that they had and their share; of the first target."""
    if isinstance(result.values, dict):
        return []
    values = (result.values[0] if result.several_targets else result.values)[0]
    known = token_names(result, x) or []
    if "layer" in result.provenance:
        # Only this needs what draws pictures.
        from xaionnx.render.layers import layer_of, parts

        layer = layer_of(result)
        assert layer is not None  # the provenance was just asked
        values, known, _ = parts(values, layer)
        known = token_names(result, x) or known
    if values.ndim != 1:
        return []
    order = np.argsort(-np.abs(values), kind="stable")[:_SHOWN_FEATURES]
    if known:
        names, held = [known[i] for i in order], [""] * len(order)
    else:
        names = [spec.columns[i] if i < len(spec.columns) else f"column {i}" for i in order]
        held = [_held(spec, names[place], x[i]) for place, i in enumerate(order)]
    width, wide = max(map(len, names)), max(map(len, held))
    lines = [
        f"  {plain(name):<{width}}  {plain(value):<{wide}}  {values[i]:+.4g}"
        for name, value, i in zip(names, held, order, strict=True)
    ]
    rest = len(values) - len(order)
    return [*lines, f"  and {rest} more"] if rest else lines


def token_names(result: Explanation, x: Array) -> list[str] | None:
    """The tokens of a layer with the numbers that the input has for them; None where it has none."""
    layer = result.provenance.get("layer", result.provenance.get("seen_at"))
    if layer is None or layer["axes"] != "TD" or x.ndim != 1 or x.dtype.kind not in "iu":
        return None
    return [f"token {place} ({number})" for place, number in enumerate(x)]


def part_names(result: Explanation, x: Array, spec: InputSpec) -> Sequence[str] | None:
    """The names of what bars show: tokens of a layer, or the columns of a table; None where there are none."""
    columns = None if "layer" in result.provenance else spec.columns
    return token_names(result, x) or columns or None


def _held(spec: InputSpec, name: str, value: float) -> str:
    words = spec.categories.get(name)
    held = words[int(value)] if words and 0 <= int(value) < len(words) else f"{value:g}"
    return held if len(held) <= _LONGEST else held[: _LONGEST - 3] + "..."


def record(result: Explanation, *, arrays: bool) -> Document:
    """An explanation for JSON; without its arrays where a file holds them."""
    whole = result.to_dict()
    if not arrays:
        for name in ("values", "features", "feature_values", "standard_error", "maps"):
            del whole[name]
    return whole


def dumps(document: object, indent: int | None = None) -> str:
    """JSON in ASCII, whatever the terminal; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_json(document), indent=indent, allow_nan=False)


def _json(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
