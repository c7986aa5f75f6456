"""Target: which number of the output is explained.

A target is what the user asks for; against a model and its answers it resolves into a
:class:`~xaionnx.targets.selection.TargetSet`, which can be evaluated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import (
    channel_axis,
    class_name,
    class_names,
    class_number,
    class_scores,
    flat,
    is_int,
    refuse_rows,
    shape_words,
    to_probability,
    whole,
)
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array


class Target(ABC):
    """What is explained. Use the constructors: ``Target.index(281)``, ``Target.margin(3, 5)``, ...

    Examples
    --------
    >>> Target.of(None)
    ([Top(rank=0, as_probability=False, output=None)], False)
    >>> Target.of([3, Target.margin(3, 5)])[1]
    True
    """

    output: str | None
    # Whether it stands for more than one target.
    several: ClassVar[bool] = False

    @classmethod
    def of(cls, given: Any) -> tuple[list[Target], bool]:
        """The targets behind a shorthand, and whether they are several.

        ``None`` is the top class of each sample, an int a class, an array of N ints one class a sample, a str
        a label, a list several targets at once.

        Raises
        ------
        ParameterError
            The shorthand is none of these.
        """
        if isinstance(given, list):
            targets = [target for item in given for target in cls.of(item)[0]]
            if not targets:
                raise ParameterError("The 'target' parameter must name at least one target. Got [] instead.")
            return targets, True
        if given is None or isinstance(given, Target):
            return ([Top()], False) if given is None else ([given], given.several)
        if isinstance(given, str) or is_int(given):
            return [Index(given if isinstance(given, str) else int(given))], False
        if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu":
            return [Index(tuple(int(i) for i in given), each=True)], False
        raise ParameterError(
            "The 'target' parameter must be None, an int, an array of one int a sample, a label, a Target, "
            f"or a list of these. Got {given!r} instead."
        )

    def tensor(self, model: Model) -> str:
        """Name of the tensor it is read from: ``output``, which may lie inside the graph, else the model's own."""
        return model.output().name if self.output is None else self.output

    @abstractmethod
    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        """Resolve against the tensor's values (N, ...) at the input."""

    @staticmethod
    def index(k: int | Sequence[int], *, output: str | None = None) -> Target:
        """Class ``k``; a sequence of ints names one element of an output of higher rank, such as (k, h, w)."""
        return Index(whole(k), output=output)

    @staticmethod
    def label(name: str, *, output: str | None = None) -> Target:
        """The class of that label."""
        return Index(name, output=output)

    @staticmethod
    def top(k: int = 1, *, output: str | None = None) -> Target:
        """The ``k`` highest classes of each sample, as k targets."""
        if not is_int(k) or k < 1:
            raise ParameterError(f"The 'k' parameter of Target.top must be an int in [1, inf). Got {k!r} instead.")
        return _Tops(int(k), output)

    @staticmethod
    def classes(*, probability: bool = False, output: str | None = None) -> Target:
        """Every class, as K targets."""
        return _Classes(probability, output)

    @staticmethod
    def probability(k: int | str | None = None, *, output: str | None = None) -> Target:
        """The probability of class ``k`` (the top class if None): softmax or sigmoid where the model ends in logits."""
        if k is None:
            return Top(as_probability=True, output=output)
        return Index(k, as_probability=True, output=output)

    @staticmethod
    def margin(p: int | str, q: int | str, *, output: str | None = None) -> Target:
        """Why P, rather than Q: the score of ``p`` minus the score of ``q``."""
        return Margin(p, q, output)

    @staticmethod
    def sum(*, output: str | None = None) -> Target:
        """The sum of a whole output, or of any internal tensor."""
        return Region(None, None, None, output)

    @staticmethod
    def region(
        mask: Array | None = None, *, channel: int | None = None, threshold: float = 0.5, output: str | None = None
    ) -> Target:
        """The sum over a region of an output with spatial axes, such as a segmentation.

        ``mask`` is True inside the region, (H, W), (N, H, W), or the output's own shape; if None the region is where
        the output at the input exceeds ``threshold``. ``channel`` picks one class of the output, (N, C, H, W), or
        (N, H, W, C) where the input is a picture with channels last.
        """
        return Region(mask, channel, threshold, output)

    @staticmethod
    def neuron(tensor: str, index: int | Sequence[int]) -> Target:
        """One element of any tensor of the graph."""
        return Index(whole([index] if is_int(index) else index), output=tensor)

    @staticmethod
    def channel(tensor: str, channel: int | None = None, *, peak: bool = False) -> Target:
        """The mean activation, or the highest, of one channel (axis 1) of a tensor; each sample's strongest if None."""
        return Channel(channel, tensor, peak)

    @staticmethod
    def loss(labels: Any, kind: str = "cross_entropy", *, output: str | None = None) -> Target:
        """The loss of each sample: ``cross_entropy`` against class numbers, ``squared_error`` against values.

        ``labels`` hold one for all samples, or one a sample.
        """
        if kind not in ("cross_entropy", "squared_error"):
            raise ParameterError(
                "The 'kind' parameter of Target.loss must be one of 'cross_entropy', 'squared_error'. "
                f"Got {kind!r} instead."
            )
        return Loss(np.asarray(labels), kind, output)


