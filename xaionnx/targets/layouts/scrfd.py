"""SCRFD: distances from the corner of a cell to the sides of its boxes, one output a stride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, final

from xaionnx.errors import UnsupportedModelError
from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, distance_boxes

# The grids of the files of InsightFace: strides and boxes of a cell.
_PUBLISHED: Final = (((8, 16, 32), 2), ((8, 16, 32, 64, 128), 1))


@final
@dataclass(frozen=True)
class Scrfd(DistanceBoxes, BoxLayout):
    """Scores (B, 1) or (N, B, 1) and distances (B, 4) or (N, B, 4) for each stride s, perhaps with five key points.

    With the distances in cells, the corners of a box of column i and row j are
    ``((i - left, j - top) s, (i + right, j + bottom) s)`` (Guo et al. 2021, arXiv:2105.04714). Scores of one class on
    the grids of InsightFace are recognised; other files may measure distances in pixels, or from the middle of
    a cell, so the layout must be stated for them.
    """

    rank: ClassVar[int] = 26

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        found = distance_boxes(detector, 0.0)
        if found is None:
            return None
        published = found.scores.numbers == 1 and (found.grid.strides, found.grid.anchors) in _PUBLISHED
        # FCOS has maps of five strides too, whose third kind of numbers is not that of key points.
        published = published and (found.grid.anchors > 1 or "H" not in found.scores.axes.name)
        if not published and not detector.stated(cls):
            raise UnsupportedModelError(
                f"The outputs of {detector.model.name} are boxes on grids of four numbers each, but nothing in the "
                "file tells what they are. If they are distances of the sides, state in [output] of its .toml file "
                "boxes = 'scrfd' (from the upper left corner of a cell, in cells) or 'rtmdet:pixels' (in pixels), or "
                "'fcos:cells' or 'fcos:pixels' (from its middle); else add nodes that compute corners to the graph."
            )
        return cls(**vars(found))
