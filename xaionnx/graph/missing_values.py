"""Whether a model takes NaN as a missing value: where a NaN of an input is routed, compared or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import SHAPE_READERS, reads

if TYPE_CHECKING:
    from xaionnx.graph.view import AttributeValue, GraphView

# ``routed``: the model has a rule for missing values. ``compared``: it compares NaN with numbers, which is never true.
Handling: TypeAlias = Literal["routed", "compared"]

_TREES: Final = ("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble")
_COMPARES: Final = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
# In these a NaN stays in its own column.
_BY_ELEMENT: Final = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Scaler",
    "Imputer",
    "ArrayFeatureExtractor",
    "FeatureVectorizer",
)


def nan_handling(view: GraphView, name: str) -> Handling | None:
    """Return what a model does with NaN in an input; None if it spreads to the numbers of other columns.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 2] x) => (float[N, 2] y) <float z = {0}> {%s}'
    >>> filled = "n = IsNaN(x) f = Where(n, z, x) y = Softmax(f)"
    >>> for body in ("y = Softmax(x)", filled):
    ...     print(nan_handling(GraphView(parser.parse_model(text % body)), "x"))
    None
    routed
    """
    carrying, tested, found = {name}, set[str](), set[Handling]()
    for node in view.nodes:
        names = reads(node)
        if not tested.isdisjoint(names) and carrying.isdisjoint(names):
            tested.update(node.output)
            continue
        if carrying.isdisjoint(names) or node.op_type in SHAPE_READERS:
            continue
        handled = _handling(view, node)
        if handled is not None:
            found.add(handled)
            tested.update(node.output if node.op_type == "IsNaN" else ())
        elif node.op_type == "Where" and node.input[0] in tested:
            continue  # the NaN was found, and another number is chosen
        elif _keeps_apart(node, names):
            carrying.update(node.output)
        else:
            return None
    return "routed" if "routed" in found else "compared" if found else None


def _handling(view: GraphView, node: onnx.NodeProto) -> Handling | None:
    """Return what an op does with NaN; None if it passes it on."""
    if node.op_type == "IsNaN":
        return "routed"
    if node.op_type in _COMPARES:
        return "compared"
    if node.op_type in _TREES:
        tracks = _numbers(view.attributes(node).get("nodes_missing_value_tracks_true"))
        return "routed" if np.any(tracks != 0) else "compared"
    if node.op_type == "Imputer":
        replaced = view.attributes(node).get("replaced_value_float", 0.0)
        return "routed" if np.isnan(replaced) else None
    if node.op_type == "LabelEncoder":
        given = view.attributes(node)
        keys = [_numbers(given.get(name)) for name in ("keys_floats", "keys_tensor")]
        return "routed" if any(key.dtype.kind == "f" and np.isnan(key).any() for key in keys) else "compared"
    return None


def _numbers(value: AttributeValue) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return an attribute as an array; empty if it is not given."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray([] if value is None else value)


def _keeps_apart(node: onnx.NodeProto, names: list[str]) -> bool:
    """Whether each number of an op's output depends on one number of each operand."""
    if len(names) > sum(bool(name) for name in node.input):
        return False  # the body of a branch or a loop
    if node.op_type == "Cast":
        kind = next(attribute.i for attribute in node.attribute if attribute.name == "to")
        # A whole number cannot be NaN.
        return kind == onnx.TensorProto.STRING or np.dtype(helper.tensor_dtype_to_np_dtype(kind)).kind == "f"
    kind_of_op = find_op(node.op_type).kind
    return node.op_type in _BY_ELEMENT or kind_of_op is Kind.MOVES or kind_of_op.of_one_number
