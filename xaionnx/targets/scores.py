"""Class scores: their axis in a tensor, their names, and the activation that converts them to probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeGuard

import numpy as np

from xaionnx.data.labels import find_label
from xaionnx.data.sample import positions_of
from xaionnx.errors import OutputError, ParameterError
from xaionnx.graph.class_columns import class_columns
from xaionnx.graph.ending import ending, maker
from xaionnx.graph.roles import POSITIONS
from xaionnx.runtime.model import Model
from xaionnx.targets.inner_channels import inner_channel_axis
from xaionnx.typing import Array

# Samples, positions and their scores.
_ROW_OF_POSITIONS: Final = 3
# More digits are no number of a class, but may be more than Python converts.
_DIGITS = 20
# Probabilities of quantised models are rounded to 1/256 each, so that their sum may be a few hundredths from 1.
_IN_RANGE, _SUM_OF_ONE = 1e-3, 0.05


def default_output(model: Model) -> str:
    """Return the name of the tensor that is explained by default: the model's default output.

    If an output is an ArgMax, that is the tensor of scores from which it takes the highest; if the outputs are the
    scores of one class each, the matrix of all.

    Raises
    ------
    UnsupportedModelError
        No output contains scores, or is made from some.
    """
    stated = model.spec is not None and model.spec.output is not None
    if stated or any(info.dtype.kind == "f" for info in model.outputs):
        name = model.output().name
        columns = None if stated else class_columns(model.view)
        return columns.tensor if columns is not None and name in columns.outputs else ahead_of_argmax(model, name)
    for info in model.outputs:
        scores = ahead_of_argmax(model, info.name)
        if scores != info.name:
            return scores
    return model.output().name


def default_shape(model: Model) -> tuple[int | str | None, ...]:
    """Return the shape of :func:`default_output`, which may lie inside the model."""
    name = default_output(model)
    return next(info.shape for info in model.with_outputs([name]).outputs if info.name == name)


def ahead_of_argmax(model: Model, tensor: str) -> str:
    """Return the scores from which an ArgMax takes ``tensor``, possibly cast or moved; else ``tensor`` itself."""
    node = maker(model.view, tensor)
    return str(node.input[0]) if node is not None and node.op_type == "ArgMax" else tensor


def flat(output: Array) -> Array:
    """Return the output with all axes after the batch flattened, (N, S)."""
    return np.asarray(output).reshape(len(output), -1)


def class_scores(output: Array, tensor: str) -> Array:
    """Return the scores (N, K) of a tensor with one axis of classes.

    Raises
    ------
    ParameterError
        The tensor has several axes, as a segmentation has.
    """
    scores = flat(output)
    if scores.shape[1] != max(output.shape[1:], default=1):
        raise ParameterError(
            f"Tensor '{tensor}' has the shape {shape_words(output)}, not one axis of classes. "
            "Use Target.index with one int per axis, Target.region, Target.channel or Target.sum, for a segmentation "
            "Target.segment, or for an embedding Target.similarity."
        )
    return scores


def class_number(k: object, count: int, tensor: str, model: Model, parameter: str = "target") -> int:
    """Return the number of a class given by number or label; ``parameter`` is its name in messages.

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
        if k not in model.labels and k.isdecimal() and len(k) < _DIGITS:
            raise ParameterError(f"{model.name} has no label '{k}'. Give a class number as an int: {int(k)}.")
        k = find_label(model.labels, k)
    if not is_int(k) or not 0 <= k < count:
        said = f"The '{parameter}' parameter must be an int in [0, {count - 1}] for '{tensor}'. Got {k} instead."
        raise ParameterError(f"{said} Classes count from 0." if k == count else said)
    return int(k)


def class_name(k: int, count: int, tensor: str, model: Model) -> str:
    """Return a class in words: its label and number, or its index in the tensor."""
    if model.labels and len(model.labels) == count and tensor == default_output(model):
        return f"{model.labels[k]} ({k})"
    return f"{tensor}[{k}]"


