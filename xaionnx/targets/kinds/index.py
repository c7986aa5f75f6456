"""A class, or one element of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.in_graph import Aim, of_class, one_each
from xaionnx.targets.scores import class_names, class_number, class_scores, flat, to_probability
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target, single
from xaionnx.typing import Array


def _read_probability(k: str | None, output: str | None, model: Model) -> Target:
    if k == "":
        raise ValueError(k)
    return Target.probability(None if k is None else class_word(k, model.labels or ()), output=output)


def neuron(text: str) -> Target:
    """Return the element of a tensor that ``TENSOR:I,J,...`` names; raise ValueError for any other text."""
    # Names of tensors may contain colons.
    tensor, _, element = text.rpartition(":")
    if not tensor:
        raise ValueError(text)
    return Target.neuron(tensor, indices(element))


def indices(text: str) -> list[int]:
    """Return the integers in a comma-separated text; raise ValueError for anything else."""
    return [int(part) for part in text.split(",")]


def check_one_each(classes: int, samples: int | None) -> None:
    """Check that as many classes are given as there are samples, whose number may be unknown.

    Raises
    ------
    ParameterError
        They are others.
    """
    if classes != samples:
        many = "an unknown number of" if samples is None else samples
        raise ParameterError(f"The 'target' parameter must have one int per sample. Got {classes} for {many} samples.")


@final
@dataclass(frozen=True)
class Index(Target):
    """A class by number or label, one class per sample (``each``), or an element of a tensor by its indices."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("label", lambda name, output, _: Target.label(name.strip(), output=output), ":NAME", "label:tabby"),
        Form("probability", _read_probability, "[:CLASS]", "probability:281"),
        Form("element", lambda at, output, _: Target.index(indices(at), output=output), ":I,J,...", "element:0,12,7"),
        Form("neuron", lambda text, output, model: neuron(text), ":TENSOR:I,J,...", "neuron:/relu/Relu_output_0:5,0,3"),
    )

    k: int | str | tuple[int, ...]
    as_probability: bool = False
    output: str | None = None
    each: bool = False

    __repr__ = short_repr

    @property
    def of_classes(self) -> bool:
        return self.each or not isinstance(self.k, tuple)

    @property
    def of_each(self) -> bool:
        return self.each

    def of_units(self, units: Sequence[int], labels: Sequence[object], count: int | None) -> Target:
        if not (self.each and isinstance(self.k, tuple)):
            return self
        check_one_each(len(self.k), count)
        return replace(self, k=tuple(self.k[unit] for unit in units))

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        if isinstance(self.k, tuple) and not self.each:
            return [self._element(self.k, output, tensor)]
        count = class_scores(output, tensor).shape[1]
        classes = self.k if isinstance(self.k, tuple) else (self.k,) * len(output)
        check_one_each(len(classes), len(output))
        chosen = [class_number(k, count, tensor, model) for k in classes]
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        return [single(tensor, activation, chosen, class_names(chosen, count, tensor, model, self.as_probability))]

    @staticmethod
    def _element(indices: tuple[int, ...], output: Array, tensor: str) -> TargetTerm:
        shape = output.shape[1:]
        if len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
            raise ParameterError(
                f"The 'target' parameter must have one index for each axis of '{tensor}' after the batch, "
                f"{shape}. Got {indices} instead."
            )
        element = int(np.ravel_multi_index(indices, shape)) if indices else 0
        word = f"{tensor}[{', '.join(map(str, indices))}]"
        return single(tensor, "identity", [element] * len(output), [word] * len(output))

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.each:
            raise one_each()
        if isinstance(self.k, tuple):
            return super().in_graph(model, output)
        [term] = self.terms(output, model)
        return Aim(
            term.tensor, term.activation, term.names[0], of_class(flat(output).shape[1], int(term.indices[0, 0]))
        )
