"""FCOS: distances from the middle of a cell to the sides of its box, with the centerness as a factor of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.errors import UnsupportedModelError
from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, distance_boxes, unit_is_pixels


@final
@dataclass(frozen=True)
class Fcos(DistanceBoxes, BoxLayout):
    """Scores (N, K, H, W), distances (N, 4, H, W) and mostly centerness (N, 1, H, W) for each stride s.

    The corners of the box of column i and row j are ``((i + 0.5) s - left, (j + 0.5) s - top, (i + 0.5) s + right,
    (j + 0.5) s + bottom)`` with distances in pixels, or in cells, times s; the score of a class is its probability
    times the centerness (Tian et al. 2019, arXiv:1904.01355), of which torchvision returns the square root. Nothing
    in a file tells the unit, so it must be stated.
    """

    rank: ClassVar[int] = 29
    settings: ClassVar[str] = "pixels or cells"

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        stated = detector.stated(cls)
        found = distance_boxes(detector, 0.5, pixels=stated and unit_is_pixels(detector), centerness=True)
        if found is None or (found.centerness is None and not stated):
            return None
        if not stated:
            raise UnsupportedModelError(
                f"The outputs of {detector.model.name} are boxes on grids, as distances to their sides, with "
                "centerness, but nothing in the file tells the unit of the distances. State in [output] of its .toml "
                "file boxes = 'fcos:pixels' (MMDetection, AdelaiDet) or boxes = 'fcos:cells' (torchvision, MMYOLO)."
            )
        return cls(**vars(found))
