"""Class scores that a file returns column by column, one output for each class, as the columns of a ZipMap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from xaionnx.graph.view import GraphView

# Ops that change neither the numbers nor the order of the scores of one sample.
_KEEP: Final = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Flatten"})
LOOK_UPS: Final = frozenset({"ArrayFeatureExtractor", "Gather", "LabelEncoder", *_KEEP})
"""From a score to a label these ops only look up."""

_KEEP_ORDER: Final = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "Normalizer", "ZipMap", *_KEEP})
_CLASS_LABELS: Final = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")
_FLOATS: Final = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


@final
@dataclass(frozen=True)
class ClassColumns:
    """The outputs of a classifier that are the columns of one matrix of scores.

    Attributes
    ----------
    tensor : str
        The matrix (N, K) inside the graph.
    outputs : tuple of str
        The outputs, in the order of the columns.
    labels : tuple of str
        Names of the classes, from the node that makes the label; those of the outputs if it has none.
    """

    tensor: str
    outputs: tuple[str, ...]
    labels: tuple[str, ...]


def class_columns(view: GraphView) -> ClassColumns | None:
    """Return the outputs that are the scores of one class each; None if the file has none.

    They are all columns of a matrix, beside an output with a label that is looked up among as many names, or is the
    number of the highest. Other columns may be anything, such as a mean and a variance.

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (int64[N] label, float[N] no, float[N] yes) <int64 first = {0}, int64 second = {1}> {
    ...   p = Softmax(x)  label = ArgMax<axis = 1, keepdims = 0>(p)
    ...   no = Gather<axis = 1>(p, first)  yes = Gather<axis = 1>(p, second) }'''))
    >>> class_columns(view)
    ClassColumns(tensor='p', outputs=('no', 'yes'), labels=('no', 'yes'))
    """
    values = view.model.graph.output
    labels = [v.name for v in values if v.type.tensor_type.elem_type in (TensorProto.INT64, TensorProto.STRING)]
    if not labels or len(values) < len(labels) + 2:
        return None
    found: dict[str, dict[int, str]] = {}
    for value in values:
        if value.type.tensor_type.elem_type in _FLOATS and (column := _column(view, value.name)) is not None:
            found.setdefault(column[0], {})[column[1]] = value.name
    for tensor, columns in found.items():
        for label in labels:
            names = _labels(view, label, tensor)
            count = len(columns)
            if names is not None and sorted(columns) == [*range(count)] and len(names or columns) == count > 1:
                outputs = tuple(columns[k] for k in range(count))
                return ClassColumns(tensor, outputs, names or outputs)
    return None


def _column(view: GraphView, output: str) -> tuple[str, int] | None:
    """Return the matrix and the number of its column that an output is; None if it is none."""
    node = view.producers.get(output)
    while node is not None and node.op_type in _KEEP:
        output = node.input[0]
        node = view.producers.get(output)
    if node is None:
        return None
    if node.op_type == "Split":
        # Parts of equal number as columns: the label says how many there are.
        at = view.attributes(node).get("axis", 0)
        return (node.input[0], [*node.output].index(output)) if at in (1, -1) else None
    index = _picked(view, node)
    return None if index is None else (node.input[0], index)


def _picked(view: GraphView, node: onnx.NodeProto) -> int | None:
    """Return the only entry of the last axis of a matrix that a node picks."""
    given = view.attributes(node)
    operands = [value for name in node.input[1:] if (value := view.small(name)) is not None]
    if node.op_type == "Slice" and "starts" in given:
        starts, ends, axes = (np.array(given.get(key, [])) for key in ("starts", "ends", "axes"))
    elif node.op_type == "Slice" and 2 < len(operands) == len(node.input) - 1:
        starts, ends, axes = (np.ravel(value) for value in operands[:3])
    elif node.op_type in ("Gather", "ArrayFeatureExtractor") and operands:
        starts = np.ravel(operands[0])
        ends, axes = starts + 1, np.array([given.get("axis", 0) if node.op_type == "Gather" else -1])
    else:
        return None
    if not len(starts) == len(ends) == len(axes) == 1 or axes[0] not in (1, -1):
        return None
    return int(starts[0]) if starts[0] >= 0 and ends[0] - starts[0] == 1 else None


def _labels(view: GraphView, label: str, scores: str) -> tuple[str, ...] | None:
    """Return the names of the classes of a label; empty if it is the number of the highest score, None otherwise."""
    names: tuple[str, ...] = ()
    node = view.producers.get(label)
    while node is not None and node.op_type in LOOK_UPS:
        table = next((view.constants[name] for name in node.input[:1] if name in view.constants), None)
        if table is not None and node.op_type in ("ArrayFeatureExtractor", "Gather"):
            names = tuple(_word(value) for value in np.ravel(numpy_helper.to_array(table)).tolist())
        label = next((name for name in node.input if name not in view.constants), "")
        node = view.producers.get(label)
    if node is None:
        return None
    given = view.attributes(node)
    stated = next((given[key] for key in _CLASS_LABELS if given.get(key)), None)
    if isinstance(stated, (list, tuple)):
        names = tuple(map(_word, stated))
    return names or (() if _takes_highest(view, node, scores) else None)


def _takes_highest(view: GraphView, node: onnx.NodeProto, scores: str) -> bool:
    """Whether a node finds the highest of some scores, or of numbers in the same order."""
    return node.op_type in ("ArgMax", "TopK") and not same_order(view, node.input[0]).isdisjoint(
        same_order(view, scores)
    )


def same_order(view: GraphView, tensor: str) -> set[str]:
    """Return ``tensor`` and the tensors before it whose numbers are in the same order."""
    found = {tensor}
    while (node := view.producers.get(tensor)) is not None and node.op_type in _KEEP_ORDER:
        tensor = node.input[0]
        found.add(tensor)
    return found


def _word(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
