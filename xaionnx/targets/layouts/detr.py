"""DETR and its kin: centres and sizes of the boxes of all queries in one output, class logits in another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._separate import SeparateOutputs, separate_outputs


@final
@dataclass(frozen=True)
class Detr(SeparateOutputs, BoxLayout):
    """Boxes (N, Q, 4) as centre and size, and class logits (N, Q, K + 1) with "no object" last, or (N, Q, K).

    What is explained is the probability of a class: of a softmax if there is a class for no object (Carion et al.
    2020, arXiv:2005.12872), else of a sigmoid.
    """

    rank: ClassVar[int] = 51

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        found = separate_outputs(detector)
        if found is None:
            return None
        if detector.stated(cls):
            found = dataclasses.replace(found, coordinates="centre and size")
        return cls(*dataclasses.astuple(found)) if found.coordinates == "centre and size" else None
