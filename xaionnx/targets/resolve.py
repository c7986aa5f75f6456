"""Resolve targets against a model and its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import (
    check_stated_activation,
    flat,
    probabilities_called_logits,
    quantity,
    refuse_rows,
    to_probability,
)
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, TargetLike


@final
@dataclass(frozen=True, eq=False)
class ResolvedTargets:
    """Targets resolved for a batch.

    Attributes
    ----------
    model : Model
        The model, with the internal tensors that the targets read as outputs.
    selection : TargetSet
        T + W targets of N samples.
    several : bool
        Whether a list was given, so that results have a leading axis of targets.
    values : array of float64, (T + W, N)
        The targets at the input.
    count : int
        The number T of targets that are explained; the other W are watched in the same evaluations.
    sizes : tuple of int
        Number of resolved targets for each given target.
    outputs : dict of arrays (N, ...) by tensor name
        The outputs at the input: the tensors that the targets read, and those in ``keep``.
    """

    model: Model
    selection: TargetSet
    several: bool
    values: Array
    count: int
    sizes: tuple[int, ...]
    outputs: dict[str, Array] = field(default_factory=dict)

    @property
    def terms(self) -> list[TargetTerm]:
        """The T targets that are explained."""
        return self.selection.terms[: self.count]

    @property
    def names(self) -> Array:
        """The T targets in words, (T, N)."""
        return self.selection.names[: self.count]

    @property
    def prediction(self) -> Array:
        """The T targets at the input, (T, N)."""
        return self.values[: self.count]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the tensors that the T targets read."""
        return tuple(dict.fromkeys(term.tensor for term in self.terms))

    def only(self, targets: Array) -> ResolvedTargets:
        """Return some of the T targets, by their numbers."""
        chosen = TargetSet([self.terms[int(number)] for number in targets])
        return replace(
            self, selection=chosen, values=self.values[targets], count=len(targets), sizes=(1,) * len(targets)
        )

    def first(self, given: int) -> ResolvedTargets:
        """Return the targets that the first given ones were resolved to."""
        count = sum(self.sizes[:given])
        selection = TargetSet(self.selection.terms[:count])
        return replace(self, selection=selection, values=self.values[:count], sizes=self.sizes[:given])

    def without_others(self) -> ResolvedTargets:
        """Return the targets without the outputs that none of them reads."""
        read = {term.tensor for term in self.selection.terms}
        return replace(self, outputs={name: array for name, array in self.outputs.items() if name in read})

    def as_probabilities(self) -> ResolvedTargets:
        """Return the targets with the probability in place of each logit and log probability; others stay as they are.

        The log probability of several tokens or frames together is a sum, and stays as it is too.
        """
        selection = TargetSet([self.probability(term) or term for term in self.selection.terms])
        return replace(self, selection=selection, values=selection.select(self.outputs).T)

    def probability(self, term: TargetTerm) -> TargetTerm | None:
        """Return the target that is the probability of one of these; None if it has none, or that is not known.

        A logit and a log probability of one element have a probability, and a probability is its own.
        """
        what = self._quantity(term) if term.is_element else "value"
        if what == "probability":
            return term
        if what == "log probability":
            return replace(term, activation="exp", quantity="probability")
        if what == "logit":
            activation = to_probability(self.outputs[term.tensor], term.tensor, self.model)
            return replace(term, activation=activation, quantity=None)
        return None

    def renamed(self, tensor: str, name: str) -> ResolvedTargets:
        """Return the targets read from a tensor of another name."""
        terms = [replace(term, tensor=name) if term.tensor == tensor else term for term in self.selection.terms]
        outputs = {(name if key == tensor else key): array for key, array in self.outputs.items()}
        return replace(self, selection=TargetSet(terms), outputs=outputs)

    @property
    def quantities(self) -> list[str]:
        """The quantity of each of the T targets, see `xaionnx.targets.scores.quantity`; ``value`` if not of a class."""
        return [self._quantity(term) for term in self.terms]

    @property
    def called_logits(self) -> str:
        """The output that the spec calls logits and that has probabilities, if it is read; else no name."""
        return probabilities_called_logits(self.outputs, self.model)

    def _quantity(self, term: TargetTerm) -> str:
        if term.quantity is not None:
            return term.quantity
        if term.activation in ("softmax", "sigmoid"):
            return "probability"
        output = self.outputs[term.tensor]
        single = term.indices.shape[1] == 1 and term.reference is None and term.activation == "identity"
        classes = flat(output).shape[1] == max(output.shape[1:], default=1)
        is_output = any(info.name == term.tensor for info in self.model.outputs)
        return quantity(output, term.tensor, self.model) if single and classes and is_output else "value"

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class FixedTerms(Target):
    """What a target was resolved to, for some of the samples: it is not chosen again from their outputs."""

    fixed: tuple[TargetTerm, ...]
    output: str | None = None

    @classmethod
    def of_rows(cls, resolved: ResolvedTargets, rows: Array) -> list[FixedTerms]:
        """Return one for each target that was given, for the samples ``rows``."""
        terms, ends = resolved.selection.of_samples(rows).terms, np.cumsum(resolved.sizes)
        return [cls(tuple(terms[end - size : end])) for end, size in zip(ends, resolved.sizes, strict=True)]

    def tensor(self, model: Model) -> str:
        return self.fixed[0].tensor

    def reads(self, model: Model) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.tensor for term in self.fixed))

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        return list(self.fixed)

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return list(self.fixed)


def extended(model: Model, targets: Iterable[Target]) -> Model:
    """Return the model with the tensors that bound targets add to its graph."""
    for target in targets:
        model = target.extended(model)
    return model


def resolve(
    given: TargetLike,
    model: Model,
    x: Mapping[str, Array],
    watched: Sequence[Target] = (),
    keep: Sequence[str] = (),
    outputs: Mapping[str, Array] | None = None,
) -> ResolvedTargets:
    """Resolve a target or its shorthand, and further ``watched`` ones, for the samples ``x``, with one run.

    ``keep`` names further tensors of the model whose values the same run returns. If ``outputs``, the values (N, ...)
    of all these tensors by name, are given, the model is not run.

    Raises
    ------
    ParameterError, UnknownNameError
        There is no such class, label, tensor or element, or the output is not what the spec says.
    OutputError
        The model returns NaN or infinity.
    """
    explained, several = Target.of(given)
    targets = [target.bind(model, x) for target in (*explained, *watched)]
    model = extended(model, targets)
    fetched = list(dict.fromkeys([*(name for target in targets for name in target.reads(model)), *keep]))
    exposed = model.with_outputs(fetched)
    outputs = exposed.run(x, fetched) if outputs is None else dict(outputs)
    read = {name for target in targets for name in target.reads(model)}
    count = max((len(array) for name, array in x.items() if name not in model.shared), default=1)
    model.check_rows({name: outputs[name] for name in read}, count)
    check_stated_activation(outputs, model)
    terms = [target.resolved(outputs, model) for target in targets]
    selection = TargetSet([term for of_target in terms for term in of_target])
    values = selection.select(outputs)
    refuse_rows(~np.isfinite(values).all(axis=1), model)
    sizes = tuple(len(of_target) for of_target in terms)
    return ResolvedTargets(exposed, selection, several, values.T, sum(sizes[: len(explained)]), sizes, outputs)
