"""Detectors with separate outputs for the boxes (N, B, 4) and for their class scores (N, B, K)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.graph.ending import ending
from xaionnx.hooks import hook
from xaionnx.targets.layout import Detector, Emitted, columns, to_corners, to_pixels
from xaionnx.targets.layouts._rows import SHARE, VALID
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Parts of the names of outputs, where shapes do not decide.
_SCORES: Final = ("score", "conf", "cls", "class", "logit", "label")
_OTHERS: Final = ("land", "keypoint", "kps", "mask")
# Share of boxes of which one class is the highest, from which it counts as the background.
_MOSTLY: Final = 0.5


@dataclass(frozen=True)
class SeparateOutputs:
    """Two outputs: coordinates (N, B, 4) or (N, B, 1, 4), and scores (N, B, K) or (N, K, B).

    Attributes
    ----------
    boxes, scores : str
        The outputs.
    classes_first : bool
        Whether the order of the scores is (N, K, B).
    coordinates : str
        ``x0 y0 x1 y1``, ``y0 x0 y1 x1``, ``centre and size``, or ``unknown`` if the anchors are not in the graph.
    activation : str
        What converts the scores to probabilities: ``softmax``, ``sigmoid``, or ``identity`` if they are some.
    background : int or None
        The class that stands for no object.
    classes : int
        The number K of classes, with the background.
    size : (int, int) or None
        Height and width of the picture, if the coordinates are shares of them.
    """

    boxes: str
    scores: str
    classes_first: bool
    coordinates: str
    activation: str
    background: int | None
    classes: int
    size: tuple[int, int] | None

    @property
    @hook
    def words(self) -> str:
        background = "" if self.background is None else f", class {self.background} is the background"
        return (
            f"boxes '{self.boxes}' ({self.coordinates}), scores '{self.scores}' of {self.classes} classes{background}"
        )

    @property
    @hook
    def has_positions(self) -> bool:
        return self.coordinates != "unknown"

    def numbers(self, count: int) -> Sequence[int]:
        return [k for k in range(self.classes) if k != self.background]

    @hook
    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        keep_four, keep_classes = np.array([0, -1, 4]), np.array([0, -1, self.classes])
        boxes = g.reshape(g.op("Cast", tensors[self.boxes], to=1), keep_four)
        scores = g.op("Cast", tensors[self.scores], to=1)
        moves = self.classes_first
        scores = g.op("Transpose", scores, perm=[0, 2, 1]) if moves else g.reshape(scores, keep_classes)
        if self.activation == "softmax":
            scores = g.op("Softmax", scores, axis=2)
        elif self.activation == "sigmoid":
            scores = g.op("Sigmoid", scores)
        if self.background is not None:
            scores = columns(g, scores, *self.numbers(self.classes))
        if self.coordinates == "centre and size":
            boxes = to_corners(g, columns(g, boxes, 0, 1), columns(g, boxes, 2, 3))
        elif self.coordinates == "y0 x0 y1 x1":
            boxes = columns(g, boxes, 1, 0, 3, 2)
        return Emitted(boxes if self.size is None else to_pixels(g, boxes, self.size), None, scores)


def separate_outputs(detector: Detector) -> SeparateOutputs | None:
    """Return the two outputs of a detector that has such; None if it has none."""
    found = _pair(detector)
    if found is None or _is_sequence(detector, found[0]):
        return None
    boxes, scores = found
    rows = detector.outputs[boxes][0].reshape(-1, 4)
    array = detector.outputs[scores]
    classes_first = array.ndim == 3 and array.shape[2] == len(rows) != array.shape[1]
    values = array[0].T if classes_first else array[0].reshape(len(rows), -1)
    coordinates = _coordinates(rows, _is_tensorflow(detector))
    in_shares = coordinates != "unknown" and bool(np.abs(rows).max() <= SHARE)
    activation, background = _activation(values, ending(detector.model.view, scores), len(detector.labels))
    size = detector.size if in_shares else None
    return SeparateOutputs(boxes, scores, classes_first, coordinates, activation, background, values.shape[1], size)


def _is_sequence(detector: Detector, boxes: str) -> bool:
    """Whether a loop writes boxes one after the other, as those of the cells of a table, most of which are padding."""
    view = detector.model.view
    before = view.ancestors([boxes])
    return any(node.op_type in ("Loop", "Scan") and not before.isdisjoint(node.output) for node in view.nodes)


def _pair(detector: Detector) -> tuple[str, str] | None:
    """The outputs of boxes and of scores; others, such as key points, may be beside them."""
    floats = {name: array for name, array in detector.outputs.items() if array.dtype.kind == "f" and array.ndim > 2}
    fours = [name for name, a in floats.items() if a.shape[-1] == 4 and a.size == a.shape[1] * 4 and a.shape[1] > 1]
    pairs = []
    for boxes in fours:
        count = floats[boxes].shape[1]
        for name, array in floats.items():
            sizes = array.shape[1:]
            fits = array.ndim == 3 and (sizes[0] == count or sizes[1] == count) and name != boxes
            if fits and not any(word in name.lower() for word in _OTHERS):
                pairs.append((boxes, name))
    if len(pairs) == 1:
        return pairs[0]
    named = [
        pair for pair in pairs if any(w in pair[1].lower() for w in ("score", "conf", "cls", "class", "logit", "label"))
    ]
    return named[0] if len(named) == 1 else None


def _coordinates(rows: Array, y_first: bool) -> str:
    """The meaning of the four numbers, from what is true of all boxes."""
    if np.mean((rows[:, 2] >= rows[:, 0]) & (rows[:, 3] >= rows[:, 1])) >= VALID:
        return "y0 x0 y1 x1" if y_first else "x0 y0 x1 y1"
    return "centre and size" if np.mean((rows >= 0).all(axis=1)) >= VALID else "unknown"


def _is_tensorflow(detector: Detector) -> bool:
    proto = detector.model.file.proto
    return any(word in proto.producer_name.lower() for word in ("tf2onnx", "tensorflow", "keras"))


def _activation(values: Array, op: str | None, labels: int) -> tuple[str, int | None]:
    """What converts scores (B, K) to probabilities, and the background class."""
    classes = values.shape[1]
    probabilities = values.min() >= 0 and values.max() <= 1 + 1e-3
    if classes == 1:
        return "identity" if probabilities else "sigmoid", None
    means, ends = values.mean(axis=0, dtype=np.float64), (0, classes - 1)
    background = max(ends, key=lambda k: means[k])
    # With one label per column there is no background.
    background_or_none = None if labels == classes else background
    if op == "Softmax" or (probabilities and np.allclose(values.sum(axis=1, dtype=np.float64), 1, atol=1e-3)):
        return "identity", background_or_none
    if op == "Sigmoid" or probabilities:
        return "identity", None
    mostly = np.mean(values.argmax(axis=1) == background) > _MOSTLY and values[:, background].mean() > 0
    return ("softmax", background_or_none) if mostly and labels != classes else ("sigmoid", None)
