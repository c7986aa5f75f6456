"""YOLOv5 and YOLOv7 with one output a stride, relative to anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

from xaionnx.targets.layouts._anchors import COCO_ANCHORS, LATER_COCO_ANCHORS, AnchorBoxes, Anchors

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_LARGER: Final = (
    (19, 27, 44, 40, 38, 94),
    (96, 68, 86, 152, 180, 137),
    (140, 301, 303, 264, 238, 542),
    (436, 615, 739, 380, 925, 792),
)


@final
@dataclass(frozen=True)
class YoloV5Heads(AnchorBoxes):
    """Outputs (N, A (5 + K), H, W) or (N, A, H, W, 5 + K) for each stride s, with or without their sigmoid.

    With the sigmoids t of what the convolutions return and an anchor (a, b), the centre of the box of column i and row
    j is ``(2 tx - 0.5 + i, 2 ty - 0.5 + j) s`` and its size ``(a (2 tw)^2, b (2 th)^2)`` (Ultralytics YOLOv5; Wang et
    al. 2022, arXiv:2207.02696). Files trained on other data may have other anchors, so they must be stated.
    """

    rank: ClassVar[int] = 61
    exponential: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Anchors]] = {
        "yolov5": Anchors(COCO_ANCHORS, (2.0,) * 3),
        "yolov5-p6": Anchors(_LARGER, (2.0,) * 4),
        "yolov7": Anchors(LATER_COCO_ANCHORS, (2.0,) * 3),
        "yolov7-tiny": Anchors(COCO_ANCHORS, (2.0,) * 3),
    }

    def sizes(self, g: Builder, values: ir.Value) -> ir.Value:
        # The sigmoid stands in one node for all numbers of a row.
        shares = g.op("Sigmoid", values) if self.centre_logits else values
        return g.op("Mul", g.op("Mul", shares, shares), 4.0)
