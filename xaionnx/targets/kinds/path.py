"""The log probability of the best path of a CTC output."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.ctc import Frames
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True)
class Path(Target):
    """The sum of the log probabilities of the classes that are the highest of their frames at the input."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("path", lambda text, output, model: Path(output), note="the text of a CTC output"),
    )

    output: str | None = None
    frames: Frames | None = field(default=None, repr=False)

    @property
    def follows(self) -> bool:
        return True

    def bind(self, model: Model, feeds: Feeds) -> Path:
        if self.frames is not None:
            return self
        return dataclasses.replace(self, frames=Frames.of(model, feeds, super().tensor(model)))

    def extended(self, model: Model) -> Model:
        return model if self.frames is None else self.frames.extended(model)

    def tensor(self, model: Model) -> str:
        return super().tensor(model) if self.frames is None else self.frames.logarithms

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        frames = self.frames
        if frames is None:
            raise ParameterError("Target.path must be bound to a model first: see Target.bind.")
        length, count = output.shape[1:]
        indices = np.arange(length) * count + output.argmax(axis=2)
        names = tuple(f"log probability of the path of '{frames.text(scores, model)}'" for scores in output)
        ones = np.ones(indices.shape)
        return [TargetTerm(self.tensor(model), "identity", indices, ones, names, quantity="log probability")]