def _single(tensor: str, activation: str, places: Sequence[int] | Array, words: Sequence[str]) -> TargetTerm:
    indices = np.asarray(places, dtype=np.int64)[:, None]
    return TargetTerm(tensor, activation, indices, np.ones(indices.shape), tuple(words))


@final
@dataclass(frozen=True)
class Index(Target):
    """A class by number or label, one a sample (``each``), or an element of a tensor by its indices."""

    k: int | str | tuple[int, ...]
    as_probability: bool = False
    output: str | None = None
    each: bool = False

    __repr__ = short_repr

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        if isinstance(self.k, tuple) and not self.each:
            return [self._element(self.k, output, tensor)]
        count = class_scores(output, tensor).shape[1]
        asked = self.k if isinstance(self.k, tuple) else (self.k,) * len(output)
        if len(asked) != len(output):
            raise ParameterError(
                f"The 'target' parameter must hold one int a sample. Got {len(asked)} for {len(output)} samples."
            )
        chosen = [class_number(k, count, tensor, model) for k in asked]
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        return [_single(tensor, activation, chosen, class_names(chosen, count, tensor, model, self.as_probability))]

    @staticmethod
    def _element(indices: tuple[int, ...], output: Array, tensor: str) -> TargetTerm:
        shape = output.shape[1:]
        if len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
            raise ParameterError(
                f"The 'target' parameter must hold one index for each axis of '{tensor}' behind the batch, "
                f"{shape}. Got {indices} instead."
            )
        place = int(np.ravel_multi_index(indices, shape)) if indices else 0
        word = f"{tensor}[{', '.join(map(str, indices))}]"
        return _single(tensor, "identity", [place] * len(output), [word] * len(output))


@final
@dataclass(frozen=True)
class Top(Target):
    """The class with the ``rank``-th highest score of each sample (0 the highest)."""

    rank: int = 0
    as_probability: bool = False
    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        scores = class_scores(output, tensor)
        refuse_rows(np.isnan(scores).any(axis=1), model)
        count = scores.shape[1]
        if self.rank >= count:
            raise ParameterError(f"There are {count} classes in '{tensor}'. Ask for at most so many.")
        # Of equal classes the first comes first in both.
        falling = -scores.astype(np.float64)
        chosen = np.argsort(falling, 1, kind="stable")[:, self.rank] if self.rank else falling.argmin(axis=1)
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        return [_single(tensor, activation, chosen, class_names(chosen, count, tensor, model, self.as_probability))]


@final
@dataclass(frozen=True)
class _Tops(Target):
    k: int
    output: str | None = None
    several: ClassVar[bool] = True

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        return [pick for rank in range(self.k) for pick in Top(rank, output=self.output).picks(output, model)]


@final
@dataclass(frozen=True)
class _Classes(Target):
    as_probability: bool = False
    output: str | None = None
    several: ClassVar[bool] = True

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, samples = self.tensor(model), len(output)
        count = class_scores(output, tensor).shape[1]
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        names = class_names(range(count), count, tensor, model, self.as_probability)
        return [_single(tensor, activation, [k] * samples, [names[k]] * samples) for k in range(count)]


@final
@dataclass(frozen=True)
class Margin(Target):
    """The score of class ``p`` minus the score of class ``q``."""

    p: int | str
    q: int | str
    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        count = class_scores(output, tensor).shape[1]
        pair = [class_number(k, count, tensor, model) for k in (self.p, self.q)]
        words = " - ".join(class_name(k, count, tensor, model) for k in pair)
        indices = np.tile(np.array(pair, dtype=np.int64), (len(output), 1))
        signs = np.tile([1.0, -1.0], (len(output), 1))
        return [TargetTerm(tensor, "identity", indices, signs, (words,) * len(output))]


