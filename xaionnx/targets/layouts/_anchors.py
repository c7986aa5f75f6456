"""Heads whose boxes are relative to anchors, the sizes of typical boxes, which are not in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Self

import numpy as np

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.hooks import hook
from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners
from xaionnx.targets.layouts._grids import Grid, Part, are_logits, parts
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

COCO_ANCHORS: Final = (
    (10, 13, 16, 30, 33, 23),
    (30, 61, 62, 45, 59, 119),
    (116, 90, 156, 198, 373, 326),
)
"""Anchors of YOLOv3 and YOLOv5."""
LATER_COCO_ANCHORS: Final = (
    (12, 16, 19, 36, 40, 28),
    (36, 75, 76, 55, 72, 146),
    (142, 110, 192, 243, 459, 401),
)
"""Anchors of YOLOv4 and YOLOv7."""
# The numbers of classes of COCO and Pascal VOC.
_CLASSES: Final = (80, 20)
# Feature maps have a number of channels that this divides.
_CHANNELS: Final = 8


class Anchors(NamedTuple):
    """Anchors of a published detector.

    Attributes
    ----------
    sizes : tuple of tuple of float
        Width and height of each anchor of a cell in pixels, one after the other, for each grid from the finest.
    reach : tuple of float
        By how many cells a centre may move, for each grid; 1 for the cell itself.
    """

    sizes: tuple[tuple[float, ...], ...]
    reach: tuple[float, ...] = ()


@dataclass(frozen=True)
class AnchorBoxes(BoxLayout):
    """Centres relative to a cell, sizes relative to an anchor, objectness and class scores for each anchor of a cell.

    Attributes
    ----------
    rows : Part
    grid : Grid
    anchors : Anchors
    centre_logits, score_logits : bool
        Whether the sigmoid of the centres, and of objectness and scores, is left out of the graph.
    published : mapping of str to Anchors
        The anchors that may be stated by name.
    exponential : bool
        Whether sizes are logarithms, which sigmoids in the graph leave out.
    """

    settings: ClassVar[str] = "the name of published anchors, or their sizes"
    published: ClassVar[Mapping[str, Anchors]]
    exponential: ClassVar[bool] = True

    rows: Part
    grid: Grid
    anchors: Anchors
    centre_logits: bool
    score_logits: bool

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        if not detector.stated(cls):
            _refuse_unstated(detector)
            return None
        anchors = _read(detector.setting, cls.published, cls.name())
        found = _heads(detector, sorted({len(sizes) // 2 for sizes in anchors.sizes}))
        if found is None:
            return None
        grid, rows = found
        if len(grid.strides) != len(anchors.sizes):
            raise ParameterError(
                f"The anchors of boxes = '{cls.name()}' are of {len(anchors.sizes)} grids, but {detector.model.name} "
                f"has {len(grid.strides)}, of strides {', '.join(map(str, grid.strides))}."
            )
        values = rows.read(detector.outputs)
        centre_logits = are_logits(values[:, :2])
        if not centre_logits and cls.exponential == bool(values[:, 2:4].min() >= 0):
            raise ParameterError(
                f"The spec of {detector.model.name} states boxes = '{cls.name()}', but its graph returns the sigmoids "
                f"of the centres and sizes of which {'none is' if cls.exponential else 'some are'} negative, which is "
                "another layout."
            )
        return cls(rows, grid, anchors, centre_logits, are_logits(values[:, 4:]))

    @property
    def words(self) -> str:
        sizes = "; ".join(",".join(f"{number:g}" for number in each) for each in self.anchors.sizes)
        return (
            f"boxes relative to the anchors {sizes} of {self.grid.words}, {', '.join(self.rows.tensors)}: centre, "
            f"size, objectness, {self.rows.numbers - 5} class scores"
        )

    @hook
    def sizes(self, g: Builder, values: ir.Value) -> ir.Value:
        """Add nodes that return the sizes of boxes (N, B, 2) in anchors."""
        return g.op("Exp", values)

    @hook
    def probabilities(self, g: Builder, logits: ir.Value) -> ir.Value:
        """Add nodes that return the probabilities (N, B, K) of classes."""
        return g.op("Sigmoid", logits)

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        """Add nodes that return the corners (N, B, 4) in pixels, the objectness, and the scores times objectness."""
        rows = self.rows.rows(g, tensors)
        corners, strides = self.grid.corners()
        sizes, reach = self._of_boxes()
        moved = columns(g, rows, 0, 1)
        moved = g.op("Sigmoid", moved) if self.centre_logits else moved
        moved = g.op("Sub", g.op("Mul", moved, reach[None]), (reach[None] - 1) / 2)
        centres = g.op("Add", g.op("Mul", moved, strides[None]), corners[None])
        objectness, scores = columns(g, rows, 4), columns(g, rows, *range(5, self.rows.numbers))
        if self.score_logits:
            objectness, scores = g.op("Sigmoid", objectness), self.probabilities(g, scores)
        boxes = g.op("Mul", self.sizes(g, columns(g, rows, 2, 3)), sizes[None])
        return Emitted(to_corners(g, centres, boxes), objectness, g.op("Mul", scores, objectness))

    def _of_boxes(self) -> tuple[Array, Array]:
        """The anchor (B, 2) and the reach (B, 1) of each box."""
        sizes, reach = [], []
        for level, count in enumerate(self.grid.counts()):
            anchors = np.array(self.anchors.sizes[level], dtype=np.float32).reshape(-1, 2)
            sizes.append(np.tile(anchors, (count // len(anchors), 1)))
            reach.append(np.full((count, 1), self.anchors.reach[level] if self.anchors.reach else 1, np.float32))
        return np.concatenate(sizes), np.concatenate(reach)


def _heads(detector: Detector, anchors: Sequence[int]) -> tuple[Grid, Part] | None:
    """The outputs of a detector that returns all numbers of a box together; None if it does not."""
    heads = [
        (grid, found[0]) for grid, found in parts(detector, anchors, 1) if len(found) == 1 and found[0].numbers > 5
    ]
    return heads[0] if len(heads) == 1 else None


def _read(setting: str, published: Mapping[str, Anchors], layout: str) -> Anchors:
    """The anchors for what follows the name of a layout."""
    if setting in published:
        return published[setting]
    try:
        sizes = tuple(tuple(float(number) for number in grid.replace(",", " ").split()) for grid in setting.split(";"))
    except ValueError:
        sizes = ()
    numbers = [number for grid in sizes for number in grid]
    same = {len(grid) for grid in sizes}
    if not numbers or len(same) != 1 or min(same) % 2 or not all(np.isfinite(numbers)) or min(numbers) <= 0:
        raise ParameterError(
            f"The layout '{layout}' needs anchors: state boxes = '{layout}:NAME' with one of "
            f"{', '.join(published)}, or their widths and heights in pixels for each grid from the finest, as in "
            f"'{layout}:10,13 16,30 33,23; 30,61 62,45 59,119'. Got {setting!r} instead."
        )
    return Anchors(sizes, next(iter(published.values())).reach[:1] * len(sizes))


def _refuse_unstated(detector: Detector) -> None:
    """Raise UnsupportedModelError if the outputs look like boxes relative to anchors, which must be stated."""
    for grid, [rows, *others] in parts(detector, (3, 5), 1):
        grids, classes = len(grid.strides), rows.numbers - 5
        several = grids > 1 if grid.anchors == 3 else grids == 1
        five = len(detector.outputs[rows.tensors[0]].shape) == 5
        odd = (rows.numbers * grid.anchors) % _CHANNELS and grids > 1
        if others or classes < 1 or not several:
            continue
        if five or odd or classes in (len(detector.labels), *_CLASSES):
            raise UnsupportedModelError(
                f"The outputs of {detector.model.name} are boxes relative to anchors on {grid.words}, "
                "but nothing in the file tells the anchors. State them in [output] of "
                "its .toml file: boxes = 'yolo_v5_heads:yolov5' (or yolov5-p6, yolov7), 'yolo_v3_heads:yolov3' (or "
                "yolov3-tiny, yolov4, yolov4-tiny), 'yolo_v2_heads:yolov2' (or yolov2-voc, "
                "yolov2-tiny-voc), or with anchors of your own, 'yolo_v5_heads:10,13 16,30 33,23; 30,61 ...'."
            )
