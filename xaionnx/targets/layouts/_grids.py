"""Heads that a graph returns as they are: numbers for each cell of grids over the picture, one grid a stride."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.targets.layout import Detector, Emitted, columns, stated_layout
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Strides of the finest grid, each next one being twice as coarse.
_FIRST: Final = (4, 8, 16, 32)
# Where an output of five axes has those of the boxes of a cell, of rows and of columns.
_FIVE: Final[Mapping[str, tuple[int, int, int]]] = {
    "N A H W F": (1, 2, 3),
    "N A F H W": (1, 3, 4),
    "N H W A F": (3, 1, 2),
}
BINS: Final = (8, 16, 17)
"""Numbers of bins of a distribution of distances: reg_max + 1 of NanoDet and PicoDet, YOLOv8, and GFL."""


# The order of axes that makes rows of an output whose axes have another one.
_TO_ROWS: Final[Mapping[str, list[int]]] = {
    "N C H W": [0, 2, 3, 1],
    "N F B": [0, 2, 1],
    "N A H W F": [0, 2, 3, 1, 4],
    "N A F H W": [0, 3, 4, 1, 2],
}


class Axes(NamedTuple):
    """The axes of an output: maps (N, A F, H, W) or (N, H, W, A F), rows (N, B, F), (N, F, B), (N, B) or (B, F).

    The boxes A of a cell may have an axis of their own: (N, A, H, W, F), (N, A, F, H, W) or (N, H, W, A, F).
    """

    name: str

    def rows(self, g: Builder, value: ir.Value, numbers: int) -> ir.Value:
        """Add nodes that return an output as rows (N, B, F) in float32, with one for each anchor of each cell."""
        value = g.op("Cast", value, to=1)
        if self.name in _TO_ROWS:
            value = g.op("Transpose", value, perm=_TO_ROWS[self.name])
        first = 1 if self.name == "B F" else 0
        return g.reshape(value, np.array([first, -1, numbers]))

    def read(self, array: Array, numbers: int) -> Array:
        """Return an output of one sample as rows (B, F)."""
        if self.name in _TO_ROWS:
            array = array.transpose(_TO_ROWS[self.name])
        return array.reshape(-1, numbers)


class Part(NamedTuple):
    """The outputs with one kind of numbers, such as the class scores, for each grid in the order of the strides.

    Attributes
    ----------
    tensors : tuple of str
        One for each grid, or one for all of them.
    axes : Axes
    numbers : int
        How many numbers a box has.
    first, width : int
        Where they begin in the row of a box, and the length of that row, if it holds other numbers too; else 0.
    """

    tensors: tuple[str, ...]
    axes: Axes
    numbers: int
    first: int = 0
    width: int = 0

    def taken(self, first: int, numbers: int) -> Part:
        """Return a part of these numbers."""
        return Part(self.tensors, self.axes, numbers, first, self.numbers)

    def rows(self, g: Builder, tensors: Mapping[str, ir.Value]) -> ir.Value:
        """Add nodes that return the rows (N, B, F) of all grids."""
        each = [self.axes.rows(g, tensors[name], self.width or self.numbers) for name in self.tensors]
        rows = each[0] if len(each) == 1 else g.op("Concat", *each, axis=1)
        return columns(g, rows, *range(self.first, self.first + self.numbers)) if self.width else rows

    def read(self, outputs: Mapping[str, Array]) -> Array:
        """Return the rows (B, F) of all grids of one sample."""
        each = [self.axes.read(outputs[name], self.width or self.numbers) for name in self.tensors]
        return np.concatenate(each)[:, self.first : self.first + self.numbers]


class Grid(NamedTuple):
    """The cells of all grids: their strides, and how many boxes each cell has."""

    strides: tuple[int, ...]
    anchors: int
    picture: tuple[int, int]

    @property
    def words(self) -> str:
        """The grids in words, for reports."""
        boxes = "" if self.anchors == 1 else f", {self.anchors} boxes a cell"
        one = len(self.strides) == 1
        return (
            f"{'the grid' if one else 'grids'} of stride{'' if one else 's'} {', '.join(map(str, self.strides))}{boxes}"
        )

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
    pixels : bool
        Whether the distances are in pixels rather than in cells.
    centerness : Part or None
        The factor of the scores that says how near the middle of its box a cell is (Tian et al. 2019,
        arXiv:1904.01355).
    centerness_logits : bool
    """

    scores: Part
    boxes: Part
    grid: Grid
    bins: int
    offset: float
    logits: bool
    pixels: bool = False
    centerness: Part | None = None
    centerness_logits: bool = False

    @property
    def words(self) -> str:
        start = "the middle" if self.offset else "the upper left corner"
        kind = "distances" if self.bins == 1 else f"distributions of {self.bins} numbers over the distances"
        unit = "pixels" if self.pixels else "cells"
        return (
            f"{kind} of the sides in {unit} from {start} of the cells of {self.grid.words}, "
            f"{', '.join(self.boxes.tensors)}; scores of {self.scores.numbers} "
            f"class{'' if self.scores.numbers == 1 else 'es'}{'' if self.centerness is None else ' and centerness'}"
        )

    @property
    def has_batch(self) -> bool:
        return self.scores.axes.name != "B F"

    def distances(self, g: Builder, tensors: Mapping[str, ir.Value]) -> ir.Value:
        """Add nodes that return the distances (N, B, 4) of the left, top, right and bottom side."""
        rows = self.boxes.rows(g, tensors)
        if self.bins == 1:
            return rows
        shares = g.op("Softmax", g.reshape(rows, np.array([0, -1, 4, self.bins])), axis=3)
        mean = g.op("MatMul", shares, np.arange(self.bins, dtype=np.float32)[:, None])
        return g.reshape(mean, np.array([0, -1, 4]))

    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        """Add nodes that return the corners (N, B, 4) in pixels, the centerness and the probabilities (N, B, K)."""
        places, strides = self.grid.corners()
        centres = np.tile(places + self.offset * strides, 2)[None]
        signs = np.array([-1, -1, 1, 1], dtype=np.float32)
        signed = signs if self.pixels else (strides * signs)[None]
        corners = g.op("Add", g.op("Mul", self.distances(g, tensors), signed), centres)
        scores = self.scores.rows(g, tensors)
        scores = g.op("Sigmoid", scores) if self.logits else scores
        if self.centerness is None:
            return Emitted(corners, None, scores)
        factor = self.centerness.rows(g, tensors)
        factor = g.op("Sigmoid", factor) if self.centerness_logits else factor
        return Emitted(corners, factor, g.op("Mul", scores, factor))


