"""YOLOv8 and its kin: centre, width, height and class scores of each box."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._rows import BoxRows, box_rows


@final
@dataclass(frozen=True)
class YoloV8(BoxRows, BoxLayout):
    """Boxes without objectness, mostly (N, 4 + K, B)."""

    rank: ClassVar[int] = 40

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        stated = detector.stated(cls)
        rows = box_rows(detector, False if stated else None)
        return None if rows is None or rows.objectness else cls(*dataclasses.astuple(rows))
