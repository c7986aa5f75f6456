"""BoxLayout: where the outputs of a detector hold its boxes, their objectness and their class scores."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Self, final

import numpy as np

from xaionnx.data.labels import find_label
from xaionnx.errors import ParameterError
from xaionnx.hooks import hook
from xaionnx.registry import Registry
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.added_tensors import with_tensors
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.scores import is_int
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

SCORES_TENSOR: Final = "xaionnx_scores"
"""The tensor (N, B, K) with the class scores of all boxes, added to a detector's graph."""
DETECTIONS: Final = "xaionnx_detections"
"""The tensor (N, B, 5 + K) with all detections, added to a detector's graph: see `xaionnx.targets.detections`."""


class Emitted(NamedTuple):
    """The nodes that a layout adds: corners (N, B, 4) in pixels, objectness (N, B, 1) or None, scores (N, B, K)."""

    corners: ir.Value
    objectness: ir.Value | None
    scores: ir.Value


@final
@dataclass(frozen=True, eq=False)
class Detector:
    """What the layouts are recognised by.

    Attributes
    ----------
    model : Model
    outputs : dict of arrays (1, ...) by name
        The floating-point outputs for one sample.
    size : (int, int)
        Height and width of the model's input in pixels.
    feeds : mapping
        The sample.
    """

    model: Model
    outputs: Mapping[str, Array]
    size: tuple[int, int]
    feeds: Feeds

    __repr__ = short_repr

    def stated(self, layout: type[BoxLayout]) -> bool:
        """Whether the spec states this layout."""
        return stated_layout(self.model)[0] == layout.name()

    @property
    def setting(self) -> str:
        """What the spec states after the name of the layout and a colon; empty if nothing."""
        return stated_layout(self.model)[1]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, also those in the metadata of the file."""
        return class_labels(self.model)


class BoxLayout(ABC):
    """A layout of boxes, one per file of :mod:`xaionnx.targets.layouts`: a frozen dataclass, recorded with a result.

    Attributes
    ----------
    rank : int
        Layouts are tried in this order.
    settings : str
        What may or must follow the name and a colon where the layout is stated, in words; nothing if empty.
    """

    rank: ClassVar[int]
    settings: ClassVar[str] = ""

    @classmethod
    @final
    def name(cls) -> str:
        """The name of the layout, which is that of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @abstractmethod
    def find(cls, detector: Detector) -> Self | None:
        """Return the layout of a model's outputs; None if they do not have it."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The layout in words, for reports."""

    @property
    @hook
    def has_positions(self) -> bool:
        """Whether the positions of the boxes are known; some graphs leave them relative to anchors outside the file."""
        return True

    @property
    @hook
    def has_batch(self) -> bool:
        """Whether the outputs have a batch axis; without one, boxes are of one picture at a time."""
        return True

    @abstractmethod
    def emit(self, g: Builder, tensors: Mapping[str, ir.Value]) -> Emitted:
        """Add nodes that compute the detections from the model's tensors."""

    @hook
    def numbers(self, count: int) -> Sequence[int]:
        """Return the class that each of ``count`` scores of a box stands for, which may leave out a background."""
        return range(count)

    @final
    def column(self, k: object, count: int, model: Model) -> int:
        """Return the place of the score of a class, given by number or label, among ``count`` scores.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class.
        """
        numbers, labels = self.numbers(count), class_labels(model)
        if isinstance(k, str):
            if not labels:
                raise ParameterError(
                    f"{model.name} has no label '{k}'. Give a class number, or labels in {model.path.stem}.toml."
                )
            k = find_label(labels, k)
            if len(labels) == count:
                return k
        if not is_int(k) or k not in numbers:
            raise ParameterError(
                f"The class of Target.box must be an int in [0, {max(numbers)}] for {model.name}"
                f"{'' if len(numbers) > max(numbers) else ', and not the background'}. Got {k!r} instead."
            )
        return [*numbers].index(k)

    @final
    def class_name(self, column: int, count: int, model: Model) -> str:
        """Return a class in words: its label and number, or its number."""
        k, labels = self.numbers(count)[column], class_labels(model)
        if len(labels) == count:
            return f"{labels[column]} ({k})"
        return f"{labels[k]} ({k})" if k < len(labels) else f"class {k}"

    @property
    @hook
    def reads(self) -> tuple[str, ...]:
        """The tensors from which :meth:`element` finds the score of a box."""
        return (SCORES_TENSOR,)

    @hook
    def element(self, outputs: Mapping[str, Array], n: int, detection: Array, box: int, k: int) -> tuple[str, int]:
        """Return the tensor and the flattened element that is the score of class ``k`` of a box of sample ``n``."""
        del detection
        return SCORES_TENSOR, box * outputs[SCORES_TENSOR].shape[2] + k

    @final
    def extended(self, model: Model) -> Model:
        """Return the model with :data:`SCORES_TENSOR` and :data:`DETECTIONS` as further outputs."""
        if any(info.name == DETECTIONS for info in model.outputs):
            return model
        return with_tensors(model, self, self._detections)

    def _detections(self, g: Builder, tensors: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
        corners, objectness, scores = self.emit(g, tensors)
        certain = largest(g, scores) if objectness is None else objectness
        return {SCORES_TENSOR: scores, DETECTIONS: g.op("Concat", corners, certain, scores, axis=2)}


LAYOUTS: Final[Registry[BoxLayout]] = Registry("layout of boxes", "xaionnx.targets.layouts", BoxLayout)


def find_layout(model: Model, feeds: Feeds) -> BoxLayout | None:
    """Return the layout that the spec states, or else the first that the outputs have; None if they have none.

    Raises
    ------
    ParameterError
        The outputs do not have the layout that the spec states.
    """
    detector = _detector(model, feeds)
    stated, setting = stated_layout(model)
    if stated is not None:
        kind = LAYOUTS.find(stated)
        if setting and not kind.settings:
            raise ParameterError(f"The layout '{stated}' has no settings. Got boxes = '{stated}:{setting}'.")
        found = None if detector is None else kind.find(detector)
        if found is None:
            shapes = ", ".join(f"{info.name} {info}" for info in model.outputs)
            words = f"{stated}:{setting}" if setting else stated
            raise ParameterError(f"The spec states boxes = '{words}', but the outputs of {model.name} are {shapes}.")
        return found
    if detector is None:
        return None
    ranked = sorted(LAYOUTS.kinds(), key=lambda kind: kind.rank)
    return next((layout for kind in ranked if (layout := kind.find(detector)) is not None), None)


def stated_layout(model: Model) -> tuple[str | None, str]:
    """Return the layout that the spec of a model states and its settings, which follow a colon; None if it does not."""
    if model.spec is None or model.spec.boxes is None:
        return None, ""
    name, _, setting = model.spec.boxes.partition(":")
    return name, setting.strip()


def _detector(model: Model, feeds: Feeds) -> Detector | None:
    x = feeds[model.input().name]
    spec = model.input_spec
    if x.ndim != 4 or spec.kind != "picture":
        return None
    names = [info.name for info in model.outputs if info.dtype.kind in "fi" and not info.name.startswith("xaionnx_")]
    height, width = (x.shape[axis] for axis in spec.spatial_axes)
    return Detector(model, first_outputs(model, feeds, names), (height, width), feeds)


def selects_boxes(model: Model) -> bool:
    """Whether the graph suppresses double boxes, so that its outputs hold only the boxes that it selects."""
    return any(node.op_type == "NonMaxSuppression" for node in model.view.nodes)


def class_labels(model: Model) -> tuple[str, ...]:
    """Return the class names of a model: those of its spec, else those that Ultralytics or PaddleOCR store in it."""
    if model.labels:
        return model.labels
    for entry in model.graph.metadata_props:
        if entry.key == "names":
            return _names(entry.value)
        if entry.key == "character":
            # One a line, and the space after them.
            lines = entry.value.removesuffix("\n").split("\n")
            return (*(line if line.isprintable() else " " for line in lines), " ")
    return ()


def _names(text: str) -> tuple[str, ...]:
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(names, dict) and [*names] == [*range(len(names))]:
        names = [*names.values()]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.isprintable() for name in names):
        return ()
    return tuple(names)


