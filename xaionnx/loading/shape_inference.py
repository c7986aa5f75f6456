"""ONNX's shape inference, which ends the process where it does not know the type of an operand of a LabelEncoder."""

from __future__ import annotations

from typing import Final

import onnx
import onnx.shape_inference
from onnx import TensorProto

# The type of the keys is that of the operand.
_KEYS: Final = {
    "keys_floats": TensorProto.FLOAT,
    "keys_int64s": TensorProto.INT64,
    "keys_strings": TensorProto.STRING,
}


# The nodes and leaves of trees, of which there may be millions, decide no type and no shape.
_TREES: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_NUMBERS_OF_TREES: Final = ("nodes_", "class_", "target_")


def infer_shapes(model: onnx.ModelProto, *, data_prop: bool = False) -> onnx.ModelProto:
    """Return a model, without the numbers of its trees, with the types and shapes that follow from its inputs.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    ... g (float[N, 2] x) => (float[N, 2] y) {
    ...   h = ai.onnx.ml.Imputer <imputed_value_floats = [0.0]> (x)
    ...   y = ai.onnx.ml.LabelEncoder <keys_floats = [1.0], values_floats = [2.0]> (h) }''')
    >>> [value.name for value in infer_shapes(model).graph.value_info]
    ['h']
    """
    return onnx.shape_inference.infer_shapes(with_operand_types(_without_trees(model)), data_prop=data_prop)


def _without_trees(model: onnx.ModelProto) -> onnx.ModelProto:
    if not any(node.op_type in _TREES for node in model.graph.node):
        return model
    light = onnx.ModelProto()
    light.CopyFrom(model)
    del light.graph.node[:]
    light.graph.node.extend(map(without_tree_numbers, model.graph.node))
    return light


def without_tree_numbers(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return a node without the nodes and leaves of its trees; the node itself if it has no trees."""
    if node.op_type not in _TREES:
        return node
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain,
        name=node.name,
        input=node.input,
        output=node.output,
        attribute=(one for one in node.attribute if not one.name.startswith(_NUMBERS_OF_TREES)),
    )


def with_operand_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that declares the types of what each LabelEncoder reads, as that of its keys.

    No type follows from some ops of ``ai.onnx.ml``, such as Imputer. The model itself is returned if it declares them.
    """
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.value_info, *graph.output)}
    known |= {tensor.name for tensor in graph.initializer}
    missing = {
        node.input[0]: kind
        for node in graph.node
        if node.op_type == "LabelEncoder" and node.input[0] not in known and (kind := _key_type(node))
    }
    if not missing:
        return model
    declared = onnx.ModelProto()
    declared.CopyFrom(model)
    declared.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in missing.items()
    )
    return declared


def _key_type(node: onnx.NodeProto) -> int:
    """The element type of the keys of a LabelEncoder; 0 if it has none."""
    for attribute in node.attribute:
        if attribute.name in _KEYS:
            return _KEYS[attribute.name]
        if attribute.name == "keys_tensor":
            return int(attribute.t.data_type)
    return 0
