"""Detectors with one output, in which each box is a row of coordinates and scores, as those of the YOLO family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.graph.op import find_op
from xaionnx.hooks import hook
from xaionnx.targets.layout import Detector, Emitted, columns, to_corners, to_pixels
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Coordinates in shares of the picture are hardly larger than 1, those in pixels mostly far larger.
SHARE: Final = 2.0
# Share of boxes that must be valid, since a detector may return a few that are not.
VALID: Final = 0.99
# How far boxes may reach, in sizes of the picture.
_REACH: Final = 4.0


@dataclass(frozen=True)
class BoxRows:
    """One output (N, F, B), or (N, B, F), of B boxes with F numbers: centre, width, height, scores and perhaps more.

    Attributes
    ----------
    tensor : str
    boxes_last : bool
        Whether the order of the axes is (N, F, B).
    classes : int
    objectness : bool
        Whether a box has an objectness before its class scores, which are conditional on it.
    logits : bool
        Whether the scores are logits.
    size : (int, int) or None
        Height and width of the picture, if the coordinates are shares of them.
    """

    tensor: str
    boxes_last: bool
    classes: int
    objectness: bool
    logits: bool
    size: tuple[int, int] | None

    @property
    def words(self) -> str:
        first = "centre, size, " + ("objectness, " if self.objectness else "") + f"{self.classes} class scores"
        axes = f"(N, {4 + self.objectness + self.classes}, B)" if self.boxes_last else "(N, B, F)"
        return f"'{self.tensor}' {axes}: {first}"

    def emit_rows(self, g: Builder, tensors: Mapping[str, ir.Value]) -> tuple[ir.Value, ir.Value | None, ir.Value]:
        """Return the rows (N, B, F) in float32, the objectness and the scores with the objectness as a factor."""
        rows = g.op("Cast", tensors[self.tensor], to=1)
        if self.boxes_last:
            rows = g.op("Transpose", rows, perm=[0, 2, 1])
        begin = 4 + self.objectness
        scores = columns(g, rows, *range(begin, begin + self.classes))
        objectness = columns(g, rows, 4) if self.objectness else None
        if self.logits:
            scores = g.op("Sigmoid", scores)
            objectness = None if objectness is None else g.op("Sigmoid", objectness)
        return rows, objectness, scores if objectness is None else g.op("Mul", scores, objectness)

    @hook
    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        rows, objectness, scores = self.emit_rows(g, tensors)
        corners = to_corners(g, columns(g, rows, 0, 1), columns(g, rows, 2, 3))
        return Emitted(corners if self.size is None else to_pixels(g, corners, self.size), objectness, scores)


def box_rows(detector: Detector, stated: bool | None = None, *, known: bool = False) -> BoxRows | None:
    """Return the rows of boxes of a detector with one such output; None if it has none.

    Whether a box has an objectness follows from the number of labels, or from the sizes that the graph concatenates;
    if neither tells, rows (N, B, F) have one and rows (N, F, B) have none, as those of YOLOv5 and YOLOv8.

    Parameters
    ----------
    detector : Detector
    stated : bool, optional
        Whether a box has an objectness, if the spec says so.
    known : bool
        Whether the output is known to hold boxes.
    """
    flat = {name: array for name, array in detector.outputs.items() if array.ndim == 3 and array.dtype.kind == "f"}
    given = detector.model.spec.output if detector.model.spec is not None else None
    flat = {given: flat[given]} if given in flat else flat
    if len(flat) != 1:
        return None
    [(tensor, array)] = flat.items()
    boxes_last = _boxes_last(array.shape[1:], len(detector.labels))
    rows = array[0].T if boxes_last else array[0]
    numbers = rows.shape[1]
    sizes = joined_sizes(detector, tensor, numbers)
    found = _scores(numbers, len(detector.labels), sizes, boxes_last, stated)
    if found is None or len(rows) < 2:
        return None
    objectness, classes = found
    scores = rows[:, 4 : 4 + objectness + classes]
    known = known or stated is not None or bool(sizes) or numbers - 4 - objectness == len(detector.labels)
    if not known and not _are_boxes(rows[:, :4], scores, detector.size):
        return None
    in_shares = bool(np.abs(rows[:, :4]).max() <= SHARE)
    logits = bool(scores.min() < 0 or scores.max() > 1 + 1e-3)
    return BoxRows(tensor, boxes_last, classes, objectness, logits, detector.size if in_shares else None)


def _are_boxes(boxes: Array, scores: Array, size: tuple[int, int]) -> bool:
    """Whether numbers of which nothing else is known are boxes in pixels with probabilities."""
    in_pixels = SHARE < boxes.max() <= _REACH * max(size) and np.mean((boxes[:, 2:] >= 0).all(axis=1)) >= VALID
    return bool(in_pixels and scores.min() >= 0 and scores.max() <= 1 + 1e-3)


def _boxes_last(shape: Sequence[int], labels: int) -> bool:
    """Whether the second axis counts the boxes: by the number of labels on the other, else because it is longer."""
    fitting = [labels > 0 and size - labels in (4, 5) for size in shape]
    return fitting[0] if fitting[0] != fitting[1] else shape[1] > shape[0]


def _scores(
    numbers: int, labels: int, sizes: tuple[int, ...], boxes_last: bool, stated: bool | None
) -> tuple[bool, int] | None:
    """Whether a row has an objectness, and its number of classes; None if it is not a row of a box."""
    objectness = stated
    if labels:
        # Masks and key points may follow the scores.
        fitting = [has for has in (False, True) if numbers == 4 + has + labels and stated in (None, has)]
        if fitting:
            return fitting[0], labels
    if sizes[:1] == (4,) and len(sizes) in (2, 3):
        joined_objectness = len(sizes) == 3 and sizes[1] == 1
        if stated in (None, joined_objectness):
            return joined_objectness, sizes[-1]
    if len(sizes) == 3 and sizes[:2] == (2, 2) and sizes[2] > 1 and stated is not False:
        return True, sizes[2] - 1
    if objectness is None:
        objectness = not boxes_last and numbers > 5
    classes = labels or numbers - 4 - objectness
    return (objectness, classes) if 1 <= classes <= numbers - 4 - objectness else None


def joined_sizes(detector: Detector, tensor: str, numbers: int) -> tuple[int, ...]:
    """Return the sizes of the parts of a row, such as (4, 80), as the graph concatenates them; empty if unknown."""
    view, model = detector.model.view, detector.model
    known = view.shapes(
        {info.name: detector.feeds[info.name].shape for info in model.inputs if info.name in detector.feeds}
    )
    found: tuple[int, ...] = ()
    for _ in range(len(view.nodes)):
        node = view.producers.get(tensor)
        if node is None or not node.input or not (node.op_type == "Concat" or find_op(node.op_type).carries):
            break
        tensor = node.input[0]
        if node.op_type != "Concat":
            continue
        axis = view.attributes(node)["axis"]
        shapes = [known.get(name, ()) for name in node.input]
        sizes = [shape[axis] if -len(shape) <= axis < len(shape) else None for shape in shapes]
        parts = tuple(size for size in sizes if size is not None)
        if len(parts) == len(node.input) and sum(parts) == numbers:
            # Masks or key points after the scores are joined last.
            found, numbers = parts, parts[0]
    return found
