"""NanoDet: one output with the class scores of each box and distributions of the distances to its sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, final

from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.targets.layout import BoxLayout, Detector
from xaionnx.targets.layouts._grids import BINS, Axes, DistanceBoxes, Grid, Part, are_logits
from xaionnx.targets.layouts._rows import joined_sizes

# The grids of NanoDet-Plus, and of NanoDet.
_STRIDES: Final = ((8, 16, 32, 64), (8, 16, 32))


@final
@dataclass(frozen=True)
class NanoDet(DistanceBoxes, BoxLayout):
    """An output (N, B, K + 4 R): K class scores, then four distributions over R distances, for all strides s.

    With the mean distances d in cells, the corners of the box of column i and row j of NanoDet-Plus are
    ``((i - left, j - top) s, (i + right, j + bottom) s)``; NanoDet starts from the middle of a cell, half a cell away
    (Li et al. 2020, arXiv:2006.04388). Nothing in a file tells them apart, so it must be stated.
    """

    rank: ClassVar[int] = 18
    settings: ClassVar[str] = "plus for NanoDet-Plus"

    @classmethod
    def find(cls, detector: Detector) -> Self | None:
        stated = detector.stated(cls)
        if stated and detector.setting not in ("", "plus"):
            raise ParameterError(
                f"The layout 'nanodet' must be stated as 'nanodet' or 'nanodet:plus'. Got {detector.setting!r} instead."
            )
        if len(detector.outputs) != 1:
            return None
        [(name, array)] = detector.outputs.items()
        grids = [Grid(strides, 1, detector.size) for strides in _STRIDES]
        grid = next((each for each in grids if array.ndim == 3 and sum(each.counts()) == array.shape[1]), None)
        if grid is None:
            return None
        classes = _classes(detector, name, array.shape[2], stated)
        if classes is None:
            return None
        if not stated:
            raise UnsupportedModelError(
                f"The output of {detector.model.name} is boxes on grids, as scores and distributions of the distances "
                "to their sides, but nothing in the file tells from where in a cell. State in [output] of its .toml "
                "file boxes = 'nanodet' (the middle: NanoDet) or boxes = 'nanodet:plus' (the upper left corner: "
                "NanoDet-Plus)."
            )
        rows = Part((name,), Axes("N B F"), array.shape[2])
        scores, boxes = rows.taken(0, classes), rows.taken(classes, array.shape[2] - classes)
        offset = 0.0 if detector.setting == "plus" else 0.5
        logits = are_logits(scores.read(detector.outputs))
        return cls(scores, boxes, grid, boxes.numbers // 4, offset, logits)


def _classes(detector: Detector, name: str, numbers: int, stated: bool) -> int | None:
    """The number of classes: from the labels or the sizes that the graph concatenates, else as with 8 distances."""
    sizes = joined_sizes(detector, name, numbers)
    known = [len(detector.labels), *sizes[:1]]
    found = [classes for classes in known if classes and (numbers - classes) in [4 * bins for bins in BINS]]
    if found:
        return found[0]
    return numbers - 4 * BINS[0] if stated and not detector.labels and numbers > 4 * BINS[0] else None
