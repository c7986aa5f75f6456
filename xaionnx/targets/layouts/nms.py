"""Detectors that suppress double boxes in the graph: the candidates from which it selects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, final

import numpy as np

from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners, to_pixels
from xaionnx.targets.layouts._rows import SHARE
from xaionnx.targets.layouts._selection import selecting_nodes_of
from xaionnx.targets.layouts.selected import Selected

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True)
class Nms(BoxLayout):
    """The operands of a NonMaxSuppression node: boxes (N, B, 4) and scores (N, K, B) of all candidates.

    The output holds only the selected boxes, in places that change with the input, and no gradient passes the
    selection. A selected box is the same box among the candidates, with the same score.

    Attributes
    ----------
    boxes, scores : str
        The operands.
    centres : bool
        Whether boxes are centres and sizes rather than corners.
    y_first : bool
        Whether the order of the corners is y0 x0 y1 x1.
    size : (int, int) or None
        Height and width of the picture, if the coordinates are shares of them.
    """

    rank: ClassVar[int] = 10

    boxes: str
    scores: str
    centres: bool
    y_first: bool
    size: tuple[int, int] | None

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        view = detector.model.view
        outputs = [info.name for info in detector.model.outputs]
        before = view.ancestors(outputs)
        nodes = [n for n in view.nodes if n.op_type == "NonMaxSuppression" and not before.isdisjoint(n.output)]
        if len(nodes) != 1:
            return None
        [node] = nodes
        boxes, scores = node.input[:2]
        if {boxes, scores} & selecting_nodes_of(view, outputs) or not {boxes, scores} <= {*view.tensor_names}:
            return None
        values = first_outputs(detector.model, detector.feeds, [boxes, scores])
        if len(values[boxes]) != 1:
            return None
        if values[scores].shape[1] == 1 and _several_classes(detector):
            return None
        in_shares = bool(np.abs(values[boxes]).max() <= SHARE)
        centres = bool(view.attributes(node).get("center_point_box", 0))
        producer = detector.model.file.proto.producer_name.lower()
        y_first = not centres and any(word in producer for word in ("tf2onnx", "tensorflow", "keras"))
        return cls(boxes, scores, centres, y_first, detector.size if in_shares else None)

    @property
    def words(self) -> str:
        order = "centre and size" if self.centres else "y0 x0 y1 x1" if self.y_first else "x0 y0 x1 y1"
        return f"candidates of the graph's NonMaxSuppression: boxes '{self.boxes}' ({order}), scores '{self.scores}'"

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        boxes = g.op("Cast", tensors[self.boxes], to=1)
        scores = g.op("Transpose", g.op("Cast", tensors[self.scores], to=1), perm=[0, 2, 1])
        if self.centres:
            boxes = to_corners(g, columns(g, boxes, 0, 1), columns(g, boxes, 2, 3))
        elif self.y_first:
            boxes = columns(g, boxes, 1, 0, 3, 2)
        return Emitted(boxes if self.size is None else to_pixels(g, boxes, self.size), None, scores)


def _several_classes(detector: Detector) -> bool:
    """Whether the boxes have classes, although the node sees one score of each.

    Such graphs keep the classes apart by moving the boxes of each far away, so the node's boxes are not the real ones.
    """
    selected = Selected.find(detector)
    return len(detector.labels) > 1 or (selected is not None and selected.classes > 1)
