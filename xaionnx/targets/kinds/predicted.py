"""The class that a model's own label names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.scores import class_name, class_names, class_scores, to_probability
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target, single
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Predicted(Target):
    """The score of the class that an output of labels names, which is mostly the highest, but need not be.

    A file may decide by another threshold than 0.5, or return the scores of two classes in the other order.

    Attributes
    ----------
    labels_output : str
        The output with the label of each sample.
    class_labels : tuple
        The label of each score.
    as_probability : bool
    """

    of_classes = True

    labels_output: str
    class_labels: tuple[int | str, ...]
    as_probability: bool = False
    output: str | None = None

    @property
    def follows(self) -> bool:
        return True

    def reads(self, model: Model) -> tuple[str, ...]:
        return (self.tensor(model), self.labels_output)

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        output, labels = outputs[tensor], outputs[self.labels_output].reshape(len(outputs[tensor]), -1)
        scores = class_scores(output, tensor)
        numbers = {label: k for k, label in enumerate(self.class_labels)}
        highest = scores.argmax(axis=1)
        # A label that is not among the classes tells nothing.
        named = [row[0] for row in labels.tolist()]
        chosen = [numbers.get(name, int(k)) for name, k in zip(named, highest, strict=True)]
        count = scores.shape[1]
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        names = class_names(chosen, count, tensor, model, self.as_probability)
        disagrees = np.array(chosen) != highest
        for n in np.flatnonzero(disagrees):
            other = class_name(int(highest[n]), count, tensor, model)
            names[n] = f"the class of the label output '{self.labels_output}', though {other} is higher: {names[n]}"
        return [dataclasses.replace(single(tensor, activation, chosen, names), disagrees=disagrees)]

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return Top(as_probability=self.as_probability, output=self.output).terms(output, model)
