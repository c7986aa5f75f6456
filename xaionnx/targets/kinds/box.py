"""The score of one box of a detector."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import AbsentTargetError, ParameterError, UnsupportedModelError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.detections import CORNERS, SCORES, distinct, overlaps
from xaionnx.targets.in_graph import Aim, ElementWeights, one_hot
from xaionnx.targets.layout import DETECTIONS, SCORES_TENSOR, BoxLayout, class_labels, find_layout
from xaionnx.targets.scores import is_int
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# Boxes are chosen by position among so many distinct ones, and preferably among those with at least this score.
_DISTINCT: Final = 300
_CONFIDENT: Final = 0.05


def read_box(text: str | None, output: str | None, model: Model) -> Box:
    """Return the box for a text of the command line: a class, X,Y, X0,Y0,X1,Y1, or # and a number."""
    refuse_output(output)
    if text is None:
        return Box()
    if text.startswith("#"):
        return Box(number=int(text[1:]))
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) == 2:
        return Box(near=(numbers[0], numbers[1]))
    if len(numbers) == CORNERS:
        return Box(iou=(numbers[0], numbers[1], numbers[2], numbers[3]))
    if not text.strip():
        raise ValueError(text)
    return Box(class_word(text, class_labels(model)))


@final
@dataclass(frozen=True)
class Box(Target):
    """The class score of one box, times its objectness if it has one.

    Attributes
    ----------
    k, near, iou, number
        See :meth:`~xaionnx.targets.target.Target.box`.
    rank : int
        Which of the distinct boxes in order of falling score, if neither a position nor a number is given.
    layout : BoxLayout or None
        Where the outputs hold the boxes; found when the target is bound to a model.
    """

    forms: ClassVar[tuple[Form[Target], ...]] = (Form("box", read_box, "[:CLASS|X,Y|X0,Y0,X1,Y1|#N]", "box:dog"),)

    k: int | str | None = None
    near: tuple[float, float] | None = None
    iou: tuple[float, float, float, float] | None = None
    number: int | None = None
    rank: int = 0
    layout: BoxLayout | None = field(default=None, repr=False)
    output: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, length in (("near", 2), ("iou", CORNERS)):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _numbers(name, given, length))
        if self.number is not None and not (is_int(self.number) and self.number >= 0):
            raise ParameterError(
                f"The 'number' parameter of Target.box must be an int in [0, inf). Got {self.number!r} instead."
            )
        given = [name for name in ("near", "iou", "number") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ParameterError(f"Target.box takes one of 'near', 'iou' and 'number'. Got {' and '.join(given)}.")

    @property
    def follows(self) -> bool:
        return True

    def bind(self, model: Model, feeds: Feeds) -> Box:
        if self.layout is not None:
            return self
        layout = find_layout(model, feeds)
        if layout is None:
            raise UnsupportedModelError(
                f"No layout of boxes is recognised in the outputs of {model.name}: "
                f"{', '.join(f'{info.name} {info}' for info in model.outputs)}. If it is a detector, state the layout "
                "as 'boxes' in [output] of its .toml file, or name one element with Target.index."
            )
        if not layout.has_positions and (self.near is not None or self.iou is not None or self.rank):
            raise no_positions_error()
        samples = len(feeds[model.input().name])
        if samples > 1 and not layout.has_batch:
            raise UnsupportedModelError(
                f"The outputs of {model.name} have no batch axis, so the boxes of {samples} pictures cannot be told "
                "apart. Explain one picture at a time."
            )
        return dataclasses.replace(self, layout=layout)

    def as_similarity(self) -> Target:
        from xaionnx.targets.kinds.detection import Detection

        if self.layout is not None and not self.layout.has_positions:
            raise no_positions_error()
        return Detection(self)

    def extended(self, model: Model) -> Model:
        return self._layout.extended(model)

    def tensor(self, model: Model) -> str:
        return SCORES_TENSOR

    def reads(self, model: Model) -> tuple[str, ...]:
        return (DETECTIONS, *self._layout.reads)

    @property
    def _layout(self) -> BoxLayout:
        if self.layout is None:
            raise ParameterError("Target.box must be bound to a model first: see Target.bind.")
        return self.layout

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        raise ParameterError(
            "Which box is explained depends on the sample. Explain it with xaionnx.explain, or name an element."
        )

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.near is not None or self.iou is not None or self.number is not None or self.rank:
            raise ParameterError(
                "A compiled file runs on any samples, but which box is meant depends on the sample. Use Target.box() "
                "for the best box, or Target.box(k) for the best of a class."
            )
        if self._layout.reads != (SCORES_TENSOR,):
            raise ParameterError(
                "A compiled file cannot follow boxes that the graph selects. Use Target.index with output= for a score."
            )
        boxes, count = output.shape[1:]
        k = None if self.k is None else self._layout.column(self.k, count, model)
        allowed = np.tile(np.arange(count) == (np.arange(count) if k is None else k), boxes)
        what = "the best box" if k is None else f"the best box of {self._layout.class_name(k, count, model)}"

        def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
            # Scores are not negative.
            mine = g.op("Where", allowed[None], scores, np.array(-1, dtype=np.float32))
            return ElementWeights(one_hot(g, g.op("ArgMax", mine, axis=1, keepdims=0), boxes * count))

        return Aim(SCORES_TENSOR, "identity", f"the score of {what}", follow)

    def resolved(self, outputs: Mapping[str, Array], model: Model) -> list[TargetTerm]:
        detections = outputs[DETECTIONS]
        chosen = [self.choose(detections[n], model) for n in range(len(detections))]
        places = [self._layout.element(outputs, n, detections[n, box], box, k) for n, (box, k) in enumerate(chosen)]
        names = tuple(self.words(detections[n], box, k, model) for n, (box, k) in enumerate(chosen))
        corners = np.stack([detections[n, box, :CORNERS] for n, (box, _) in enumerate(chosen)])
        tensors = {tensor for tensor, _ in places}
        if len(tensors) > 1:
            raise UnsupportedModelError(
                f"The scores of these boxes are in different tensors: {', '.join(sorted(tensors))}. Explain one sample "
                "at a time."
            )
        [tensor] = tensors
        indices = np.array([[element] for _, element in places], dtype=np.int64)
        boxes = corners if self._layout.has_positions else None
        return [TargetTerm(tensor, "identity", indices, np.ones(indices.shape), names, boxes=boxes, quantity="score")]

    def choose(self, detections: Array, model: Model) -> tuple[int, int]:
        """Return the number of the chosen box of one sample, (B, 5 + K), and the column of its class.

        Raises
        ------
        ParameterError
            There is no such class.
        AbsentTargetError
            This sample has no such box.
        """
        scores = detections[:, SCORES:]
        k = None if self.k is None else self._layout.column(self.k, scores.shape[1], model)
        best = scores.argmax(axis=1) if k is None else np.full(len(scores), k)
        values = np.take_along_axis(scores, best[:, None], axis=1)[:, 0]
        if not np.isfinite(values).all():
            raise UnsupportedModelError(f"{model.name} returns NaN or infinity for a box. Check the input's scale.")
        if self.number is not None:
            if self.number >= len(values):
                raise AbsentTargetError(
                    f"The 'number' parameter of Target.box must be an int in [0, {len(values) - 1}] for {model.name}. "
                    f"Got {self.number} instead."
                )
            return self.number, int(best[self.number])
        if not (values > 0).any():
            raise AbsentTargetError(f"{model.name} finds no box in this sample. Check the input's scale.")
        box = self._best(detections[:, :CORNERS], values, best, model)
        return box, int(best[box])

    def _best(self, boxes: Array, values: Array, classes: Array, model: Model) -> int:
        if self.near is None and self.iou is None and self.rank == 0:
            return int(values.argmax())
        kept = distinct(boxes, values, classes, max(_DISTINCT, self.rank + 1))
        if self.near is None and self.iou is None:
            if self.rank >= len(kept) or values[kept[self.rank]] <= 0:
                count = int((values[kept] > 0).sum())
                raise AbsentTargetError(
                    f"{model.name} finds only {count} distinct box{'' if count == 1 else 'es'} in this sample."
                )
            return kept[self.rank]
        confident = [b for b in kept if values[b] >= _CONFIDENT] or kept
        if self.iou is not None:
            return _nearest_overlap(boxes, [confident, kept, range(len(boxes))], np.array(self.iou), model)
        assert self.near is not None  # one of the two is given
        point = np.array(self.near)
        inside = [b for b in confident if (boxes[b, :2] <= point).all() and (point <= boxes[b, 2:]).all()]
        distances = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - point, axis=1)
        return min(inside or confident, key=lambda b: distances[b])

    def words(self, detections: Array, box: int, k: int, model: Model) -> str:
        """Return the box in words: its class, number and corners."""
        name = self._layout.class_name(k, detections.shape[1] - SCORES, model)
        if not self._layout.has_positions:
            return f"{name} in box {box}"
        corners = ", ".join(f"{round(float(corner))}" for corner in detections[box, :CORNERS])
        return f"{name} in box {box} at ({corners})"


