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
        if isinstance(count, int):
            _check_is_class(labels, count, self.tensor(model), model)
            check_from_zero(labels, count, model)

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


def _check_is_class(labels: Sequence[object], count: int, tensor: str, model: Model) -> None:
    """Check that numbers are not taken for classes of an output of one number, which is the score of another class."""
    if count == 1 and not model.labels and any(number_of(label) is not None for label in labels):
        raise ParameterError(
            f"Labels are numbers of classes, but '{tensor}' of {model.name} is a single number, which has no classes. "
            "Explain that number, with --target 0 or Target.index(0). If it is the score of one of two classes, values "
            "for the other class have the opposite sign."
        )


def check_from_zero(labels: Sequence[str | int | float | None], count: int, model: Model) -> None:
    """Check that the labels of all samples do not count from 1, where the ``count`` classes count from 0.

    Raises
    ------
    ParameterError
        They do: they are numbers, of which the largest is no class, and none is 0.
    """
    found = [number_of(label) for label in {*labels} if label is not None]
    numbers = [number for number in found if number is not None]
    # A number that is a label names its class.
    if len(numbers) < len(found) or str(count) in (model.labels or ()):
        return
    if min(numbers, default=0) > 0 and max(numbers) == count:
        raise ParameterError(
            f"The labels are numbers from {min(numbers)} to {count}, and the classes of {model.name} are numbered from "
            f"0 to {count - 1}. If they count from 1, take 1 from each."
        )


def number_of(label: object) -> int | None:
    """Return the number that a label is, as text too; None if it is none.

    Examples
    --------
    >>> number_of(3.0), number_of(" 3"), number_of("3.0"), number_of("cat"), number_of(0.5)
    (3, 3, 3, None, None)
    """
    word = str(label).strip().removesuffix(".0")
    return int(word) if word.isdecimal() else None


def label_class(label: object, count: int, tensor: str, model: Model) -> int:
    """Return the number of the class of a label, of the ``count`` classes of a tensor.

    Raises
    ------
    ParameterError, UnknownNameError
        It is no class.
    """
    _check_is_class([label], count, tensor, model)
    return class_number(_class(label, model), count, tensor, model, "label")


def _class(label: object, model: Model) -> int | str:
    """The class of a label: names of folders are text, also those that are numbers."""
    names = model.labels or ()
    if isinstance(label, str):
        word = class_word(label, names)
        # pandas writes whole numbers as floats where a cell of their column is, or was, empty.
        whole = str(word).removesuffix(".0")
        return class_word(whole, names) if whole.isdecimal() else word
    if isinstance(label, int | float | np.number) and int(label) == label:
        return _class_of_number(int(label), names)
    raise ParameterError(f"The label {label!r} is no class: it must be a number or a label of {model.name}.")


def _class_of_number(number: int, names: Sequence[str]) -> int:
    name = str(number)
    if name in names and names.index(name) != number:
        raise ParameterError(
            f"The label {number} may be the number of a class, or the name of class {names.index(name)}, '{name}'. "
            "Give names of classes as text, such as labels.astype(str) makes them."
        )
    return number
