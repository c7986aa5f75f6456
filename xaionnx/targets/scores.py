"""Class scores: where a tensor holds them, what they are called, and what makes them probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

import numpy as np

from xaionnx.data.labels import find_label
from xaionnx.data.spec import picture_axes
from xaionnx.errors import OutputError, ParameterError
from xaionnx.graph.ending import ending, maker
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


def flat(output: Array) -> Array:
    """All axes behind the batch as one, (N, S)."""
    return np.asarray(output).reshape(len(output), -1)


def class_scores(output: Array, tensor: str) -> Array:
    """Scores (N, K) of a tensor that has one axis of classes.

    Raises
    ------
    ParameterError
        It has several axes, as a segmentation has.
    """
    scores = flat(output)
    if scores.shape[1] != max(output.shape[1:], default=1):
        raise ParameterError(
            f"Tensor '{tensor}' has the shape {shape_words(output)}, not one axis of classes. "
            "Use Target.index with one int an axis, Target.region, Target.channel or Target.sum."
        )
    return scores


def class_number(k: object, count: int, tensor: str, model: Model, parameter: str = "target") -> int:
    """The number of a class given by number or label, as a ``parameter``.

    Raises
    ------
    ParameterError, UnknownNameError
        There is no such class.
    """
    if isinstance(k, str):
        if not model.labels:
            raise ParameterError(
                f"{model.name} has no label '{k}'. Give a class number, or labels in {model.path.stem}.toml beside it."
            )
        if k not in model.labels and k.isdecimal():
            raise ParameterError(f"{model.name} has no label '{k}'. Give a class number as an int: {int(k)}.")
        k = find_label(model.labels, k)
    if not is_int(k) or not 0 <= k < count:
        raise ParameterError(
            f"The '{parameter}' parameter must be an int in [0, {count - 1}] for '{tensor}'. Got {k} instead."
        )
    return int(k)


def class_name(k: int, count: int, tensor: str, model: Model) -> str:
    """A class in words: its label and number, or its place in the tensor."""
    if model.labels and len(model.labels) == count and tensor == model.output().name:
        return f"{model.labels[k]} ({k})"
    return f"{tensor}[{k}]"


def class_names(classes: Iterable[int], count: int, tensor: str, model: Model, as_probability: bool) -> list[str]:
    """Classes in words, those that stand for a probability marked so."""
    suffix = ", probability" if as_probability else ""
    return [class_name(int(k), count, tensor, model) + suffix for k in classes]


def to_probability(output: Array, tensor: str, model: Model) -> str:
    """The activation that makes probabilities of class scores: ``identity`` where they are some already.

    The spec tells, else the op that the tensor ends in, else whether the scores of each sample add up to 1.
    """
    said = _said(tensor, model)
    scores = flat(output)
    single = scores.shape[1] == 1
    if said == "none":
        op = ending(model.view, tensor)
        if op in ("Softmax", "Sigmoid") or (not single and _add_up_to_one(scores)):
            return "identity"
    elif said != "logits":
        return "identity"
    return "sigmoid" if single else "softmax"


def quantity(output: Array, tensor: str, model: Model) -> str:
    """What the numbers of a tensor with one axis of classes are: ``probability``, or as `unnormalised` says."""
    if to_probability(output, tensor, model) == "identity":
        return "probability"
    return unnormalised(tensor, model, flat(output).shape[1])


def unnormalised(tensor: str, model: Model, count: int) -> str:
    """What the ``count`` numbers of a tensor are that are no probabilities.

    ``logit`` or ``log probability`` where the spec or the graph tells; otherwise ``score``, and ``value`` where there
    is but one, which need not speak for a class.
    """
    if _said(tensor, model) == "logits":
        return "logit"
    if ending(model.view, tensor) == "LogSoftmax":
        return "log probability"
    return "value" if count == 1 else "score"


def logits_of(model: Model, tensor: str) -> str:
    """The tensor that the last softmax or sigmoid of the graph reads; ``tensor`` itself where it ends in none.

    What the spec calls logits is taken as such.
    """
    made = maker(model.view, tensor)
    ends = made is not None and made.op_type in ("Softmax", "LogSoftmax", "Sigmoid")
    return str(made.input[0]) if made is not None and ends and _said(tensor, model) != "logits" else tensor


def _said(tensor: str, model: Model) -> str:
    """What the spec says that the scores are: ``none`` where it does not."""
    return model.spec.activation if model.spec is not None and tensor == model.output().name else "none"


def _add_up_to_one(scores: Array) -> bool:
    return bool(scores.min() >= 0 and np.allclose(scores.sum(axis=1, dtype=np.float64), 1, atol=1e-3))


def channel_axis(output: Array, tensor: str, model: Model) -> int | None:
    """The axis of the channels in a map over a picture; None where there is none.

    An output has its channels where the picture has them; inside the graph convolutions put them first.
    """
    if output.ndim == 4 and any(o.name == tensor for o in model.outputs):
        spec = model.spec
        if spec is not None and spec.kind == "picture" and not spec.guessed:
            return spec.channel_axis
        axes = picture_axes(model.input().shape)
        return 1 if axes is None else axes[0]
    return 1 if output.ndim > 3 else None


def refuse_rows(bad: Array | np.bool, model: Model) -> None:
    """Raise OutputError where the answer to some row is not a number; ``bad`` is True there, (N,)."""
    if bad.any():
        rows = np.flatnonzero(bad)
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise OutputError(
            f"{model.name} returns NaN or infinity for row {listed}. "
            "Check the input's scale, and that it holds neither."
        )


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def class_word(text: str) -> int | str:
    """A class as it is written: its number or its label."""
    try:
        return int(text)
    except ValueError:
        return text.strip()


def whole(indices: object) -> int | tuple[int, ...]:
    """An int, or several, as they are given for the axes of a tensor; ParameterError for anything else."""
    if is_int(indices):
        return int(indices)
    if isinstance(indices, str) or not np.iterable(indices) or not all(is_int(i) for i in indices):
        raise ParameterError(
            f"The 'index' parameter of a target must be an int, or one int an axis. Got {indices!r} instead."
        )
    return tuple(int(i) for i in indices)


def shape_words(output: Array) -> str:
    """The shape as messages write it, such as ``(N, 21, 64, 64)``."""
    return f"({', '.join(map(str, ('N', *output.shape[1:])))}{',' if output.ndim == 1 else ''})"