def class_names(classes: Iterable[int], count: int, tensor: str, model: Model, as_probability: bool) -> list[str]:
    """Return classes in words, marked if they stand for a probability."""
    suffix = ", probability" if as_probability else ""
    numbers = classes.tolist() if isinstance(classes, np.ndarray) else [*classes]
    # Of each class once, since there may be many samples.
    words = {k: class_name(k, count, tensor, model) + suffix for k in dict.fromkeys(numbers)}
    return [*map(words.__getitem__, numbers)]


def to_probability(output: Array, tensor: str, model: Model) -> str:
    """Return the activation that converts class scores to probabilities: ``identity`` if they already are.

    This follows from the spec, else from the op that computes the tensor, else from whether each sample sums to 1.
    """
    declared = _declared_activation(tensor, model)
    scores = flat(output)
    single = scores.shape[1] == 1
    if declared == "none":
        op = ending(model.view, tensor)
        if op in ("Softmax", "Sigmoid") or (not single and _rows_sum_to_one(scores)):
            return "identity"
    elif declared != "logits":
        return "identity"
    return "sigmoid" if single else "softmax"


def check_stated_activation(outputs: Mapping[str, Array], model: Model) -> None:
    """Check that scores that the spec calls a softmax or a sigmoid are in [0, 1], and that a softmax sums to 1.

    Raises
    ------
    ParameterError
        They cannot be, so that the spec is wrong.
    """
    stated = "none" if model.spec is None else model.spec.activation
    tensor = default_output(model) if stated in ("softmax", "sigmoid") else ""
    if tensor not in outputs or outputs[tensor].dtype.kind != "f" or not outputs[tensor].size:
        return
    output = outputs[tensor]
    scores = flat(output).astype(np.float64)
    scores = scores[np.isfinite(scores).all(axis=1)]
    if not scores.size:
        return
    found = ""
    if scores.min() < -_IN_RANGE or scores.max() > 1 + _IN_RANGE:
        found = f"ranges from {scores.min():.4g} to {scores.max():.4g}, not within 0 and 1"
    elif stated == "softmax" and scores.shape[1] == max(output.shape[1:], default=1) > 1:
        sums = scores.sum(axis=1)
        worst = sums[np.abs(sums - 1).argmax()]
        found = f"sums to {worst:.4g}, not to 1" if abs(worst - 1) > _SUM_OF_ONE else ""
    if found:
        raise ParameterError(
            f"The spec of {model.name} says activation = \"{stated}\", but output '{tensor}' {found}. Write "
            'activation = "logits" under [output] if they are scores before it, or "none".'
        )


def probabilities_called_logits(outputs: Mapping[str, Array], model: Model) -> str:
    """Return the output that the spec calls logits, if its scores sum to 1 as probabilities do; else no name."""
    tensor = default_output(model) if model.spec is not None and model.spec.activation == "logits" else ""
    output = outputs.get(tensor)
    if output is None or output.dtype.kind != "f" or not output.size:
        return ""
    scores = flat(output)
    classes = scores.shape[1] == max(output.shape[1:], default=1) > 1
    return tensor if classes and _rows_sum_to_one(scores) else ""


def quantity(output: Array, tensor: str, model: Model) -> str:
    """Return the quantity of a tensor with one axis of classes: ``probability``, or see `unnormalised`."""
    if to_probability(output, tensor, model) == "identity":
        return "probability"
    return unnormalised(tensor, model, flat(output).shape[1])


def unnormalised(tensor: str, model: Model, count: int) -> str:
    """Return the quantity of a tensor with ``count`` elements that are not probabilities.

    ``logit`` or ``log probability`` if the spec or the graph shows it; otherwise ``score``, or ``value`` for a single
    element, which may not be the score of a class.
    """
    if _declared_activation(tensor, model) == "logits":
        return "logit"
    if ending(model.view, tensor) == "LogSoftmax":
        return "log probability"
    return "value" if count == 1 else "score"


def logits_of(model: Model, tensor: str) -> str:
    """Return the input of the softmax or sigmoid that computes ``tensor``; ``tensor`` itself if there is none.

    A tensor that the spec calls logits is returned as it is.
    """
    node = maker(model.view, tensor)
    if node is None or node.op_type not in ("Softmax", "LogSoftmax", "Sigmoid"):
        return tensor
    return tensor if _declared_activation(tensor, model) == "logits" else str(node.input[0])


