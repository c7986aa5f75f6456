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

    def check_labels(self, labels: Sequence[str | int | float | None], model: Model) -> None:
        count = next((one.shape[-1] for one in model.outputs if one.name == self.tensor(model) and one.shape), None)
        words = {str(label).strip().removesuffix(".0") for label in labels if label is not None}
        if not isinstance(count, int) or not words or not all(word.isdecimal() for word in words):
            return
        low, high = min(map(int, words)), max(map(int, words))
        # A number that is a label names its class.
        if low > 0 and high == count and str(count) not in (model.labels or ()):
            raise ParameterError(
                f"The labels are numbers from {low} to {count}, and the classes of {model.name} are numbered from 0 to "
                f"{count - 1}. If they count from 1, take 1 from each."
            )

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
        classes = tuple(label_class(label, count, tensor, model) for label in self.labels)
        return Index(classes, each=True, output=self.output).terms(output, model)

    def in_graph(self, model: Model, output: Array) -> Aim:
        raise one_each()


def label_class(label: object, count: int, tensor: str, model: Model) -> int:
    """Return the number of the class of a label, of the ``count`` classes of a tensor.

    Raises
    ------
    ParameterError, UnknownNameError
        It is no class.
    """
    return class_number(_class(label, model), count, tensor, model, "label")


def _class(label: object, model: Model) -> int | str:
    """The class of a label: names of folders are text, also those that are numbers."""
    if isinstance(label, str):
        return class_word(label, model.labels or ())
    if isinstance(label, int | float | np.number) and int(label) == label:
        return int(label)
    raise ParameterError(f"The label {label!r} is no class: it must be a number or a label of {model.name}.")
