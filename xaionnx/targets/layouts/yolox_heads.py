"""YOLOX with one output a stride: offsets from the cells of grids, logarithms of sizes, objectness and class scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, final

from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners
from xaionnx.targets.layouts._grids import Grid, Part, are_logits, parts
from xaionnx.targets.layouts._rows import joined_sizes

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True)
class YoloXHeads(BoxLayout):
    """Outputs (N, 5 + K, H, W) for each stride s; boxes are decoded as those of :mod:`xaionnx.targets.layouts.yolox`.

    Recognised by as many channels as the labels say, or by the sizes (4, 1, K) that the graph concatenates.

    Attributes
    ----------
    rows : Part
    grid : Grid
    logits : bool
        Whether the objectness and the scores are logits.
    """

    rank: ClassVar[int] = 27

    rows: Part
    grid: Grid
    logits: bool

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        heads = [(grid, found[0]) for grid, found in parts(detector) if len(found) == 1 and grid.anchors == 1]
        if len(heads) != 1:
            return None
        [(grid, rows)] = heads
        sizes = joined_sizes(detector, rows.tensors[0], rows.numbers)
        known = detector.stated(cls) or rows.numbers == 5 + len(detector.labels) > 5 or sizes[:2] == (4, 1)
        if not known or rows.numbers < 6:
            return None
        return cls(rows, grid, are_logits(rows.read(detector.outputs)[:, 4:]))

    @property
    def words(self) -> str:
        strides = ", ".join(map(str, self.grid.strides))
        names = ", ".join(f"'{name}'" for name in self.rows.tensors)
        return f"{names} of strides {strides}: centre, size, objectness, {self.rows.numbers - 5} class scores"

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        rows = self.rows.rows(g, tensors)
        corners, strides = self.grid.corners()
        centres = g.op("Add", g.op("Mul", columns(g, rows, 0, 1), strides[None]), corners[None])
        sizes = g.op("Mul", g.op("Exp", columns(g, rows, 2, 3)), strides[None])
        certain = columns(g, rows, *range(4, self.rows.numbers))
        certain = g.op("Sigmoid", certain) if self.logits else certain
        objectness = columns(g, certain, 0)
        scores = g.op("Mul", columns(g, certain, *range(1, self.rows.numbers - 4)), objectness)
        return Emitted(to_corners(g, centres, sizes), objectness, scores)
