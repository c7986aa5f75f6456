"""YOLOv2: one output for cells of 32 pixels, relative to anchors, whose classes share a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.targets.layouts._anchors import AnchorBoxes, Anchors

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


def _pixels(*cells: float) -> Anchors:
    return Anchors((tuple(32 * number for number in cells),), (1.0,))


@final
@dataclass(frozen=True)
class YoloV2Heads(AnchorBoxes):
    """An output (N, A (5 + K), H, W), of five anchors mostly.

    With an anchor (a, b), the centre of the box of column i and row j is ``(sigmoid(tx) + i, sigmoid(ty) + j) 32`` and
    its size ``(a exp(tw), b exp(th))``; the scores of the classes are a softmax times the sigmoid of the objectness
    (Redmon and Farhadi 2017, arXiv:1612.08242). Anchors are in pixels, and must be stated.
    """

    rank: ClassVar[int] = 62
    published: ClassVar[Mapping[str, Anchors]] = {
        "yolov2": _pixels(0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828),
        "yolov2-voc": _pixels(1.3221, 1.73145, 3.19275, 4.00944, 5.05587, 8.09892, 9.47112, 4.84053, 11.2364, 10.0071),
        "yolov2-tiny-voc": _pixels(1.08, 1.19, 3.42, 4.41, 6.63, 11.38, 9.42, 5.11, 16.62, 10.52),
    }

    def probabilities(self, g: Builder, logits: ir.Value) -> ir.Value:
        return g.op("Softmax", logits, axis=2)