def columns(g: Builder, value: ir.Value, *indices: int) -> ir.Value:
    """Return some columns of a tensor (N, B, F); the op exists in every opset."""
    return g.op("Gather", value, np.array(indices, dtype=np.int64), axis=2)


def largest(g: Builder, value: ir.Value) -> ir.Value:
    """Return the largest of the numbers along axis 2, (N, B, 1)."""
    axes = np.array([2], dtype=np.int64)
    if g.graph.opset_imports.get("", 1) >= 18:
        return g.op("ReduceMax", value, axes, keepdims=1)
    return g.op("ReduceMax", value, axes=[2], keepdims=1)


def to_corners(g: Builder, centres: ir.Value, sizes: ir.Value) -> ir.Value:
    """Return corners (N, B, 4) from centres (N, B, 2) and sizes (N, B, 2)."""
    half = g.op("Mul", sizes, 0.5)
    return g.op("Concat", g.op("Sub", centres, half), g.op("Add", centres, half), axis=2)


def to_pixels(g: Builder, corners: ir.Value, size: tuple[int, int]) -> ir.Value:
    """Return corners in pixels from corners in shares of the picture's ``size`` (H, W)."""
    height, width = size
    return g.op("Mul", corners, np.array([width, height, width, height], dtype=np.float32))
