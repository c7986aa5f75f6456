"""Heads that a graph returns as they are: numbers for each cell of grids over the picture, one grid a stride."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from xaionnx.targets.layout import Detector
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Strides of the finest grid, each next one being twice as coarse, and boxes of one cell.
_FIRST: Final = (4, 8, 16, 32)
_MOST_ANCHORS: Final = 3
# Numbers of bins of a distribution of distances: reg_max + 1 of NanoDet and PicoDet, YOLOv8, and GFL.
_BINS: Final = (8, 16, 17)


class Axes(NamedTuple):
    """The axes of an output: maps (N, A F, H, W) or (N, H, W, A F), rows (N, B, F), (N, F, B), (N, B) or (B, F)."""

    name: str

    def rows(self, g: Builder, value: ir.Value, numbers: int) -> ir.Value:
        """Add nodes that return an output as rows (N, B, F) in float32, with one for each anchor of each cell."""
        value = g.op("Cast", value, to=1)
        if self.name == "N C H W":
            value = g.op("Transpose", value, perm=[0, 2, 3, 1])
        elif self.name == "N F B":
            value = g.op("Transpose", value, perm=[0, 2, 1])
        first = 1 if self.name == "B F" else 0
        return g.reshape(value, np.array([first, -1, numbers]))

    def read(self, array: Array, numbers: int) -> Array:
        """Return an output of one sample as rows (B, F)."""
        if self.name == "N C H W":
            array = array.transpose(0, 2, 3, 1)
        elif self.name == "N F B":
            array = array.transpose(0, 2, 1)
        return array.reshape(-1, numbers)


class Part(NamedTuple):
    """The outputs with one kind of numbers, such as the class scores, for each grid in the order of the strides."""

    tensors: tuple[str, ...]
    axes: Axes
    numbers: int

    def rows(self, g: Builder, tensors: Mapping[str, ir.Value]) -> ir.Value:
        """Add nodes that return the rows (N, B, F) of all grids."""
        each = [self.axes.rows(g, tensors[name], self.numbers) for name in self.tensors]
        return each[0] if len(each) == 1 else g.op("Concat", *each, axis=1)

    def read(self, outputs: Mapping[str, Array]) -> Array:
        """Return the rows (B, F) of all grids of one sample."""
        return np.concatenate([self.axes.read(outputs[name], self.numbers) for name in self.tensors])


class Grid(NamedTuple):
    """The cells of all grids: their strides, and how many boxes each cell has."""

    strides: tuple[int, ...]
    anchors: int
    picture: tuple[int, int]

    def counts(self) -> list[int]:
        """Return the number of boxes of each grid."""
        return [int(np.prod(_cells(self.picture, stride))) * self.anchors for stride in self.strides]

    def corners(self) -> tuple[Array, Array]:
        """Return the upper left corner (B, 2) and the stride (B, 1) of each box's cell, in pixels."""
        places, sizes = [], []
        for stride in self.strides:
            i, j = np.mgrid[tuple(slice(side) for side in _cells(self.picture, stride))]
            cells = np.stack([j.ravel(), i.ravel()], axis=1) * stride
            places.append(np.repeat(cells, self.anchors, axis=0))
            sizes.append(np.full((len(places[-1]), 1), stride))
        return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)


@dataclass(frozen=True)
class DistanceBoxes:
    """Distances of the four sides of each box from a point of its cell, or distributions of them, and class scores.

    A distribution over the distances 0, 1, ... stands for its mean (Li et al. 2020, arXiv:2006.04388).

    Attributes
    ----------
    scores, boxes : Part
    grid : Grid
    bins : int
        How many numbers a distribution has; 1 for plain distances.
    offset : float
        The point of a cell from which distances start, in cells: 0.5 for the middle, 0 for the upper left corner.
    logits : bool
        Whether the scores are logits.
    """

    scores: Part
    boxes: Part
    grid: Grid
    bins: int
    offset: float
    logits: bool

    @property
    def words(self) -> str:
        start = "the middle" if self.offset else "the upper left corner"
        kind = "distances" if self.bins == 1 else f"distributions of {self.bins} numbers over the distances"
        return (
            f"{kind} of the sides from {start} of the cells of {_grids(self.grid)}, {', '.join(self.boxes.tensors)}; "
            f"scores of {self.scores.numbers} class{'' if self.scores.numbers == 1 else 'es'}"
        )

    @property
    def has_batch(self) -> bool:
        return self.scores.axes.name != "B F"

    def distances(self, g: Builder, tensors: Mapping[str, ir.Value]) -> ir.Value:
        """Add nodes that return the distances (N, B, 4) in cells: left, top, right, bottom."""
        rows = self.boxes.rows(g, tensors)
        if self.bins == 1:
            return rows
        shares = g.op("Softmax", g.reshape(rows, np.array([0, -1, 4, self.bins])), axis=3)
        mean = g.op("MatMul", shares, np.arange(self.bins, dtype=np.float32)[:, None])
        return g.reshape(mean, np.array([0, -1, 4]))

    def emit_parts(self, g: Builder, tensors: Mapping[str, ir.Value]) -> tuple[ir.Value, ir.Value]:
        """Add nodes that return the corners (N, B, 4) in pixels and the probabilities (N, B, K)."""
        places, strides = self.grid.corners()
        centres = np.tile(places + self.offset * strides, 2)[None]
        signed = (strides * np.array([-1, -1, 1, 1], dtype=np.float32))[None]
        corners = g.op("Add", g.op("Mul", self.distances(g, tensors), signed), centres)
        scores = self.scores.rows(g, tensors)
        return corners, g.op("Sigmoid", scores) if self.logits else scores


