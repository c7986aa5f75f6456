"""YOLOv3 and YOLOv4 with one output a stride, relative to anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.targets.layouts._anchors import COCO_ANCHORS, LATER_COCO_ANCHORS, AnchorBoxes, Anchors


@final
@dataclass(frozen=True)
class YoloV3Heads(AnchorBoxes):
    """Outputs (N, A (5 + K), H, W), (N, A, H, W, 5 + K) or with the channels last, for each stride s.

    With an anchor (a, b), the centre of the box of column i and row j is ``(sigmoid(tx) + i, sigmoid(ty) + j) s`` and
    its size ``(a exp(tw), b exp(th))`` (Redmon and Farhadi 2018, arXiv:1804.02767); YOLOv4 stretches the sigmoids of
    the centre by 1.05 to 1.2 about their middle (Bochkovskiy et al. 2020, arXiv:2004.10934). The sigmoids may be in the
    graph. Files trained on other data may have other anchors, so they must be stated.
    """

    rank: ClassVar[int] = 60
    published: ClassVar[Mapping[str, Anchors]] = {
        "yolov3": Anchors(COCO_ANCHORS, (1.0,) * 3),
        "yolov3-tiny": Anchors(((10, 14, 23, 27, 37, 58), (81, 82, 135, 169, 344, 319)), (1.0,) * 2),
        "yolov4": Anchors(LATER_COCO_ANCHORS, (1.2, 1.1, 1.05)),
        "yolov4-tiny": Anchors(((23, 27, 37, 58, 81, 82), (81, 82, 135, 169, 344, 319)), (1.05,) * 2),
    }
