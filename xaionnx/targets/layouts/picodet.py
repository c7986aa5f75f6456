"""PicoDet: distributions of the distances from the middle of a cell to the sides of its box, one output a stride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import DistanceBoxes, distance_boxes


@final
@dataclass(frozen=True)
class PicoDet(DistanceBoxes, BoxLayout):
    """Scores (N, B, K) and distributions (N, B, 4 R) for each stride s, whose grids are decoded here.

    With the mean distances d in cells, the corners of the box of column i and row j are
    ``((i + 0.5 - left, j + 0.5 - top) s, (i + 0.5 + right, j + 0.5 + bottom) s)`` (Yu et al. 2021, arXiv:2111.00902).
    Other files with such outputs may start from the corner of a cell; the layout is recognised in files of
    PaddlePaddle, and must be stated for others.
    """

    rank: ClassVar[int] = 24

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        from_paddle = "paddle" in detector.model.file.proto.producer_name.lower() or _has_paddle_names(detector)
        if not detector.stated(cls) and not from_paddle:
            return None
        found = distance_boxes(detector, 0.5, distributed=True)
        return None if found is None else cls(**vars(found))


def _has_paddle_names(detector: Detector) -> bool:
    """Whether the tensors have the names that PaddlePaddle gives, where the file does not name its producer."""
    return all(".tmp_" in name or name.startswith("p2o.") for name in detector.outputs)
