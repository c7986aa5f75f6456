"""YOLOv5, YOLOv7 and their kin: centre, width, height, objectness and class scores of each box."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._rows import BoxRows, box_rows


@final
@dataclass(frozen=True)
class YoloV5(BoxRows, BoxLayout):
    """Boxes with an objectness, mostly (N, B, 5 + K), decoded to pixels by the graph.

    What is explained is the class score times the objectness.
    """

    rank: ClassVar[int] = 30

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        stated = detector.stated(cls)
        rows = box_rows(detector, True if stated else None)
        return cls(*dataclasses.astuple(rows)) if rows is not None and rows.objectness else None
