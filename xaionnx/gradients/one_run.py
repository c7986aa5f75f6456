"""Prediction and gradients from one run: what explaining the samples themselves costs no more than its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.autodiff.gradient import first_rows
from xaionnx.data.sample import Sample
from xaionnx.errors import ModelError
from xaionnx.gradients.graph import Graph
from xaionnx.gradients.source import At, GradientRequest
from xaionnx.layers.embeddings import differentiable_inputs
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table


@final
@dataclass(frozen=True, eq=False)
class OneRun:
    """What came out of the same runs.

    Attributes
    ----------
    source : Graph
        Where the gradients came from.
    outputs : dict of arrays (M, ...) by tensor name
        The tensors that the targets read, and what else was fetched.
    gradients : dict of arrays (T, M, ...) by input name
    """

    source: Graph
    outputs: dict[str, Array]
    gradients: dict[str, Array]

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Foreseen:
    """Targets of N samples whose outputs and gradients come from the same runs, before any output is known.

    Targets that read the same elements whatever the model answers are fed to the gradient graph; the highest classes
    it finds by itself. Whether the targets were foreseen rightly shows when they are resolved: :meth:`holds`.

    Attributes
    ----------
    question : GradientRequest
        With the targets as they are foreseen.
    source : Graph
    """

    question: GradientRequest
    source: Graph

    __repr__ = short_repr

    @classmethod
    def of(
        cls,
        model: Model,
        feeds: Mapping[str, Array],
        targets: Sequence[Target],
        samples: list[Sample],
        evaluations: Evaluations,
        rules: Table | None = None,
    ) -> Foreseen | None:
        """None where the targets cannot be foreseen, or the graph cannot be built.

        The first time that a model is asked, one row of it is run to see what the targets' tensors hold; it does not
        count as an evaluation.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        """
        follows = {target.follows for target in targets}
        tensors = list(dict.fromkeys(target.tensor(model) for target in targets))
        parts = [part for target in targets for part in target.parts()]
        # What a graph finds by itself are the highest classes.
        found = all(isinstance(part, Top) for part in parts)
        if len(follows) > 1 or (True in follows and not found) or model.input().dtype.kind != "f":
            return None
        seen = _first_outputs(model, feeds, tensors)
        if not all(np.isfinite(array).all() for array in seen.values()):
            return None
        # A graph compares scores in float32, where others that differ may be equal.
        if True in follows and any(array.dtype == np.float64 for array in seen.values()):
            return None
        like = {name: np.repeat(array, len(samples), axis=0) for name, array in seen.items()}
        terms = [term for part in parts for term in part.terms(like[part.tensor(model)], model)]
        aims = [part.in_graph(model, seen[part.tensor(model)]) for part in parts] if True in follows else ()
        exposed = model.with_outputs(tensors)
        unknown = np.full((len(terms), len(samples)), np.nan)
        resolved = ResolvedTargets(exposed, TargetSet(terms), len(terms) > 1, unknown, len(terms), (1,) * len(terms))
        names = differentiable_inputs(exposed, tensors)
        question = GradientRequest(model, feeds, resolved, names, samples, evaluations)
        try:
            return cls(question, Graph(question, rules, aims))
        except ModelError:
            return None

    def run(self, sample: Array, points: At, fetch: Sequence[str] = ()) -> OneRun:
        """Outputs and gradients at M points, each of one sample.

        Parameters
        ----------
        sample : array of int (M,)
        points : callable
            See :data:`xaionnx.gradients.source.At`; without any input it is the samples themselves.
        fetch : sequence of str
            Further outputs of the gradient graph.
        """
        outputs: dict[str, Array] = {}
        gradients: dict[str, Array] = {}
        targets = len(self.question.terms)
        for piece in self.source.with_outputs(sample, points, fetch):
            for name, array in piece.outputs.items():
                held = outputs.setdefault(name, np.empty((len(sample), *array.shape[1:]), dtype=array.dtype))
                held[piece.rows] = array
            for name, array in piece.gradients.items():
                shape = (targets, len(sample), *array.shape[2:])
                gradients.setdefault(name, np.empty(shape, dtype=array.dtype))[np.ix_(piece.which, piece.rows)] = array
        return OneRun(self.source, outputs, gradients)

    def holds(self, resolved: ResolvedTargets) -> bool:
        """Whether the targets are what they were foreseen to be, by the outputs of the same run."""
        foreseen = self.question.terms
        follows = self.source.follows
        return len(foreseen) == resolved.count and all(
            _same(one, other, follows) for one, other in zip(foreseen, resolved.terms, strict=True)
        )


def _same(one: TargetTerm, other: TargetTerm, follows: bool) -> bool:
    if (one.tensor, one.activation) != (other.tensor, other.activation):
        return False
    # Which class is the highest the graph saw itself.
    if follows:
        return True
    alike = np.array_equal(one.indices, other.indices) and np.array_equal(one.coefficients, other.coefficients)
    if one.reference is None or other.reference is None:
        return alike and one.reference is other.reference
    return alike and np.array_equal(one.reference, other.reference)


def _first_outputs(model: Model, feeds: Mapping[str, Array], tensors: Sequence[str]) -> dict[str, Array]:
    """What tensors hold for one sample, (1, ...): it tells their shapes, and whether they are probabilities."""
    first = first_rows(model, feeds)
    shapes = tuple(sorted((name, array.shape, array.dtype.str) for name, array in first.items()))
    key = ("first outputs", shapes, tuple(tensors))
    found: dict[str, Array] = graph_fact(model, key, lambda _: model.with_outputs(tensors).run(first, tensors))
    return found