def distance_boxes(detector: Detector, offset: float, *, distributed: bool) -> DistanceBoxes | None:
    """Return the distances, or their distributions, that a detector's outputs may hold; None if they cannot."""
    for grid, groups in parts(detector):
        # Key points may be beside the boxes and the scores.
        pair = [part for part in groups if part.numbers != 10 or len(groups) < 3]
        found = []
        for boxes, scores in (pair, pair[::-1]) if len(pair) == 2 else ():
            bins = boxes.numbers // 4
            if boxes.numbers % 4 == 0 and (bins in _BINS if distributed else bins == 1):
                values = scores.read(detector.outputs)
                logits = bool(values.min() < 0 or values.max() > 1 + 1e-3)
                found.append(DistanceBoxes(scores, boxes, grid, bins, offset, logits))
        if len(found) == 2:
            # 32 or 64 classes, or four, look like boxes too.
            found = [each for each in found if each.scores.numbers == len(detector.labels) != each.boxes.numbers]
        if len(found) == 1:
            return found[0]
    return None


def parts(detector: Detector) -> Iterator[tuple[Grid, list[Part]]]:
    """Yield grids over the picture with the kinds of numbers that a detector's outputs may hold for their cells."""
    outputs = {name: array for name, array in detector.outputs.items() if array.dtype.kind == "f"}
    for first in _FIRST:
        for anchors in range(1, _MOST_ANCHORS + 1):
            found = _groups(outputs, detector.size, first, anchors)
            # Every output belongs to one kind, and every kind has one output for each grid.
            if found and {len(part.tensors) for part in found} == {len(outputs) / len(found)}:
                strides = tuple(first * 2**level for level in range(len(found[0].tensors)))
                yield Grid(strides, anchors, detector.size), found


def _groups(outputs: Mapping[str, Array], size: tuple[int, int], first: int, anchors: int) -> list[Part]:
    """The outputs that hold numbers for the cells of grids, by their axes and how many numbers a box has."""
    by_kind: dict[tuple[Axes, int], dict[int, str]] = {}
    for name, array in outputs.items():
        for level in range(8):
            cells = _cells(size, first * 2**level)
            for axes, numbers in _readings(array.shape, cells, anchors):
                if by_kind.setdefault((axes, numbers), {}).setdefault(level, name) != name:
                    return []
    groups = []
    for (axes, numbers), levels in by_kind.items():
        if len(levels) > 1 and sorted(levels) == [*range(len(levels))]:
            groups.append(Part(tuple(levels[level] for level in sorted(levels)), axes, numbers))
    used = [name for part in groups for name in part.tensors]
    return groups if len(used) == len(set(used)) else []


def _readings(shape: Sequence[int], cells: tuple[int, int], anchors: int) -> Iterator[tuple[Axes, int]]:
    """The ways to read an output as numbers for the cells of one grid."""
    count = cells[0] * cells[1] * anchors
    if len(shape) == 4 and shape[0] == 1:
        for name, at, sides in (("N C H W", 1, shape[2:]), ("N H W C", 3, shape[1:3])):
            if tuple(sides) == cells and shape[at] % anchors == 0:
                yield Axes(name), shape[at] // anchors
    elif len(shape) == 3 and shape[0] == 1 and shape[1] == count:
        yield Axes("N B F"), shape[2]
    elif len(shape) == 3 and shape[0] == 1 and shape[2] == count:
        yield Axes("N F B"), shape[1]
    elif len(shape) == 2 and shape[0] == 1 and shape[1] == count:
        yield Axes("N B"), 1
    elif len(shape) == 2 and shape[0] == count:
        yield Axes("B F"), shape[1]


def _cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def _grids(grid: Grid) -> str:
    boxes = "" if grid.anchors == 1 else f", {grid.anchors} boxes a cell"
    return f"grids of strides {', '.join(map(str, grid.strides))}{boxes}"