def distance_boxes(
    detector: Detector, offset: float, *, distributed: bool = False, pixels: bool = False, centerness: bool = False
) -> DistanceBoxes | None:
    """Return the distances, or their distributions, that a detector's outputs may hold; None if they cannot."""
    for grid, groups in parts(detector):
        pair, factor = _without_further(groups, centerness)
        found = []
        for boxes, scores in (pair, pair[::-1]) if len(pair) == 2 else ():
            bins = boxes.numbers // 4
            if boxes.numbers % 4 == 0 and (bins in BINS if distributed else bins == 1):
                logits = are_logits(scores.read(detector.outputs))
                inside = factor is not None and are_logits(factor.read(detector.outputs))
                found.append(DistanceBoxes(scores, boxes, grid, bins, offset, logits, pixels, factor, inside))
        if len(found) == 2:
            # 32 or 64 classes, or four, look like boxes too.
            found = [each for each in found if each.scores.numbers == len(detector.labels) != each.boxes.numbers]
        if len(found) == 1:
            return found[0]
    return None


def _without_further(groups: Sequence[Part], centerness: bool) -> tuple[list[Part], Part | None]:
    """The boxes and the scores, in either order, and the centerness; key points are left out."""
    if len(groups) < 3:
        return [*groups], None
    if not centerness:
        return [part for part in groups if part.numbers != 10], None
    # Exporters return it last.
    factor = next((part for part in reversed(groups) if part.numbers == 1), None)
    return [part for part in groups if part is not factor], factor


