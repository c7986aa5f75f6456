"""SSD, RetinaFace and their kin: corners of all boxes in one output, class scores in another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._separate import SeparateOutputs, separate_outputs


@final
@dataclass(frozen=True)
class Ssd(SeparateOutputs, BoxLayout):
    """Corners (N, B, 4) and scores (N, B, K); the anchors are in the graph, or the positions are unknown.

    The background class, if there is one, is left out of the scores.
    """

    rank: ClassVar[int] = 50

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        found = separate_outputs(detector)
        usable = found is not None and found.coordinates != "centre and size"
        return cls(*dataclasses.astuple(found)) if found is not None and usable else None
