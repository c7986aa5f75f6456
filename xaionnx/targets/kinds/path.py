"""The log probability of the best path of a CTC output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.ctc import Frames
from xaionnx.targets.kinds._of_frames import OfFrames
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Path(OfFrames):
    """The sum of the log probabilities of the classes that are the highest of their frames at the input."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("path", lambda text, output, model: Path(output), note="the text of a CTC output"),
    )

    output: str | None = None
    frames: Frames | None = field(default=None, repr=False)

    def tensor(self, model: Model) -> str:
        return super().tensor(model) if self.frames is None else self.frames.logarithms

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        frames = self.bound_frames()
        length, count = output.shape[1:]
        indices = np.arange(length) * count + output.argmax(axis=2)
        names = tuple(f"log probability of the path of '{frames.text(scores, model)}'" for scores in output)
        ones = np.ones(indices.shape)
        return [TargetTerm(self.tensor(model), "identity", indices, ones, names, quantity="log probability")]
