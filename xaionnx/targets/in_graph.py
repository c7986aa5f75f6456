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
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True)
class Chosen(Target):
    """The score of the class that an input of the graph names for each sample."""

    output: str | None = None

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        raise ParameterError("The target 'input' names its class when a compiled file runs. Give a class here.")

    def in_graph(self, model: Model, output: Array) -> Aim:
        tensor = self.tensor(model)
        count = class_scores(output, tensor).shape[1]
        return Aim(tensor, "identity", f"the class that the input names, of {tensor}", _chosen(count))


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


def one_each() -> ParameterError:
    """The error for a target that holds something of its own for each sample of a batch."""
    return ParameterError(
        "A compiled file serves any samples, so its target cannot hold one class for each sample of a batch. "
        "Name one class, or take 'input' and name the classes at each run."
    )


def constant(target: Target, model: Model, output: Array) -> Aim:
    """The weighted sum of elements that are the same for every sample; ``output`` is the target's tensor (1, ...).

    Raises
    ------
    ParameterError
        The elements, or their weights, are found from the values of each sample.
    """
    [term] = target.terms(output, model)
    rising = np.arange(output.size, dtype=np.float32).reshape(output.shape)
    for values in (rising, -rising):
        [other] = target.terms(values, model)
        alike = np.array_equal(other.indices, term.indices) and np.array_equal(other.coefficients, term.coefficients)
        if not alike:
            raise ParameterError(
                f"A compiled file serves any samples, and the elements of the target '{term.names[0]}' are found for "
                "each sample. Name a class or an element, or give its kind an 'in_graph' of its own."
            )
    weights = np.zeros((1, flat(output).shape[1]), dtype=np.float32)
    np.add.at(weights[0], term.indices[0], term.coefficients[0])

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        return ElementWeights(_repeated(g, weights, scores))

    return Aim(term.tensor, term.activation, term.names[0], follow, term.reference)


def one_hot(g: Builder, classes: ir.Value, count: int) -> ir.Value:
    """(N, count) with a 1 at each class."""
    place = g.op("Unsqueeze", classes, np.array([1], dtype=np.int64))
    return g.op("Cast", g.op("Equal", place, np.arange(count, dtype=np.int64)[None]), to=1)


def _repeated(g: Builder, constant: Array, like: ir.Value) -> ir.Value:
    """A constant (1, ...) once for each row."""
    rows = g.op("Shape", like, start=0, end=1)
    rest = np.array(constant.shape[1:], dtype=np.int64)
    return g.op("Expand", constant, g.op("Concat", rows, rest, axis=0) if len(rest) else rows)


def of_class(count: int, k: int) -> Callable[..., ElementWeights]:
    """Follow class ``k`` of ``count``."""

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        one = (np.arange(count) == k)[None].astype(np.float32)
        return ElementWeights(_repeated(g, one, scores), _repeated(g, np.array([k], dtype=np.int64), scores))

    return follow


def _chosen(count: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        assert named is not None  # the caller adds the input for this target
        # Looked up, so that a class that there is not fails where the provider checks, and -1 is the last.
        classes = g.op("Gather", np.arange(count, dtype=np.int64), named, axis=0)
        return ElementWeights(one_hot(g, classes, count), classes)

    return follow
