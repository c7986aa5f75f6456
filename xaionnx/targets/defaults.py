"""The default target: what a model is, told from its outputs, its graph and its spec, and what is explained then."""

from __future__ import annotations

from typing import Final

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.class_columns import LOOK_UPS, class_columns, same_order
from xaionnx.graph.ending import ending
from xaionnx.graph.view import GraphView
from xaionnx.runtime.model import Model
from xaionnx.targets.first_outputs import first_outputs
from xaionnx.targets.kinds.box import Box
from xaionnx.targets.kinds.next_token import NextToken
from xaionnx.targets.kinds.path import Path
from xaionnx.targets.kinds.predicted import Predicted
from xaionnx.targets.kinds.segment import Segment
from xaionnx.targets.language import is_causal
from xaionnx.targets.layout import class_labels, find_layout, selects_boxes
from xaionnx.targets.scores import channel_axis, default_output
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds

# How far the aspect ratio of a segmentation may differ from that of the picture, since sizes are rounded.
_SAME: Final = 0.1
# Outputs of the smallest detector that returns boxes and scores for each of its grids.
_HEADS: Final = 4
_CLASSIFIERS: Final = frozenset({"SVMClassifier", "LinearClassifier", "TreeEnsembleClassifier"})


def default_target(model: Model, feeds: Feeds, as_probability: bool = False) -> Target | None:
    """Return the target that is explained by default instead of the top class; None if there is none.

    That is the best box of a detector, the largest region of a segmentation, the best path of a CTC output if the
    blank or the characters are stated, and the class that the label output of a classifier names where this may differ
    from the highest score.

    Raises
    ------
    UnsupportedModelError
        The model is a detector of unknown layout, whose outputs would be mistaken for class scores.
    """
    if is_causal(model, feeds, default_output(model)):
        return NextToken().bind(model, feeds)
    suppresses = selects_boxes(model)
    one_axis = not suppresses and _has_one_axis(model, feeds)
    if one_axis and len(model.outputs) < _HEADS:
        return _predicted(model, as_probability)
    layout = find_layout(model, feeds)
    if layout is not None:
        return Box(layout=layout)
    if one_axis:
        return _predicted(model, as_probability)
    if suppresses:
        raise UnsupportedModelError(
            f"{model.name} selects boxes, but their layout is not recognised in its outputs: "
            f"{', '.join(f'{info.name} {info}' for info in model.outputs)}. Name what to explain: Target.index, "
            "Target.sum with output=, or state 'boxes' in [output] of its .toml file."
        )
    if _is_segmentation(model, feeds):
        return Segment()
    return Path().bind(model, feeds) if _is_text(model, feeds) else None


def described(target: Target) -> str:
    """Return a default target in words, with what the model is.

    Examples
    --------
    >>> described(Segment())
    'segmentation: the class with the largest region, over its pixels'
    """
    if isinstance(target, Box) and target.layout is not None:
        return f"detector: the best box; layout {target.layout.name()}, {target.layout.words}"
    if isinstance(target, Segment):
        return "segmentation: the class with the largest region, over its pixels"
    if isinstance(target, Path):
        return "text: the log probability of the best path"
    if isinstance(target, NextToken):
        return "language model: the log probability of the next token"
    if isinstance(target, Predicted):
        return f"classifier: the class that the output '{target.labels_output}' names"
    return "the top class"


def _is_text(model: Model, feeds: Feeds) -> bool:
    """Whether the spec states a blank, or the file names all classes of its output but the blank, as PaddleOCR does."""
    if model.spec is not None and model.spec.blank is not None:
        return True
    named = any(entry.key == "character" for entry in model.graph.metadata_props)
    tensor = default_output(model)
    return named and first_outputs(model, feeds, [tensor])[tensor].shape[-1] == len(class_labels(model)) + 1


def _has_one_axis(model: Model, feeds: Feeds) -> bool:
    """Whether the default output has one axis besides the batch."""
    tensor = default_output(model)
    shape = next((info.shape[1:] for info in model.outputs if info.name == tensor), None)
    if sum(isinstance(size, int) and size != 1 for size in shape or ()) > 1:
        return False
    if shape is None or (len(shape) > 1 and not all(isinstance(size, int) for size in shape)):
        shape = first_outputs(model, feeds, [tensor])[tensor].shape[1:]
    return len(shape) < 2 or sum(size != 1 for size in shape) < 2