def no_positions_error() -> UnsupportedModelError:
    """Return the error for boxes whose positions are needed, but unknown."""
    return UnsupportedModelError(
        "The boxes of this model are relative to anchors that are not in the file, so their positions are unknown. "
        "Use Target.box with a class or number, and a method that explains its score, such as rise."
    )


def refuse_output(output: str | None) -> None:
    """Raise ParameterError if one output is named, since boxes are read from all outputs of a detector."""
    if output is not None:
        raise ParameterError(f"A box is read from all outputs of a detector. Leave out the output '{output}'.")


def _nearest_overlap(boxes: Array, groups: Sequence[Sequence[int]], given: Array, model: Model) -> int:
    """The box with the largest overlap, of the first group with one of more than a half, else of all."""
    found = overlaps(boxes, given)
    for group in groups:
        best = max(group, key=lambda b: found[b])
        if found[best] > 0.5:
            return int(best)
    if found[best] <= 0:
        listed = ", ".join(f"{corner:g}" for corner in given)
        raise AbsentTargetError(
            f"No box of {model.name} overlaps ({listed}). Give x0, y0, x1, y1 in pixels of the model's input."
        )
    return int(best)


def _numbers(name: str, given: object, length: int) -> tuple[float, ...]:
    wanted = {2: "x, y", CORNERS: "x0, y0, x1, y1 with x0 < x1 and y0 < y1"}[length]
    array = np.asarray(given)
    valid = array.shape == (length,) and array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    if not valid or (length == CORNERS and not (array[:2] < array[2:]).all()):
        raise ParameterError(
            f"The '{name}' parameter of Target.box must be the numbers {wanted}. Got {given!r} instead."
        )
    return tuple(float(number) for number in array)
