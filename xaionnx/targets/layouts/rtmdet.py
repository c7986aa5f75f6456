"""RTMDet: distances from the corner of a cell to the sides of its box, in pixels or in cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, distance_boxes, unit_is_pixels


@final
@dataclass(frozen=True)
class RtmDet(DistanceBoxes, BoxLayout):
    """Scores (N, K, H, W) and distances (N, 4, H, W) for each stride s, whose grids are decoded here.

    The corners of the box of column i and row j are ``(i s - left, j s - top, i s + right, j s + bottom)`` with
    distances in pixels (Lyu et al. 2022, arXiv:2212.07784; the heads of MMDetection), or in cells, times s (those of
    MMYOLO). Nothing in a file tells which, nor where in a cell distances start, so it must be stated.
    """

    rank: ClassVar[int] = 63
    settings: ClassVar[str] = "pixels or cells"

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        if not detector.stated(cls):
            return None
        found = distance_boxes(detector, 0.0, pixels=unit_is_pixels(detector))
        return None if found is None else cls(**vars(found))
