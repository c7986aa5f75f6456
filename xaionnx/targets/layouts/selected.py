"""Detectors that return only selected boxes: rows of box, class and score, or separate outputs for these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self, final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.targets.detections import OBJECTNESS
from xaionnx.targets.layout import DETECTIONS, BoxLayout, Detector, Emitted, columns, to_pixels
from xaionnx.targets.layouts._rows import SHARE
from xaionnx.targets.layouts._selection import candidates, selecting_nodes_of
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Places of the first corner, the score and the class in a row, by its length: end-to-end YOLO and DETR, YOLOv7,
# PaddleDetection; and with the number of the picture first, YOLOv7 and OpenVINO.
_ROWS: Final = {6: ((0, 4, 5), (0, 5, 4), (2, 1, 0)), 7: ((1, 6, 5), (3, 2, 1))}


@final
@dataclass(frozen=True)
class Selected(BoxLayout):
    """Selected boxes, at most M of each picture, best first.

    The places of the boxes change with the input. A score is therefore read where it comes from: from the tensor
    before the selection that holds exactly this number, among all candidates in fixed places.

    Attributes
    ----------
    boxes, scores, labels : str
        The outputs; the same one if a row holds all three.
    columns : (int, int, int)
        Where the first corner, the score and the class are in a row.
    width : int
        Length of a row.
    batched : bool
        Whether the outputs have a batch axis; without one, a run is of one picture.
    classes : int
    size : (int, int) or None
        Height and width of the picture, if the coordinates are shares of them.
    sources : tuple of str
        The tensors before the selection.
    """

    rank: ClassVar[int] = 12

    boxes: str
    scores: str
    labels: str
    columns: tuple[int, int, int]
    width: int
    batched: bool
    classes: int
    size: tuple[int, int] | None
    sources: tuple[str, ...]

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        names = [info.name for info in detector.model.outputs]
        selected = selecting_nodes_of(detector.model.view, names)
        outputs = {name: array for name, array in detector.outputs.items() if name in selected}
        for boxes, scores, labels, places in (*_in_rows(outputs), *_apart(outputs)):
            batched = outputs[boxes].ndim == 3
            corners = _take(outputs[boxes], 4, places[0])
            in_shares = bool(np.abs(corners).max(initial=0) <= SHARE)
            numbers = _take(outputs[labels], 1, places[2])
            classes = max(len(detector.labels), int(numbers.max(initial=0)) + 1)
            size = detector.size if in_shares else None
            sources = candidates(detector.model, [scores])
            width = outputs[boxes].shape[-1]
            return cls(boxes, scores, labels, places, width, batched, classes, size, sources)
        return None

    @property
    def words(self) -> str:
        names = ", ".join(f"'{name}'" for name in dict.fromkeys((self.boxes, self.scores, self.labels)))
        return f"boxes selected in the graph, {names}; their scores are read from {', '.join(self.sources)}"

    @property
    def has_batch(self) -> bool:
        return self.batched

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        def part(name: str, width: int, first: int) -> ir.Value:
            value = g.op("Cast", tensors[name], to=1)
            if self.boxes != self.scores:
                return g.reshape(value, np.array([0 if self.batched else 1, -1, width]))
            rows = value if self.batched else g.reshape(value, np.array([1, -1, self.width]))
            return columns(g, rows, *range(first, first + width))

        corner, score, label = self.columns
        boxes, scores = part(self.boxes, 4, corner), part(self.scores, 1, score)
        numbers = np.arange(self.classes, dtype=np.int64)[None, None]
        chosen = g.op("Equal", g.op("Cast", part(self.labels, 1, label), to=7), numbers)
        each = g.op("Mul", g.op("Cast", chosen, to=1), scores)
        boxes = boxes if self.size is None else to_pixels(g, boxes, self.size)
        if self.batched:
            return Emitted(boxes, scores, each)
        # An empty box, since there may be no other.
        padded = [
            g.op("Concat", value, np.zeros((1, 1, width), dtype=np.float32), axis=1)
            for value, width in ((boxes, 4), (scores, 1), (each, self.classes))
        ]
        return Emitted(*padded)

    @property
    def reads(self) -> tuple[str, ...]:
        return self.sources

    def element(self, outputs: Mapping[str, Array], n: int, detection: Array, box: int, k: int) -> tuple[str, int]:
        score = outputs[DETECTIONS][n, box, OBJECTNESS]
        for name in self.sources:
            values = outputs[name]
            if values.dtype.kind != "f" or len(values) != len(outputs[DETECTIONS]):
                continue
            places = np.flatnonzero(values[n].astype(np.float32) == score)
            if len(places) > 1 and values.ndim == 3:
                # Candidates with the same score: those of this class, in either order of the axes.
                rows, cols = np.unravel_index(places, values.shape[1:])
                classes = cols if values.shape[1] > values.shape[2] else rows
                places = places[classes == k]
            if len(places) == 1:
                return name, int(places[0])
        raise UnsupportedModelError(
            f"No tensor before the selection of boxes holds the score {score:.4g} of this box in one fixed place, as "
            "in detectors that propose boxes first. Use Target.detection with a method that removes parts of the "
            "input: d_rise, occlusion, kernel_shap."
        )


def _in_rows(outputs: Mapping[str, Array]) -> Iterator[tuple[str, str, str, tuple[int, int, int]]]:
    """Outputs whose rows hold box, score and class, and where."""
    for name, array in outputs.items():
        if array.dtype.kind != "f" or array.shape[-1:] not in ((6,), (7,)) or array.ndim not in (2, 3):
            continue
        rows = array.reshape(-1, array.shape[-1])
        for places in _ROWS[rows.shape[1]]:
            score, number = rows[:, places[1]], rows[:, places[2]]
            if ((score >= 0) & (score <= 1)).all() and (number == np.rint(number)).all():
                yield name, name, name, places
                break


def _apart(outputs: Mapping[str, Array]) -> Iterator[tuple[str, str, str, tuple[int, int, int]]]:
    """Three outputs for boxes, scores and classes."""
    for boxes, array in outputs.items():
        if array.dtype.kind != "f" or array.shape[-1:] != (4,) or array.ndim not in (2, 3):
            continue
        alike = [(name, one) for name, one in outputs.items() if one.shape == array.shape[:-1]]
        whole = [name for name, one in alike if (one == np.rint(one)).all()]
        shares = [name for name, one in alike if one.dtype.kind == "f" and name not in whole]
        if len(whole) == len(shares) == 1:
            yield boxes, shares[0], whole[0], (0, 0, 0)


def _take(array: Array, width: int, first: int) -> Array:
    """Some columns of rows; all numbers of an output that holds nothing else."""
    if array.ndim > 1 and array.shape[-1] > max(width, 4):
        return array.reshape(-1, array.shape[-1])[:, first : first + width]
    return array
