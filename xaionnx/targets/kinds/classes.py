"""Every class, as several targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.runtime.model import Model
from xaionnx.targets.scores import class_names, class_scores, to_probability
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target, single
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class _Classes(Target):
    """Every class, as several targets."""

    of_classes = True

    as_probability: bool = False
    output: str | None = None
    several: ClassVar[bool] = True

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, samples = self.tensor(model), len(output)
        count = class_scores(output, tensor).shape[1]
        activation = to_probability(output, tensor, model) if self.as_probability else "identity"
        names = class_names(range(count), count, tensor, model, self.as_probability)
        return [single(tensor, activation, [k] * samples, [names[k]] * samples) for k in range(count)]
