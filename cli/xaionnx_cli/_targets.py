"""Reading ``--target``: the targets of xaionnx.targets.target in words that fit on a command line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target

FORMS = (
    "What is explained, the top class of each input if not given: a class number or label, top:K, probability[:CLASS], "
    "margin:A,B (why A rather than B), label:NAME, loss:CLASS, element:I,J,..., neuron:TENSOR:I,J,..., channel[:K], "
    "peak[:K], region[:THRESHOLD], sum."
)
HELP = f"{FORMS} Repeat it for several targets; they cost no more than one."


def targets(texts: Sequence[str], output: str | None, model: Model) -> Target | list[Target] | None:
    """The targets behind the words of the command line, read from ``output`` (a tensor's name).

    Raises
    ------
    ParameterError, UnknownNameError
        A word does not name a target, or a number is none.
    """
    if not texts:
        inside = output is not None and output not in [o.name for o in model.outputs]
        # The classes of an internal tensor are unknown; its strongest channel is what answers to the input most.
        return Target.channel(output) if output is not None and inside else _default(output)
    read = [_target(text, output, model) for text in texts]
    return read[0] if len(read) == 1 else read


def _default(output: str | None) -> Target | None:
    from xaionnx.targets.target import Top

    return None if output is None else Top(output=output)


def _target(text: str, output: str | None, model: Model) -> Target:
    form, colon, rest = text.partition(":")
    rest = rest.strip()
    if form == "label" and colon:
        return Target.label(rest, output=output)
    if form == "top" and colon:
        return Target.top(_whole(text, rest, "top:3"), output=output)
    if form == "probability" and (not colon or rest):
        return Target.probability(_class(rest) if colon else None, output=output)
    if form == "margin" and colon:
        return Target.margin(*_pair(text, rest, model), output=output)
    if form == "loss" and colon:
        return Target.loss(np.array(_whole(text, rest, "loss:3")), output=output)
    if form == "element" and colon:
        return Target.index([_whole(text, part, "element:0,12,7") for part in rest.split(",")], output=output)
    if form == "neuron" and colon:
        # Names of tensors may hold colons of their own.
        tensor, _, place = rest.rpartition(":")
        example = "neuron:/relu/Relu_output_0:5,0,3"
        if not tensor:
            raise ParameterError(f"--target {text} must name a tensor and one of its elements, as in '{example}'.")
        return Target.neuron(tensor, [_whole(text, part, example) for part in place.split(",")])
    if form in ("channel", "peak") and (not colon or rest):
        tensor = output if output is not None else model.output().name
        return Target.channel(tensor, _whole(text, rest, f"{form}:5") if colon else None, peak=form == "peak")
    if form == "region" and (not colon or rest):
        return Target.region(threshold=_number(text, rest) if colon else 0.5, output=output)
    if text == "sum":
        return Target.sum(output=output)
    k = _class(text)
    return Target.index(k, output=output) if isinstance(k, int) else Target.label(k, output=output)


def _class(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _whole(text: str, part: str, example: str) -> int:
    try:
        return int(part)
    except ValueError:
        raise ParameterError(f"--target {text} needs whole numbers, as in '{example}'. Got '{part}' instead.") from None


def _number(text: str, part: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise ParameterError(f"--target {text} needs a number, as in 'region:0.5'. Got '{part}' instead.") from None


def _pair(text: str, rest: str, model: Model) -> tuple[int | str, int | str]:
    """Two classes around a comma; labels may hold commas of their own."""
    parts = rest.split(",")
    splits = [(",".join(parts[:i]).strip(), ",".join(parts[i:]).strip()) for i in range(1, len(parts))]
    if len(splits) > 1:
        splits = [(a, b) for a, b in splits if _known(a, model) and _known(b, model)]
    if len(splits) != 1 or not all(splits[0]):
        raise ParameterError(f"--target {text} must name two classes, as in 'margin:281,207'. Give their numbers.")
    a, b = splits[0]
    return _class(a), _class(b)


def _known(word: str, model: Model) -> bool:
    if isinstance(_class(word), int):
        return True
    if model.spec is None or not model.spec.labels:
        return word in (model.labels or ())
    try:
        model.spec.index(word)
    except (UnknownNameError, ParameterError):
        return False
    return True


def looks_like_file(name: str) -> bool:
    """Whether a tensor's name is more likely the file to write."""
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".npz", ".onnx"))
