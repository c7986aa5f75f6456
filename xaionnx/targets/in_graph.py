"""Aim: a target that a graph can follow by itself, for any samples that come.

A :class:`~xaionnx.targets.selection.TargetSet` holds the elements and weights that were found for the samples of a
batch. An aim computes them inside the graph, from the tensor that the target reads, and so follows the top class or
a region of answers that were not known when the graph was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import class_scores, flat
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Channel, Index, Loss, Region, Target, Top
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True)
class Chosen(Target):
    """The score of the class that an input of the graph names for each sample."""

    output: str | None = None

    def picks(self, output: Array, model: Model) -> list[TargetTerm]:
        raise ParameterError("The target 'input' names its class when a compiled file runs. Give a class here.")


@final
@dataclass(frozen=True, eq=False)
class ElementWeights:
    """The elements that a target reads of each sample, as weights in the graph.

    Attributes
    ----------
    weights : value (N, S)
        Of the elements of the tensor after the activation, counted flat; the target is their weighted sum.
    classes : value (N,) or None
        The class of each sample in int64, where the target is of a class.
    """

    weights: ir.Value
    classes: ir.Value | None = None


@final
@dataclass(frozen=True, eq=False)
class Aim:
    """One target, in a graph.

    Attributes
    ----------
    tensor, activation : str
        As in :class:`~xaionnx.targets.selection.TargetTerm`.
    words : str
        The target, for people.
    follow : callable
        Adds nodes to a graph: from the tensor's own values (N, S), flat and in float32, to what was found. The third
        argument is the input that names classes, for :class:`Chosen` alone.
    reference : array (1, S), or None
        Where given, the weighted sum is over ``(f(tensor) - reference) ** 2``.
    """

    tensor: str
    activation: str
    words: str
    follow: Callable[[Builder, ir.Value, ir.Value | None], ElementWeights]
    reference: Array | None = None

    __repr__ = short_repr


def aim(target: Target, model: Model, output: Array) -> Aim:
    """A target as a graph follows it.

    Parameters
    ----------
    target : Target
        One, not several.
    model : Model
    output : array (1, ...)
        What the tensor that the target reads holds for some sample.

    Raises
    ------
    ParameterError
        The target holds something of its own for each sample of a batch.
    """
    tensor = target.tensor(model)
    if _is_each(target):
        raise ParameterError(
            "A compiled file serves any samples, so its target cannot hold one class for each sample of a batch. "
            "Name one class, or take 'input' and name the classes at each run."
        )
    if isinstance(target, Chosen):
        count = class_scores(output, tensor).shape[1]
        return Aim(tensor, "identity", f"the class that the input names, of {tensor}", _chosen(count))
    if isinstance(target, Region) and target.mask is None and target.threshold is not None:
        return _above(target, model, output)
    if isinstance(target, Channel) and target.k is None:
        return _strongest(target, model, output)
    [pick] = target.picks(output, model)
    if isinstance(target, Top):
        words = "top class" if target.rank == 0 else f"class of rank {target.rank + 1}"
        words += f" of {tensor}" + (", probability" if target.as_probability else "")
        return Aim(tensor, pick.activation, words, _top(flat(output).shape[1], target.rank))
    size = flat(output).shape[1]
    if isinstance(target, Index) and not isinstance(target.k, tuple):
        return Aim(tensor, pick.activation, pick.names[0], _class(size, int(pick.indices[0, 0])))
    weights = np.zeros((1, size), dtype=np.float32)
    np.add.at(weights[0], pick.indices[0], pick.coefficients[0])
    return Aim(tensor, pick.activation, pick.names[0], _constant(weights), pick.reference)


def _is_each(target: Target) -> bool:
    if isinstance(target, Loss):
        return target.kind == "cross_entropy" and target.labels.ndim > 0
    return isinstance(target, Index) and target.each


def _one_hot(g: Builder, classes: ir.Value, count: int) -> ir.Value:
    """(N, count) with a 1 at each class."""
    place = g.op("Unsqueeze", classes, np.array([1], dtype=np.int64))
    return g.op("Cast", g.op("Equal", place, np.arange(count, dtype=np.int64)[None]), to=1)


def _repeated(g: Builder, constant: Array, like: ir.Value) -> ir.Value:
    """A constant (1, ...) once for each row."""
    rows = g.op("Shape", like, start=0, end=1)
    rest = np.array(constant.shape[1:], dtype=np.int64)
    return g.op("Expand", constant, g.op("Concat", rows, rest, axis=0) if len(rest) else rows)


def _top(count: int, rank: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        if rank == 0:
            classes = g.op("ArgMax", scores, axis=1, keepdims=0)
        else:
            highest = g.op("TopK", scores, np.array([rank + 1], dtype=np.int64), axis=1, outputs=2)[1]
            classes = g.op("Gather", highest, np.array(rank, dtype=np.int64), axis=1)
        return ElementWeights(_one_hot(g, classes, count), classes)

    return follow


def _class(count: int, k: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        one = (np.arange(count) == k)[None].astype(np.float32)
        return ElementWeights(_repeated(g, one, scores), _repeated(g, np.array([k], dtype=np.int64), scores))

    return follow


def _chosen(count: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        assert named is not None  # the caller adds the input for this target
        # Looked up, so that a class that there is not fails where the provider checks, and -1 is the last.
        classes = g.op("Gather", np.arange(count, dtype=np.int64), named, axis=0)
        return ElementWeights(_one_hot(g, classes, count), classes)

    return follow


def _constant(weights: Array) -> Callable[..., ElementWeights]:
    return lambda g, scores, named: ElementWeights(_repeated(g, weights, scores))


def _above(target: Region, model: Model, output: Array) -> Aim:
    """The region where the tensor exceeds a threshold, of one channel where one is named."""
    assert target.threshold is not None  # asked by the caller
    whole = Region(None, target.at_channel, None, target.output).picks(output, model)[0]
    allowed = np.zeros((1, flat(output).shape[1]), dtype=np.float32)
    allowed[0, whole.indices[0]] = 1
    threshold = np.float32(target.threshold)

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        return ElementWeights(g.op("Mul", g.op("Cast", g.op("Greater", scores, threshold), to=1), allowed))

    channel = "" if target.at_channel is None else f", channel {target.at_channel}"
    words = f"sum of {whole.tensor} where it exceeds {target.threshold:g}{channel}"
    return Aim(whole.tensor, "identity", words, follow)


def _strongest(target: Channel, model: Model, output: Array) -> Aim:
    """The mean of the channel that is highest on the whole."""
    tensor = target.tensor(model)
    first = Channel(0, target.output).picks(output, model)[0]
    each, count = first.indices.shape[1], output.shape[1]

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        shaped = g.op("Reshape", scores, np.array([-1, count, each], dtype=np.int64))
        means = g.op("ReduceMean", shaped, np.array([2], dtype=np.int64), keepdims=0)
        channels = _one_hot(g, g.op("ArgMax", means, axis=1, keepdims=0), count)
        one = g.op("Gather", channels, np.arange(count * each, dtype=np.int64) // each, axis=1)
        return ElementWeights(g.op("Mul", one, 1 / each))

    return Aim(tensor, "identity", f"mean of the strongest channel of {tensor}", follow)
