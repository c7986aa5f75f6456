"""Prediction and gradients at the samples from one run of the gradient graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ModelError
from xaionnx.gradients.arithmetic import other_arithmetic
from xaionnx.gradients.graph import Graph
from xaionnx.gradients.source import GradientRequest, InputsAt
from xaionnx.layers.embeddings import differentiable_inputs, has_tokens
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.first_outputs import first_outputs
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
    """Outputs and gradients from the same runs.

    Attributes
    ----------
    source : Graph
        The source of the gradients.
    outputs : dict of arrays (M, ...) by tensor name
        The tensors that the targets read, and the other fetched ones.
    gradients : dict of arrays (T, M, ...) by input name
    """

    source: Graph
    outputs: dict[str, Array]
    gradients: dict[str, Array]

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class PlannedRun:
    """Plan of a run that returns outputs and gradients of N samples, made before any output is known.

    Targets that do not depend on the outputs are fed to the gradient graph; the highest classes are found by the graph
    itself. When the targets are resolved, :meth:`matches` tells whether the plan was for these.

    Attributes
    ----------
    request : GradientRequest
        With the expected targets.
    source : Graph
    """

    request: GradientRequest
    source: Graph

    __repr__ = short_repr

    @classmethod
    def of(
        cls,
        model: Model,
        feeds: Mapping[str, Array],
        targets: Sequence[Target],
        samples: Sequence[Sample],
        evaluations: Evaluations,
        rules: Table | None = None,
    ) -> PlannedRun | None:
        """Return a plan; None if the targets cannot be expected, or the graph cannot be built, or rounds otherwise.

        The first plan for a model runs one row, for the shapes of the targets' tensors; this does not count as an
        evaluation.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        """
        follows = {target.follows for target in targets}
        tensors = list(dict.fromkeys(target.tensor(model) for target in targets))
        parts = [part for target in targets for part in target.parts()]
        # A graph can find the highest classes only.
        found = all(isinstance(part, Top) for part in parts)
        if other_arithmetic(model) is not None:  # its outputs would not be the model's
            return None
        if len(follows) > 1 or (True in follows and not found) or model.input().dtype.kind != "f" or has_tokens(model):
            return None
        seen = first_outputs(model, feeds, tensors)
        if not all(np.isfinite(array).all() for array in seen.values()):
            return None
        # A graph compares scores in float32, where scores that differ in float64 may be equal.
        if True in follows and any(array.dtype == np.float64 for array in seen.values()):
            return None
        like = {name: np.repeat(array, len(samples), axis=0) for name, array in seen.items()}
        terms = [term for part in parts for term in part.terms(like[part.tensor(model)], model)]
        aims = [part.in_graph(model, seen[part.tensor(model)]) for part in parts] if True in follows else ()
        exposed = model.with_outputs(tensors)
        unknown = np.full((len(terms), len(samples)), np.nan)
        resolved = ResolvedTargets(exposed, TargetSet(terms), len(terms) > 1, unknown, len(terms), (1,) * len(terms))
        names = differentiable_inputs(exposed, tensors)
        request = GradientRequest(model, feeds, resolved, names, samples, evaluations)
        try:
            return cls(request, Graph(request, rules, aims))
        except ModelError:
            return None

    def run(self, sample: Array, points: InputsAt, fetch: Sequence[str] = ()) -> OneRun:
        """Return outputs and gradients at M points.

        Parameters
        ----------
        sample : array of int (M,)
            The sample of each point.
        points : callable
            See :data:`xaionnx.gradients.source.InputsAt`; inputs that it leaves out are those of the samples.
        fetch : sequence of str
            Additional outputs of the gradient graph.
        """
        outputs: dict[str, Array] = {}
        gradients: dict[str, Array] = {}
        targets = len(self.request.terms)
        for piece in self.source.with_outputs(sample, points, fetch):
            for name, array in piece.outputs.items():
                held = outputs.setdefault(name, np.empty((len(sample), *array.shape[1:]), dtype=array.dtype))
                held[piece.rows] = array
            for name, array in piece.gradients.items():
                shape = (targets, len(sample), *array.shape[2:])
                gradients.setdefault(name, np.empty(shape, dtype=array.dtype))[np.ix_(piece.which, piece.rows)] = array
        return OneRun(self.source, outputs, gradients)

    def matches(self, resolved: ResolvedTargets) -> bool:
        """Whether the targets, resolved from the outputs of the run, are those of the plan."""
        expected = self.request.terms
        follows = self.source.follows
        return len(expected) == resolved.count and all(
            _same_term(one, other, follows) for one, other in zip(expected, resolved.terms, strict=True)
        )


def _same_term(one: TargetTerm, other: TargetTerm, follows: bool) -> bool:
    if (one.tensor, one.activation) != (other.tensor, other.activation):
        return False
    # The graph itself found the highest class.
    if follows:
        return True
    alike = np.array_equal(one.indices, other.indices) and np.array_equal(one.coefficients, other.coefficients)
    if one.reference is None or other.reference is None:
        return alike and one.reference is other.reference
    return alike and np.array_equal(one.reference, other.reference)
