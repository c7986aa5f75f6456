"""Target: which number of the output is explained.

A target is what the user asks for; against a model and its answers it resolves into a
:class:`~xaionnx.selection.Selection`, which can be evaluated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import OutputError, ParameterError, UnsupportedModelError
from xaionnx.model import Model
from xaionnx.selection import Pick

Array = npt.NDArray[Any]


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
        if given is None:
            return [Top()], False
        if isinstance(given, Target):
            return [given], given.several
        if isinstance(given, str):
            return [Index(given)], False
        if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
            return [Index(int(given))], False
        if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu":
            return [Index(tuple(int(i) for i in given), each=True)], False
        raise ParameterError(
            "The 'target' parameter must be None, an int, an array of one int a sample, a label, a Target, "
            f"or a list of these. Got {given!r} instead."
        )

    def tensor(self, model: Model) -> str:
        """Name of the tensor it is read from."""
        return model.output(self.output).name

    @abstractmethod
    def picks(self, output: Array, model: Model) -> list[Pick]:
        """Resolve against the tensor's values (N, ...) at the input."""

    @staticmethod
    def index(k: int | Sequence[int], *, output: str | None = None) -> Target:
        """Class ``k``; a sequence of ints names one element of an output of higher rank, such as (k, h, w)."""
        return Index(k if isinstance(k, int) else tuple(k), output=output)

    @staticmethod
    def label(name: str, *, output: str | None = None) -> Target:
        """The class of that label."""
        return Index(name, output=output)

    @staticmethod
    def top(k: int = 1, *, output: str | None = None) -> Target:
        """The ``k`` highest classes of each sample, as k targets."""
        return _Tops(k, output)

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

        ``mask`` is True inside the region, (H, W) or (N, H, W); if None the region is where the output at the
        input exceeds ``threshold``. ``channel`` picks one class of the output.
        """
        return Region(mask, channel, threshold, output)

    @staticmethod
    def neuron(tensor: str, index: int | Sequence[int]) -> Target:
        """One element of any tensor of the graph."""
        return Index((index,) if isinstance(index, int) else tuple(index), output=tensor)

    @staticmethod
    def channel(tensor: str, channel: int | None = None) -> Target:
        """The mean activation of one channel (axis 1) of any tensor; of each sample's strongest if None."""
        return Channel(channel, tensor)

    @staticmethod
    def loss(labels: Any, kind: str = "cross_entropy", *, output: str | None = None) -> Target:
        """The loss of each sample: ``cross_entropy`` against class numbers, ``squared_error`` against values."""
        return Loss(np.asarray(labels), kind, output)


def _flat(output: Array) -> Array:
    return np.asarray(output).reshape(len(output), -1)


def _classes(output: Array, tensor: str) -> Array:
    """Scores (N, K) of a tensor that has one axis of classes."""
    flat = _flat(output)
    if flat.shape[1] != max(output.shape[1:], default=1):
        raise ParameterError(
            f"Tensor '{tensor}' has the shape {('N', *output.shape[1:])}, not one axis of classes. "
            "Use Target.index with one int an axis, Target.region, Target.channel or Target.sum."
        )
    return flat


def _class_index(k: int | str, count: int, tensor: str, model: Model) -> int:
    if isinstance(k, str):
        if model.spec is not None and model.spec.labels:
            return model.spec.index(k)
        if model.labels and k in model.labels:
            return model.labels.index(k)
        raise ParameterError(
            f"{model.name} has no label '{k}'. Give a class number, or labels in {model.path.stem}.toml beside it."
        )
    if not 0 <= k < count:
        raise ParameterError(
            f"The 'target' parameter must be an int in [0, {count - 1}] for '{tensor}'. Got {k} instead."
        )
    return k


def _name(k: int, count: int, tensor: str, model: Model) -> str:
    labels = model.labels
    if labels and len(labels) == count and tensor == model.output().name:
        return f"{labels[k]} ({k})"
    return f"{tensor}[{k}]"


def _probability(model: Model, output: Array) -> str:
    """The activation that turns this output into probabilities."""
    said = model.spec.activation if model.spec else None
    if said in ("softmax", "sigmoid"):
        return "identity"
    flat = _flat(output)
    if said is None and flat.min() >= 0 and (flat.shape[1] == 1 or np.allclose(flat.sum(1), 1, atol=1e-3)):
        return "identity"
    return "softmax" if flat.shape[1] > 1 else "sigmoid"


def _single(tensor: str, activation: str, classes: Sequence[int], words: Sequence[str]) -> Pick:
    indices = np.asarray(classes, dtype=np.int64)[:, None]
    return Pick(tensor, activation, indices, np.ones(indices.shape), tuple(words))