def unit_is_pixels(detector: Detector) -> bool:
    """Return whether the spec states distances in pixels rather than in cells.

    Raises
    ------
    ParameterError
        It states neither.
    """
    name, setting = stated_layout(detector.model)
    if setting not in ("pixels", "cells"):
        raise ParameterError(
            f"The layout '{name}' needs the unit of the distances: state boxes = '{name}:pixels' or '{name}:cells'. "
            f"Got {setting!r} instead."
        )
    return setting == "pixels"


def are_logits(scores: Array) -> bool:
    """Return whether scores are no probabilities."""
    return bool(scores.min() < 0 or scores.max() > 1 + 1e-3)


def parts(detector: Detector, anchors: Sequence[int] = (1, 2, 3), fewest: int = 2) -> Iterator[tuple[Grid, list[Part]]]:
    """Yield grids over the picture with the kinds of numbers that a detector's outputs may hold for their cells.

    Parameters
    ----------
    detector : Detector
    anchors : sequence of int
        How many boxes a cell may have.
    fewest : int
        How many grids there are at least.
    """
    outputs = {name: array for name, array in detector.outputs.items() if array.dtype.kind == "f"}
    for first in _FIRST:
        for count in anchors:
            found = _groups(outputs, detector.size, first, count, fewest)
            # Every output belongs to one kind, and every kind has one output for each grid.
            if found and {len(part.tensors) for part in found} == {len(outputs) / len(found)}:
                strides = tuple(first * 2**level for level in range(len(found[0].tensors)))
                yield Grid(strides, count, detector.size), found


def _groups(outputs: Mapping[str, Array], size: tuple[int, int], first: int, anchors: int, fewest: int) -> list[Part]:
    """The outputs that hold numbers for the cells of grids, by their axes and how many numbers a box has.

    Of several kinds with as many numbers, those that come first in the order of the outputs belong together.
    """
    by_kind: dict[tuple[Axes, int], list[dict[int, str]]] = {}
    counts = Counter[tuple[tuple[Axes, int], int]]()
    for name, array in outputs.items():
        for level in range(8):
            cells = _cells(size, first * 2**level)
            for kind in _readings(array.shape, cells, anchors):
                alike = by_kind.setdefault(kind, [])
                # The first of them without this level.
                free = counts[kind, level]
                counts[kind, level] += 1
                if free == len(alike):
                    alike.append({})
                alike[free][level] = name
    groups = [
        Part(tuple(levels[level] for level in sorted(levels)), axes, numbers)
        for (axes, numbers), alike in by_kind.items()
        for levels in alike
        if len(levels) >= fewest and sorted(levels) == [*range(len(levels))]
    ]
    used = [name for part in groups for name in part.tensors]
    return groups if len(used) == len(set(used)) else []


def _readings(shape: Sequence[int], cells: tuple[int, int], anchors: int) -> Iterator[tuple[Axes, int]]:
    """The ways to read an output as numbers for the cells of one grid."""
    count = cells[0] * cells[1] * anchors
    if len(shape) == 4 and shape[0] == 1:
        for name, at, sides in (("N C H W", 1, shape[2:]), ("N H W C", 3, shape[1:3])):
            if tuple(sides) == cells and shape[at] % anchors == 0:
                yield Axes(name), shape[at] // anchors
    elif len(shape) == 5 and shape[0] == 1:
        for name, axes in _FIVE.items():
            if tuple(shape[axis] for axis in axes) == (anchors, *cells):
                # The one that is left.
                yield Axes(name), shape[10 - sum(axes)]
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
