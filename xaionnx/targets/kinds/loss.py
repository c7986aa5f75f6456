"""The loss of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.in_graph import Aim, one_each
from xaionnx.targets.kinds.index import Index, check_one_each
from xaionnx.targets.scores import flat, shape_words, to_probability
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class Loss(Target):
    """The loss of each sample against ``labels``."""

    of_classes = True

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("loss", lambda k, output, _: Target.loss(np.array(int(k)), output=output), ":CLASS", "loss:3"),
    )

    labels: Array
    kind: str
    output: str | None = None

    __repr__ = short_repr

    @property
    def of_each(self) -> bool:
        return self.kind == "cross_entropy" and self.labels.ndim == 1

    def of_units(self, units: Sequence[int], labels: Sequence[object], count: int | None) -> Target:
        if not self.of_each:
            return self
        check_one_each(len(self.labels), count)
        return replace(self, labels=self.labels[[*units]])

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        if self.kind == "cross_entropy":
            return [self._cross_entropy(output, tensor, model)]
        values = self.labels
        if values.shape in (output.shape[:1], (*output.shape[:1], 1)) and flat(output).shape[1] == 1:
            values = values.reshape(output.shape)
        if values.dtype.kind not in "fiub" or values.shape not in ((), output.shape[1:], output.shape):
            raise ParameterError(
                f"The 'labels' parameter of Target.loss must be numbers of shape {shape_words(output)}. "
                f"Got {values.shape} {values.dtype} instead."
            )
        reference = flat(np.broadcast_to(values, output.shape)).astype(np.float64)
        indices = np.tile(np.arange(reference.shape[1], dtype=np.int64), (len(output), 1))
        words = (f"squared error of {tensor}",) * len(output)
        return [TargetTerm(tensor, "identity", indices, np.ones(indices.shape), words, reference)]

    def _cross_entropy(self, output: Array, tensor: str, model: Model) -> TargetTerm:
        if self.labels.dtype.kind not in "iu" or self.labels.ndim > 1:
            raise ParameterError(
                "The 'labels' parameter of Target.loss must be one class number per sample. "
                f"Got {self.labels.shape} {self.labels.dtype} instead."
            )
        needed = {
            "identity": "logits, but '{}' contains probabilities",
            "sigmoid": "one score per class, but '{}' contains one",
        }
        activation = to_probability(output, tensor, model)
        classes = tuple(np.broadcast_to(self.labels, (len(output),)) if self.labels.ndim == 0 else self.labels)
        base = Index(classes, each=True, output=self.output).terms(output, model)[0]
        if activation in needed:
            raise UnsupportedModelError(
                f"The cross-entropy of {model.name} needs {needed[activation].format(tensor)}. "
                "Explain Target.probability instead, or name a tensor with logits as output=."
            )
        words = tuple(f"cross-entropy against {name}" for name in base.names)
        return TargetTerm(tensor, "log_softmax", base.indices, -base.coefficients, words)

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.kind == "cross_entropy" and self.labels.ndim > 0:
            raise one_each()
        return super().in_graph(model, output)
