"""YOLOv8 with one output a stride: distributions of the distances to the sides of a box, and class scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, are_logits, parts
from xaionnx.targets.layouts._rows import joined_sizes

_BINS: Final = 16


@final
@dataclass(frozen=True)
class YoloV8Heads(DistanceBoxes, BoxLayout):
    """Outputs (N, 64 + K, H, W) for each stride s: four distributions over 16 distances, then K class scores.

    With the mean distances d in cells, the corners of the box of column i and row j are
    ``((i + 0.5 - left, j + 0.5 - top) s, (i + 0.5 + right, j + 0.5 + bottom) s)`` (Ultralytics YOLOv8; Li et al. 2020,
    arXiv:2006.04388). Recognised by as many channels as the labels say, or by the sizes (64, K) that the graph
    concatenates. Where boxes and scores are apart, it is :mod:`xaionnx.targets.layouts.picodet`.
    """

    rank: ClassVar[int] = 26

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        for grid, [rows, *others] in parts(detector, (1,)):
            classes = rows.numbers - 4 * _BINS
            if others or classes < 1:
                continue
            sizes = joined_sizes(detector, rows.tensors[0], rows.numbers)
            if detector.stated(cls) or classes == len(detector.labels) or sizes == (4 * _BINS, classes):
                scores = rows.taken(4 * _BINS, classes)
                logits = are_logits(scores.read(detector.outputs))
                return cls(scores, rows.taken(0, 4 * _BINS), grid, _BINS, 0.5, logits)
        return None
