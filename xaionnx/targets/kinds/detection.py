"""The similarity of a detector's boxes to one of its boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.detections import CORNERS
from xaionnx.targets.kinds.box import Box, read_box
from xaionnx.targets.layout import DETECTIONS
from xaionnx.targets.selection import SIMILARITY, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True)
class Detection(Target):
    """The largest similarity of any box to one of the boxes at the input; `xaionnx.targets.detections.similarities`."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form(
            "detection",
            lambda text, output, model: Detection(read_box(text, output, model)),
            "[:CLASS|X,Y|X0,Y0,X1,Y1|#N]",
            "detection:dog",
            "as box",
        ),
    )

    which: Box
    output: str | None = field(default=None, init=False, repr=False)

    @property
    def follows(self) -> bool:
        return True

    def bind(self, model: Model, feeds: Feeds) -> Target:
        return self.which.bind(model, feeds).as_similarity()

    def extended(self, model: Model) -> Model:
        return self.which.extended(model)

    def tensor(self, model: Model) -> str:
        return DETECTIONS

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        chosen = [self.which.choose(output[n], model) for n in range(len(output))]
        names = tuple(
            f"similarity to {self.which.words(output[n], box, k, model)}" for n, (box, k) in enumerate(chosen)
        )
        reference = np.stack([output[n, box] for n, (box, _) in enumerate(chosen)]).astype(np.float64)
        one = np.zeros((len(output), 1), dtype=np.int64)
        boxes = reference[:, :CORNERS]
        return [TargetTerm(DETECTIONS, SIMILARITY, one, np.ones(one.shape), names, reference, boxes, "similarity")]