@final
@dataclass(frozen=True, eq=False)
class Region(Target):
    """The sum over a part of a tensor; all of it where ``mask`` and ``threshold`` are None."""

    mask: Array | None
    at_channel: int | None
    threshold: float | None
    output: str | None = None

    __repr__ = short_repr

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        channels = channel_axis(output, tensor, model)
        if channels is None and output.ndim == 3 and self.at_channel is not None:
            channels = 1
        inside = np.ones(output.shape, dtype=bool)
        words = f"sum of {tensor}"
        if self.mask is not None:
            inside = self._placed(np.asarray(self.mask), output.shape, channels)
            words += " over a region"
        elif self.threshold is not None:
            inside = output > self.threshold
            words += f" where it exceeds {self.threshold:g}"
        if self.at_channel is not None:
            if channels is None or not (is_int(self.at_channel) and 0 <= self.at_channel < output.shape[channels]):
                raise ParameterError(
                    f"Tensor '{tensor}' of shape {shape_words(output)} has no channel {self.at_channel}."
                )
            one = np.arange(output.shape[channels]) == self.at_channel
            inside = inside & one.reshape([-1 if axis == channels else 1 for axis in range(output.ndim)])
            words += f", channel {self.at_channel}"
        chosen = flat(inside)
        if not chosen.any(axis=1).all():
            raise ParameterError(f"The region of '{tensor}' is empty for sample {int(np.argmin(chosen.any(axis=1)))}.")
        # Samples may have regions of different size: the smaller ones repeat an element of theirs with weight 0.
        most = int(chosen.sum(axis=1).max())
        order = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
        weights = np.take_along_axis(chosen, order, 1).astype(np.float64)
        indices = np.where(weights > 0, order, order[:, :1])
        return [TargetTerm(tensor, "identity", indices, weights, (words,) * len(output))]

    @staticmethod
    def _placed(mask: Array, shape: tuple[int, ...], channels: int | None) -> Any:
        spatial = tuple(n for axis, n in enumerate(shape) if axis not in (0, channels))
        if mask.dtype.kind in "biu":
            if mask.shape == spatial:
                mask = mask[None]
            if mask.shape[1:] == spatial and len(mask) in (1, shape[0]):
                placed = mask if channels is None else np.expand_dims(mask, channels)
                return np.broadcast_to(placed != 0, shape)
            if mask.shape == shape:
                return mask != 0
        raise ParameterError(
            f"The 'mask' parameter of Target.region must be a bool array of shape {spatial}, or one a sample. "
            f"Got {mask.shape} {mask.dtype} instead."
        )


@final
@dataclass(frozen=True)
class Channel(Target):
    """The mean, or the highest number, of channel ``k`` (axis 1); of each sample's strongest where ``k`` is None."""

    k: int | None
    output: str | None
    peak: bool = False

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, shape = self.tensor(model), output.shape
        if len(shape) < 2 or not (self.k is None or (is_int(self.k) and 0 <= self.k < shape[1])):
            what = "channels" if self.k is None else f"channel {self.k}"
            raise ParameterError(f"Tensor '{tensor}' of shape {shape_words(output)} has no {what}.")
        each = int(np.prod(shape[2:], dtype=np.int64))
        lines = output.reshape(*shape[:2], -1)
        answers = lines.max(axis=2) if self.peak else lines.mean(axis=2, dtype=np.float64)
        chosen = answers.argmax(axis=1) if self.k is None else np.full(shape[0], self.k)
        inside = lines[np.arange(shape[0]), chosen].argmax(axis=1)[:, None] if self.peak else np.arange(each)
        indices = chosen[:, None] * each + inside
        words = tuple(f"{'peak' if self.peak else 'mean'} of {tensor}, channel {k}" for k in chosen)
        return [TargetTerm(tensor, "identity", indices, np.full(indices.shape, 1 / indices.shape[1]), words)]


@final
@dataclass(frozen=True, eq=False)
class Loss(Target):
    """A loss of each sample against ``labels``."""

    labels: Array
    kind: str
    output: str | None = None

    __repr__ = short_repr

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        if self.kind == "cross_entropy":
            return [self._cross_entropy(output, tensor, model)]
        values = self.labels
        if values.shape in (output.shape[:1], (*output.shape[:1], 1)) and flat(output).shape[1] == 1:
            values = values.reshape(output.shape)
        if values.dtype.kind not in "fiub" or values.shape not in ((), output.shape[1:], output.shape):
            raise ParameterError(
                f"The 'labels' parameter of Target.loss must hold numbers of shape {shape_words(output)}. "
                f"Got {values.shape} {values.dtype} instead."
            )
        reference = flat(np.broadcast_to(values, output.shape)).astype(np.float64)
        indices = np.tile(np.arange(reference.shape[1], dtype=np.int64), (len(output), 1))
        words = (f"squared error of {tensor}",) * len(output)
        return [TargetTerm(tensor, "identity", indices, np.ones(indices.shape), words, reference)]

    def _cross_entropy(self, output: Array, tensor: str, model: Model) -> TargetTerm:
        if self.labels.dtype.kind not in "iu" or self.labels.ndim > 1:
            raise ParameterError(
                "The 'labels' parameter of Target.loss must hold one class number a sample. "
                f"Got {self.labels.shape} {self.labels.dtype} instead."
            )
        needed = {
            "identity": "logits, but '{}' holds probabilities",
            "sigmoid": "one score a class, but '{}' holds one",
        }
        activation = to_probability(output, tensor, model)
        classes = tuple(np.broadcast_to(self.labels, (len(output),)) if self.labels.ndim == 0 else self.labels)
        base = Index(classes, each=True, output=self.output).picks(output, model)[0]
        if activation in needed:
            raise UnsupportedModelError(
                f"The cross-entropy of {model.name} needs {needed[activation].format(tensor)}. "
                "Explain Target.probability instead, or name a tensor that holds logits with output=."
            )
        words = tuple(f"cross-entropy against {name}" for name in base.names)
        return TargetTerm(tensor, "log_softmax", base.indices, -base.coefficients, words)