@final
@dataclass(frozen=True)
class Index(Target):
    """A class by number or label, one a sample (``each``), or an element of a tensor by its indices."""

    k: int | str | tuple[int, ...]
    as_probability: bool = False
    output: str | None = None
    each: bool = False

    def tensor(self, model: Model) -> str:
        known = {o.name for o in model.outputs}
        # An internal tensor is no output yet; the caller exposes it.
        return self.output if self.output and self.output not in known else model.output(self.output).name

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor = self.tensor(model)
        if isinstance(self.k, tuple) and not self.each:
            return [self._element(self.k, output, tensor)]
        scores = _classes(output, tensor)
        count = scores.shape[1]
        asked = self.k if isinstance(self.k, tuple) else (self.k,) * len(output)
        if len(asked) != len(output):
            raise ParameterError(
                f"The 'target' parameter must hold one int a sample. Got {len(asked)} for {len(output)} samples."
            )
        chosen = [_class_index(k, count, tensor, model) for k in asked]
        activation = _probability(model, output) if self.as_probability else "identity"
        return [_single(tensor, activation, chosen, [_name(k, count, tensor, model) for k in chosen])]

    def _element(self, indices: tuple[int, ...], output: Array, tensor: str) -> Pick:
        shape = output.shape[1:]
        if len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
            raise ParameterError(
                f"The 'target' parameter must hold one index for each axis of '{tensor}' behind the batch, "
                f"{shape}. Got {indices} instead."
            )
        flat = int(np.ravel_multi_index(indices, shape))
        word = f"{tensor}[{', '.join(map(str, indices))}]"
        return _single(tensor, "identity", [flat] * len(output), [word] * len(output))


@final
@dataclass(frozen=True)
class Top(Target):
    """The class with the ``rank``-th highest score of each sample (0 the highest)."""

    rank: int = 0
    as_probability: bool = False
    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor = self.tensor(model)
        if not np.isfinite(output).all():
            bad = np.flatnonzero(~np.isfinite(_flat(output)).all(axis=1))
            raise OutputError(
                f"{model.name} answers NaN or infinity for row {', '.join(map(str, bad[:5]))}. Check the input's scale."
            )
        scores = _classes(output, tensor)
        if self.rank >= scores.shape[1]:
            raise ParameterError(f"There are {scores.shape[1]} classes in '{tensor}'. Ask for at most so many.")
        # A stable sort of the negated scores keeps the first of equal classes first, as argmax does.
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, self.rank]
        activation = _probability(model, output) if self.as_probability else "identity"
        names = [_name(int(k), scores.shape[1], tensor, model) for k in chosen]
        return [_single(tensor, activation, list(chosen), names)]


@final
@dataclass(frozen=True)
class _Tops(Target):
    k: int
    output: str | None = None
    several: ClassVar[bool] = True

    def picks(self, output: Array, model: Model) -> list[Pick]:
        if self.k < 1:
            raise ParameterError(f"The 'k' parameter of Target.top must be an int in [1, inf). Got {self.k} instead.")
        return [pick for rank in range(self.k) for pick in Top(rank, output=self.output).picks(output, model)]


@final
@dataclass(frozen=True)
class _Classes(Target):
    as_probability: bool = False
    output: str | None = None
    several: ClassVar[bool] = True

    def picks(self, output: Array, model: Model) -> list[Pick]:
        count = _classes(output, self.tensor(model)).shape[1]
        kinds = [Index(k, self.as_probability, self.output) for k in range(count)]
        return [pick for kind in kinds for pick in kind.picks(output, model)]


@final
@dataclass(frozen=True)
class Margin(Target):
    """The score of class ``p`` minus the score of class ``q``."""

    p: int | str
    q: int | str
    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor = self.tensor(model)
        count = _classes(output, tensor).shape[1]
        pair = [_class_index(k, count, tensor, model) for k in (self.p, self.q)]
        words = " - ".join(_name(k, count, tensor, model) for k in pair)
        indices = np.tile(np.array(pair, dtype=np.int64), (len(output), 1))
        signs = np.tile([1.0, -1.0], (len(output), 1))
        return [Pick(tensor, "identity", indices, signs, (words,) * len(output))]


