"""GFL and NanoDet-Plus: distributions of the distances from the corner of a cell to the sides of its box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.errors import UnsupportedModelError
from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, distance_boxes


@final
@dataclass(frozen=True)
class Gfl(DistanceBoxes, BoxLayout):
    """Scores (N, B, K) and distributions (N, B, 4 R) for each stride s, whose grids are decoded here.

    With the mean distances in cells, the corners of the box of column i and row j are
    ``((i - left, j - top) s, (i + right, j + bottom) s)`` (Li et al. 2020, arXiv:2006.04388). Nothing in a file tells
    this from :class:`~xaionnx.targets.layouts.picodet.PicoDet`, half a cell away, so it must be stated.
    """

    rank: ClassVar[int] = 25

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        found = distance_boxes(detector, 0.0, distributed=True)
        if found is None:
            return None
        if not detector.stated(cls):
            raise UnsupportedModelError(
                f"The outputs of {detector.model.name} are boxes on grids, as distributions of the distances to their "
                "sides, but nothing in the file tells from where in a cell. State in [output] of its .toml file "
                "boxes = 'picodet' (the middle: PicoDet, NanoDet, YOLOv6) or boxes = 'gfl' (the upper left corner: "
                "MMDetection, NanoDet-Plus)."
            )
        return cls(**vars(found))