def _declared_activation(tensor: str, model: Model) -> str:
    """Return the activation of the scores in the spec; ``none`` if it has none."""
    return model.spec.activation if model.spec is not None and tensor == default_output(model) else "none"


def _rows_sum_to_one(scores: Array) -> bool:
    return bool(scores.min() >= 0 and np.allclose(scores.sum(axis=1, dtype=np.float64), 1, atol=1e-3))


def channel_axis(output: Array, tensor: str, model: Model) -> int | None:
    """Return the axis of the channels in a spatial map; None if there is none.

    It is that which the roles of an output's axes show, or else that of the input, whose layout outputs follow; of a
    tensor inside the graph that to which positions of the input do not lead, or else the first, as of convolutions.
    """
    if output.ndim <= _ROW_OF_POSITIONS:
        return None
    if any(o.name == tensor for o in model.outputs):
        return _channel_axis_by_roles(output, tensor, model) or _channel_axis_of_input(model, output.ndim) or 1
    return _channel_axis_inside(output, tensor, model) or 1


def axis_of_channels(output: Array, tensor: str, model: Model) -> int:
    """Return the axis along which a channel is chosen, of a map or of a tensor with fewer axes.

    As `channel_axis`, of which a tensor with fewer axes has none: such as classes at each time, (N, T, K), or the first
    axis after the batch, if nothing tells.
    """
    is_output = any(o.name == tensor for o in model.outputs)
    told = _channel_axis_by_roles if is_output else _channel_axis_inside
    return channel_axis(output, tensor, model) or told(output, tensor, model) or 1


def _channel_axis_by_roles(output: Array, tensor: str, model: Model) -> int | None:
    """Return the only axis of an output, after the batch, that is no position; None if it has none, or several."""
    roles = () if model.is_derived else model.axes.of(tensor).batch_first().roles[1:]
    others = [axis for axis, role in enumerate(roles, start=1) if role not in POSITIONS]
    return others[0] if len(roles) == output.ndim - 1 and len(others) == 1 else None


def _channel_axis_inside(output: Array, tensor: str, model: Model) -> int | None:
    """Return the axis of the channels of a tensor inside the graph; None if it is not known."""
    of_input = _channel_axis_of_input(model, len(model.input().shape))
    return None if of_input is None else inner_channel_axis(model, tensor, output.shape, of_input)


def _channel_axis_of_input(model: Model, rank: int) -> int | None:
    """Return the axis of the channels of a picture or volume with ``rank`` axes that is explained; None for others."""
    spec, main = model.spec, model.input()
    if spec is not None and spec.kind == "picture" and not spec.guessed:
        return spec.channel_axis
    sizes = [size if isinstance(size, int) else 0 for size in main.shape[1:]]
    found = positions_of(sizes, model.axes.of_sample(main.name))
    return found.values[0] + 1 if found is not None and len(found.values) == 1 and len(sizes) == rank - 1 else None


def refuse_rows(bad: Array | np.bool, model: Model) -> None:
    """Raise OutputError if any row of the output is not finite; ``bad`` (N,) is True for these rows."""
    if bad.any():
        rows = np.flatnonzero(bad)
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise OutputError(
            f"{model.name} returns NaN or infinity for row {listed}. "
            "Check the input's scale, and that it holds neither."
        )


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is an integer, but not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole(indices: object) -> int | tuple[int, ...]:
    """Return an int, or a tuple of ints for the axes of a tensor; raise ParameterError for anything else."""
    if is_int(indices):
        return int(indices)
    if isinstance(indices, str) or not np.iterable(indices) or not all(is_int(i) for i in indices):
        raise ParameterError(
            f"The 'index' parameter of a target must be an int, or one int per axis. Got {indices!r} instead."
        )
    return tuple(int(i) for i in indices)


def shape_words(output: Array) -> str:
    """Return the shape for messages, such as ``(N, 21, 64, 64)``."""
    return f"({', '.join(map(str, ('N', *output.shape[1:])))}{',' if output.ndim == 1 else ''})"
