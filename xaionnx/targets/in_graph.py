"""Aim: a target that a graph computes for any samples.

A :class:`~xaionnx.targets.selection.TargetSet` contains elements and weights for the samples of one batch. An aim
computes them inside the graph, from the tensor that the target reads, and so follows the top class or a region of
outputs that are unknown when the graph is built.
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
        raise ParameterError("The target 'input' gets its class when a compiled file runs. Give a class here.")

    def in_graph(self, model: Model, output: Array) -> Aim:
        tensor = self.tensor(model)
        count = class_scores(output, tensor).shape[1]
        return Aim(tensor, "identity", f"the class that the input names, of {tensor}", _follow_input(count))


@final
@dataclass(frozen=True, eq=False)
class ElementWeights:
    """Weights of the elements that a target reads from each sample, in the graph.

    Attributes
    ----------
    weights : value (N, S)
        Weights of the tensor's flattened elements after the activation; the target is their weighted sum.
    classes : value (N,) or None
        The class of each sample in int64, if the target is a class.
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
        The target in words.
    follow : callable
        Adds nodes to a graph that compute the weights from the tensor's flattened values (N, S) in float32. The third
        argument is the input that gives classes, for :class:`Chosen` alone.
    reference : array (1, S), or None
        If given, the weighted sum is over ``(f(tensor) - reference) ** 2``.
    """

    tensor: str
    activation: str
    words: str
    follow: Callable[[Builder, ir.Value, ir.Value | None], ElementWeights]
    reference: Array | None = None

    __repr__ = short_repr


def one_each() -> ParameterError:
    """Return the error for a target with a different class or value for each sample of a batch."""
    return ParameterError(
        "A compiled file runs on any samples, so its target cannot have one class for each sample of a batch. "
        "Give one class, or use 'input' and give the classes at each run."
    )


def constant(target: Target, model: Model, output: Array) -> Aim:
    """Return the aim of a target whose elements are the same for every sample; ``output`` is its tensor (1, ...).

    Raises
    ------
    ParameterError
        The elements or their weights depend on the values of each sample.
    """
    [term] = target.terms(output, model)
    rising = np.arange(output.size, dtype=np.float32).reshape(output.shape)
    for values in (rising, -rising):
        [other] = target.terms(values, model)
        alike = np.array_equal(other.indices, term.indices) and np.array_equal(other.coefficients, term.coefficients)
        if not alike:
            raise ParameterError(
                f"A compiled file runs on any samples, but the elements of the target '{term.names[0]}' depend on "
                "the sample. Name a class or an element, or override 'in_graph' of its kind."
            )
    weights = np.zeros((1, flat(output).shape[1]), dtype=np.float32)
    np.add.at(weights[0], term.indices[0], term.coefficients[0])

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        return ElementWeights(_repeat_rows(g, weights, scores))

    return Aim(term.tensor, term.activation, term.names[0], follow, term.reference)


def one_hot(g: Builder, classes: ir.Value, count: int) -> ir.Value:
    """Return the one-hot encoding of classes, (N, count)."""
    column = g.op("Unsqueeze", classes, np.array([1], dtype=np.int64))
    return g.op("Cast", g.op("Equal", column, np.arange(count, dtype=np.int64)[None]), to=1)


def _repeat_rows(g: Builder, constant: Array, like: ir.Value) -> ir.Value:
    """Return a constant (1, ...) repeated for each row."""
    rows = g.op("Shape", like, start=0, end=1)
    rest = np.array(constant.shape[1:], dtype=np.int64)
    return g.op("Expand", constant, g.op("Concat", rows, rest, axis=0) if len(rest) else rows)


def of_class(count: int, k: int) -> Callable[..., ElementWeights]:
    """Return a function that follows class ``k`` of ``count``."""

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        one = (np.arange(count) == k)[None].astype(np.float32)
        return ElementWeights(_repeat_rows(g, one, scores), _repeat_rows(g, np.array([k], dtype=np.int64), scores))

    return follow


def _follow_input(count: int) -> Callable[..., ElementWeights]:
    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        assert named is not None  # the caller adds the input for this target
        # A look-up, so that an invalid class fails if the provider checks bounds, and -1 is the last class.
        classes = g.op("Gather", np.arange(count, dtype=np.int64), named, axis=0)
        return ElementWeights(one_hot(g, classes, count), classes)

    return follow