@final
@dataclass(frozen=True, eq=False)
class Region(Target):
    """The sum over a part of a tensor; all of it where ``mask`` and ``threshold`` are None."""

    mask: Array | None
    at_channel: int | None
    threshold: float | None
    output: str | None = None

    def tensor(self, model: Model) -> str:
        return Index((), output=self.output).tensor(model)

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor, shape = self.tensor(model), output.shape
        inside = np.ones(shape, dtype=bool)
        words = f"sum of {tensor}"
        channels = 1 if model.spec is None or model.spec.layout != "NHWC" else len(shape) - 1
        if self.mask is not None:
            inside = self._placed(np.asarray(self.mask, dtype=bool), shape, channels)
            words += " over a region"
        elif self.threshold is not None:
            inside = output > self.threshold
            words += f" where it exceeds {self.threshold:g}"
        if self.at_channel is not None:
            if len(shape) < 3 or not 0 <= self.at_channel < shape[channels]:
                raise ParameterError(
                    f"Tensor '{tensor}' of shape {('N', *shape[1:])} has no channel {self.at_channel}."
                )
            one = np.zeros(shape[channels], dtype=bool)
            one[self.at_channel] = True
            inside = inside & one.reshape([-1 if axis == channels else 1 for axis in range(len(shape))])
            words += f", channel {self.at_channel}"
        flat = inside.reshape(len(output), -1)
        if not flat.any(axis=1).all():
            raise ParameterError(f"The region of '{tensor}' is empty for sample {int(np.argmin(flat.any(axis=1)))}.")
        # Samples may have regions of different size: the smaller ones are padded with weight 0.
        most = int(flat.sum(axis=1).max())
        order = np.argsort(~flat, axis=1, kind="stable")[:, :most]
        weights = np.take_along_axis(flat, order, 1).astype(np.float64)
        return [Pick(tensor, "identity", order, weights, (words,) * len(output))]

    @staticmethod
    def _placed(mask: Array, shape: tuple[int, ...], channels: int) -> Array:
        spatial = tuple(n for axis, n in enumerate(shape) if axis not in (0, channels))
        if mask.shape in (spatial, (shape[0], *spatial)):
            batched = mask if mask.ndim == len(spatial) + 1 else mask[None]
            return np.broadcast_to(np.expand_dims(batched, channels), shape)
        if mask.shape in (shape, shape[1:]):
            return np.broadcast_to(mask, shape)
        raise ParameterError(
            f"The 'mask' parameter of Target.region must have the output's shape {spatial}. Got {mask.shape} instead."
        )


@final
@dataclass(frozen=True)
class Channel(Target):
    """The mean of channel ``k`` (axis 1) of a tensor; of each sample's strongest where ``k`` is None."""

    k: int | None
    output: str | None

    def tensor(self, model: Model) -> str:
        return Index((), output=self.output).tensor(model)

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor, shape = self.tensor(model), output.shape
        if len(shape) < 2 or (self.k is not None and not 0 <= self.k < shape[1]):
            raise ParameterError(f"Tensor '{tensor}' of shape {('N', *shape[1:])} has no channel {self.k or 0}.")
        each = int(np.prod(shape[2:], dtype=np.int64))
        strongest = output.reshape(shape[0], shape[1], -1).mean(axis=2).argmax(axis=1)
        chosen = strongest if self.k is None else np.full(shape[0], self.k)
        indices = chosen[:, None] * each + np.arange(each)
        words = tuple(f"mean of {tensor}, channel {k}" for k in chosen)
        return [Pick(tensor, "identity", indices, np.full(indices.shape, 1 / each), words)]


@final
@dataclass(frozen=True, eq=False)
class Loss(Target):
    """A loss of each sample against ``labels``."""

    labels: Array
    kind: str
    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[Pick]:
        tensor, count = self.tensor(model), len(output)
        if self.kind == "cross_entropy":
            classes = np.broadcast_to(self.labels, (count,)) if self.labels.ndim == 0 else self.labels
            base = Index(tuple(int(k) for k in classes), each=True, output=self.output).picks(output, model)[0]
            if _probability(model, output) == "identity":
                raise UnsupportedModelError(
                    f"The cross-entropy of {model.name} needs logits, but '{tensor}' holds probabilities. "
                    "Explain Target.probability instead, or name the tensor before the softmax with output=."
                )
            words = tuple(f"cross-entropy against {name}" for name in base.names)
            return [Pick(tensor, "log_softmax", base.indices, -base.coefficients, words)]
        if self.kind == "squared_error":
            flat = _flat(output)
            values = np.asarray(self.labels, dtype=np.float64).reshape(-1, flat.shape[1])
            values = np.broadcast_to(values, flat.shape)
            indices = np.tile(np.arange(flat.shape[1], dtype=np.int64), (count, 1))
            weights = np.ones(indices.shape)
            return [Pick(tensor, "identity", indices, weights, ("squared error",) * count, values)]
        raise ParameterError(
            "The 'kind' parameter of Target.loss must be one of 'cross_entropy', 'squared_error'. "
            f"Got {self.kind!r} instead."
        )
