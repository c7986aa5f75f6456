"""RetinaFace and UltraFace without their decoding: boxes relative to published anchors that are not in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self, final

import numpy as np

from xaionnx.targets.layout import BoxLayout, Detector, Emitted, columns, to_corners
from xaionnx.targets.layouts._separate import SeparateOutputs, separate_outputs
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Sides of the square anchors of a cell in pixels, by stride.
_ANCHORS: Final[Mapping[str, Mapping[int, tuple[int, ...]]]] = {
    "RetinaFace": {8: (16, 32), 16: (64, 128), 32: (256, 512)},
    "UltraFace": {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)},
}
# The factors by which offsets and logarithms of sizes were divided for training.
_CENTRE, _SIZE = np.float32(0.1), np.float32(0.2)


@final
@dataclass(frozen=True)
class RetinaFace(SeparateOutputs, BoxLayout):
    """Boxes (N, B, 4) relative to anchors, and scores (N, B, 2) of background and face.

    With an anchor of centre a and side s, the centre of its box is ``a + 0.1 (x, y) s`` and its size
    ``exp(0.2 (w, h)) s`` (Liu et al. 2016, arXiv:1512.02325; Deng et al. 2020, arXiv:1905.00641). Recognised if the
    number of boxes is that of the anchors of RetinaFace, with key points beside, or of UltraFace.

    Attributes
    ----------
    anchors : str
        Whose anchors: RetinaFace or UltraFace.
    picture : (int, int)
        Height and width of the model's input.
    """

    rank: ClassVar[int] = 45

    anchors: str = ""
    picture: tuple[int, int] = (0, 0)

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        found = separate_outputs(detector)
        if found is None or found.has_positions or found.classes != 2:
            return None
        count = detector.outputs[found.boxes].shape[1]
        points = any(array.shape == (1, count, 10) for array in detector.outputs.values())
        for name in _ANCHORS:
            if len(_anchors(name, detector.size)[0]) == count and points == (name == "RetinaFace"):
                fields = {**vars(found), "background": 0, "size": None}
                return cls(**fields, anchors=name, picture=detector.size)
        return None

    @property
    def words(self) -> str:
        return (
            f"boxes '{self.boxes}' relative to the anchors of {self.anchors}, scores '{self.scores}' of "
            f"{self.classes} classes, class {self.background} is the background"
        )

    @property
    def has_positions(self) -> bool:
        return True

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        relative, objectness, scores = super().emit(g, tensors)
        centres, sides = _anchors(self.anchors, self.picture)
        moved = g.op("Add", g.op("Mul", columns(g, relative, 0, 1), (_CENTRE * sides)[None]), centres[None])
        sizes = g.op("Mul", g.op("Exp", g.op("Mul", columns(g, relative, 2, 3), _SIZE)), sides[None])
        return Emitted(to_corners(g, moved, sizes), objectness, scores)


def _anchors(name: str, size: tuple[int, int]) -> tuple[Array, Array]:
    """The centres (B, 2) and sides (B, 1) of the anchors, in pixels."""
    centres, sides = [], []
    for stride, each in _ANCHORS[name].items():
        i, j = np.mgrid[tuple(slice(-(-side // stride)) for side in size)]
        middles = (np.stack([j.ravel(), i.ravel()], axis=1) + 0.5) * stride
        centres.append(np.repeat(middles, len(each), axis=0))
        sides.append(np.tile(each, len(middles))[:, None])
    return np.concatenate(centres).astype(np.float32), np.concatenate(sides).astype(np.float32)
