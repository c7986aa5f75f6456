"""The class that each sample is labelled with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.in_graph import Aim, one_each
from xaionnx.targets.kinds.index import Index
from xaionnx.targets.scores import class_number, class_scores
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Labelled(Target):
    """The class of the label that a data set has beside each sample: a number, or a label of the model."""

    of_classes = True

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("labelled", lambda _, output, __: Target.labelled(output=output), note="by the data set"),
    )

    output: str | None = None
    labels: tuple[str | int | float | None, ...] | None = None

    def of_units(self, units: Sequence[int], labels: Sequence[str | int | float | None], count: int | None) -> Target:
        return replace(self, labels=tuple(labels) or (None,) * len(units))

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        if self.labels is None or None in self.labels:
            raise ParameterError(
                "The target 'labelled' is the class of a sample's label, and there is none. Name the labels: --labels, "
                "or Dataset.of(x, labels=...)."
            )
        tensor = self.tensor(model)
        count = class_scores(output, tensor).shape[1]
        classes = tuple(class_number(_class(label, model), count, tensor, model, "label") for label in self.labels)
        return Index(classes, each=True, output=self.output).terms(output, model)

    def in_graph(self, model: Model, output: Array) -> Aim:
        raise one_each()


def _class(label: object, model: Model) -> int | str:
    """The class of a label: names of folders are text, also those that are numbers."""
    if isinstance(label, str):
        return class_word(label, model.labels or ())
    if isinstance(label, int | float | np.number) and int(label) == label:
        return int(label)
    raise ParameterError(f"The label {label!r} is no class: it must be a number or a label of {model.name}.")
