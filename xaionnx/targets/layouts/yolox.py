"""YOLOX: boxes that the graph leaves relative to the cells of grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self, final

import numpy as np

from xaionnx.graph.view import GraphView
from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners
from xaionnx.targets.layouts._rows import BoxRows, box_rows
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# The grids of YOLOX, without and with the coarsest level of its larger versions.
_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64))
# A graph that decodes boxes computes with the head's output; one that does not only moves it.
_DECODING: Final = frozenset({"Exp", "Pow", "Add", "Sub"})


@final
@dataclass(frozen=True)
class YoloX(BoxRows, BoxLayout):
    """Boxes (N, B, 5 + K) of which the graph returns the offset from a grid cell and the logarithm of the size.

    With the stride s of a cell at column i and row j, the centre is ``(x + i, y + j) s`` and the size ``exp(w, h) s``
    (Ge et al. 2021, arXiv:2107.08430).

    Attributes
    ----------
    strides : tuple of int
        The size of a cell in pixels, for each grid in the order of the boxes.
    picture : (int, int)
        Height and width of the model's input.
    """

    rank: ClassVar[int] = 20

    strides: tuple[int, ...] = ()
    picture: tuple[int, int] = (0, 0)

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        stated = detector.stated(cls)
        counts = [array.shape[1] for array in detector.outputs.values() if array.ndim == 3]
        strides = next((s for s in _STRIDES if _cells(detector.size, s) in counts), None)
        rows = box_rows(detector, True if stated else None, known=strides is not None)
        if rows is None or not rows.objectness:
            return None
        if strides is None or (not stated and _decodes(detector.model.view, rows.tensor)):
            return None
        fields = {**vars(rows), "size": None}
        return cls(**fields, strides=strides, picture=detector.size)

    @property
    def grid(self) -> tuple[Array, Array]:
        """The column, row (B, 2) and stride (B, 1) of each box's cell."""
        cells, sizes = [], []
        for stride in self.strides:
            rows, columns_ = (side // stride for side in self.picture)
            j, i = np.mgrid[:rows, :columns_]
            cells.append(np.stack([i.ravel(), j.ravel()], axis=1))
            sizes.append(np.full((rows * columns_, 1), stride))
        return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        rows, objectness, scores = self.emit_rows(g, tensors)
        cells, strides = self.grid
        centres = g.op("Mul", g.op("Add", columns(g, rows, 0, 1), cells[None]), strides[None])
        sizes = g.op("Mul", g.op("Exp", columns(g, rows, 2, 3)), strides[None])
        return Emitted(to_corners(g, centres, sizes), objectness, scores)


def _cells(size: tuple[int, int], strides: tuple[int, ...]) -> int:
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def _decodes(view: GraphView, tensor: str) -> bool:
    """Whether the graph computes with the outputs of the last convolutions before ``tensor``."""
    waiting, seen = [tensor], {tensor}
    while waiting:
        node = view.producers.get(waiting.pop())
        if node is None or node.op_type in ("Conv", "FusedConv", "QLinearConv", "Shape"):
            continue
        if node.op_type in _DECODING:
            return True
        new = [name for name in node.input if name and name not in seen]
        seen.update(new)
        waiting += new
    return False