def _is_segmentation(model: Model, feeds: Feeds) -> bool:
    """Whether the default output holds a class for each pixel of the input picture.

    That is so ahead of an ArgMax or after a softmax over the classes, or a sigmoid of one map; and for scores of three
    or more classes in the size of the picture, unless they are as many as its channels, as those of an image.
    """
    tensor = default_output(model)
    output = first_outputs(model, feeds, [tensor])[tensor]
    spec = model.input_spec
    if spec.kind != "picture" or feeds[model.input().name].ndim != 4 or output.ndim not in (3, 4):
        return False
    axis = channel_axis(output, tensor, model)
    if output.ndim == 4 and axis is None:
        return False
    count = 1 if axis is None or output.ndim == 3 else output.shape[axis]
    sides = [size for at, size in enumerate(output.shape) if at not in (0, axis if output.ndim == 4 else -1)]
    if len(sides) != 2 or min(sides) < 2:
        return False
    op = ending(model.view, tensor)
    picture = [feeds[model.input().name].shape[a] for a in spec.spatial_axes]
    # Maps of another shape do not lie over the picture, such as the scores of boxes on a grid.
    if abs(sides[0] / picture[0] - sides[1] / picture[1]) > _SAME * sides[0] / picture[0]:
        return False
    if count == 1:
        return op == "Sigmoid" or spec.activation == "sigmoid"
    if op in ("Softmax", "LogSoftmax") or _is_argmaxed(model.view, tensor) or len(model.labels or ()) == count:
        return True
    return sides == picture and count > 2 and count != spec.channels and _unbounded(output)


def _is_argmaxed(view: GraphView, tensor: str) -> bool:
    return any(node.op_type == "ArgMax" for node in view.consumers.get(tensor, ()))


def _unbounded(output: Array) -> bool:
    return bool(output.min() < 0)


def _predicted(model: Model, as_probability: bool) -> Target | None:
    """The class that the label output names, unless the graph takes it from the highest score."""
    scores = default_output(model)
    view = model.view
    if not any(info.name == scores for info in model.outputs) and class_columns(view) is None:
        return None
    for info in model.outputs:
        if info.dtype.kind not in "iuUOT" or len(info.shape) > 2 or info.shape[1:] not in ((), (1,)):
            continue
        classes = _classes(model, info.name)
        if classes and not _takes_highest(view, info.name, scores):
            return Predicted(info.name, classes, as_probability)
    return None


def _classes(model: Model, label: str) -> tuple[int | str, ...]:
    """The label of each class, from the node that makes the label; empty if unknown."""
    view, tensor = model.view, label
    while (node := view.producers.get(tensor)) is not None:
        if node.op_type in _CLASSIFIERS:
            found = view.attributes(node)
            for key in ("classlabels_ints", "classlabels_int64s", "classlabels_strings"):
                if found.get(key):
                    return tuple(found[key])
            return ()
        if node.op_type not in LOOK_UPS:
            break
        tensor = next((name for name in node.input if name not in view.constants), "")
    if model.labels:
        return model.labels
    count = next((info.shape[-1] for info in model.outputs if info.name == default_output(model) and info.shape), None)
    integers = any(info.name == label and info.dtype.kind in "iu" for info in model.outputs)
    return tuple(range(count)) if integers and isinstance(count, int) and count > 1 else ()


def _takes_highest(view: GraphView, label: str, scores: str) -> bool:
    """Whether a label is the ArgMax of the scores, or of numbers in the same order."""
    tensor = label
    while (node := view.producers.get(tensor)) is not None and node.op_type in LOOK_UPS:
        tensor = next((name for name in node.input if name not in view.constants), "")
    if node is None or node.op_type not in ("ArgMax", "TopK"):
        return False
    return not same_order(view, node.input[0]).isdisjoint(same_order(view, scores))
