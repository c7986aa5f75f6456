"""CenterFace: one grid of scores, of logarithms of sizes, of offsets of the centres, and of five key points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self, final

import numpy as np

from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners
from xaionnx.targets.layouts._grids import Axes, Grid

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

_STRIDE: Final = 4
# Scores, sizes, offsets and key points, in the order of the outputs.
_CHANNELS: Final = (1, 2, 2, 10)


@final
@dataclass(frozen=True)
class CenterFace(BoxLayout):
    """Outputs (N, 1, H, W), (N, 2, H, W), (N, 2, H, W) and (N, 10, H, W) in cells of 4 pixels, rows before columns.

    The centre of the box of column i and row j is ``(i + x + 0.5, j + y + 0.5)`` and its size ``exp(w, h)``, in cells
    (Xu et al. 2020, arXiv:1911.03599).

    Attributes
    ----------
    scores, sizes, offsets : str
        The outputs.
    grid : Grid
    """

    rank: ClassVar[int] = 28

    scores: str
    sizes: str
    offsets: str
    grid: Grid

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        cells = tuple(-(-side // _STRIDE) for side in detector.size)
        names = [name for name, array in detector.outputs.items() if array.ndim == 4 and array.shape[2:] == cells]
        if tuple(detector.outputs[name].shape[1] for name in names) != _CHANNELS:
            return None
        scores, sizes, offsets, _ = names
        return cls(scores, sizes, offsets, Grid((_STRIDE,), 1, detector.size))

    @property
    def words(self) -> str:
        return f"cells of {_STRIDE} pixels: scores '{self.scores}', sizes '{self.sizes}', offsets '{self.offsets}'"

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        axes = Axes("N C H W")
        scores = axes.rows(g, tensors[self.scores], 1)
        sizes, offsets = (axes.rows(g, tensors[name], 2) for name in (self.sizes, self.offsets))
        places, strides = self.grid.corners()
        stride = np.array(_STRIDE, dtype=np.float32)
        middles = (places + strides / 2)[None]
        centres = g.op("Add", g.op("Mul", columns(g, offsets, 1, 0), stride), middles)
        return Emitted(to_corners(g, centres, g.op("Mul", g.op("Exp", columns(g, sizes, 1, 0)), stride)), None, scores)
