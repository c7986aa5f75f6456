"""Compute in float32 what a model computes in half precision, so that the same rules apply as in float32.

Numbers that are rounded to floats of 8 bits by a Cast, and cast back, are not rounded.

onnxruntime has few kernels for half precision on the CPU. Its rewrites therefore insert casts between the nodes, and
expand ops such as Softmax and Gelu, so that rules for these would not find them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.writing import Writer
from xaionnx.loading.soundness import subgraphs

# Types of half precision, and of the numbers that take their place.
_NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WIDE = TensorProto.FLOAT
# onnxruntime only casts and scales these.
_FLOATS_OF_8_BITS = (
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
)
# Attributes whose number is the type of an output, or of an intermediate result.
_TYPES = frozenset({"to", "dtype", "output_dtype", "stash_type", "softmax_precision", "output_datatype"})


def is_narrow(model: onnx.ModelProto) -> bool:
    """Return whether a model has inputs or weights in half precision, or casts to it or to floats of 8 bits and back.

    Weights in floats of 8 bits do not count.
    """
    graphs = list(_graphs(model.graph))
    if any(value.type.tensor_type.elem_type in _NARROW for value in model.graph.input):
        return True
    if any(tensor.data_type in _NARROW for graph in graphs for tensor in graph.initializer):
        return True
    return any(_has_narrow_attribute(node) or _rounds(node) for graph in graphs for node in graph.node)


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes in float32 wherever the model does in float16 or bfloat16.

    Inputs keep their type and are cast. Other tensors keep their names, outputs included, and are of float32. Numbers
    are no longer rounded, and no longer infinite beyond 65504, between the nodes.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if it has no such types. Weights in external files stay as they are and are cast.

    Raises
    ------
    UnsupportedModelError
        An op computes with floats of 8 bits that a Cast makes.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 20]>
    ... g (float16[N, 2] x) => (float16[N, 2] y) { y = Softmax(x) }''')
    >>> wide = widen(model).graph
    >>> [(node.op_type, node.input[0], node.output[0]) for node in wide.node]
    [('Cast', 'x', 'x/float32'), ('Softmax', 'x/float32', 'y')]
    """
    if not is_narrow(model):
        return model
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    writer = Writer(wide.graph)
    casts: dict[str, str] = {}
    for value in wide.graph.input:
        if value.type.tensor_type.elem_type in _NARROW:
            casts[value.name] = writer.name(f"{value.name}/float32")
    for graph in _graphs(wide.graph):
        _widen_graph(graph, writer, casts)
    for graph in _graphs(wide.graph):
        for node in graph.node:
            node.input[:] = [casts.get(name, name) for name in node.input]
    nodes = [writer.node("Cast", [name], inner, to=_WIDE) for name, inner in casts.items()]
    nodes += list(wide.graph.node)
    # An input that is an output too.
    for value in wide.graph.output:
        if value.name in casts:
            value.type.tensor_type.elem_type = next(
                given.type.tensor_type.elem_type for given in wide.graph.input if given.name == value.name
            )
    del wide.graph.node[:]
    wide.graph.node.extend(nodes)
    return wide


def _widen_graph(graph: onnx.GraphProto, writer: Writer, casts: dict[str, str]) -> None:
    inputs = {value.name for value in graph.input} & casts.keys()
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if value.name not in inputs and kind.elem_type in _NARROW:
            kind.elem_type = _WIDE
    for tensor in graph.initializer:
        if tensor.data_type not in _NARROW:
            continue
        if tensor.data_location == TensorProto.EXTERNAL:
            casts[tensor.name] = writer.name(f"{tensor.name}/float32")
        else:
            _widen_tensor(tensor)
    _drop_roundings(graph)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type in _NARROW:
                _widen_tensor(attribute.t)
            elif _is_narrow_type(attribute):
                attribute.i = _WIDE


def _drop_roundings(graph: onnx.GraphProto) -> None:
    """Write casts to floats of 8 bits as casts to float32, as long as their results are only moved and cast again."""
    rounded = set[str]()
    for node in graph.node:
        if _rounds(node):
            next(attribute for attribute in node.attribute if attribute.name == "to").i = _WIDE
            rounded.add(node.output[0])
        elif node.op_type != "Cast" and not rounded.isdisjoint(node.input):
            if find_op(node.op_type).kind is not Kind.MOVES:
                raise UnsupportedModelError(
                    f"{node.op_type} (the node that makes '{node.output[0]}') reads floats of 8 bits that a Cast "
                    "makes, which has no gradient. Use a method without gradients: occlusion, rise, lime, kernel_shap."
                )
            rounded.update(node.output)
    for value in graph.value_info:
        if value.name in rounded:
            value.type.tensor_type.elem_type = _WIDE


def _rounds(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and _target(node) in _FLOATS_OF_8_BITS


def _target(node: onnx.NodeProto) -> int | None:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "to"), None)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    numbers = numpy_helper.to_array(tensor).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))


def _has_narrow_attribute(node: onnx.NodeProto) -> bool:
    return any(
        (attribute.HasField("t") and attribute.t.data_type in _NARROW) or _is_narrow_type(attribute)
        for attribute in node.attribute
    )


def _is_narrow_type(attribute: onnx.AttributeProto) -> bool:
    return attribute.name in _TYPES and attribute.i in _NARROW


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all bodies inside it."""
    graphs = [graph]
    while graphs:
        inner = graphs.pop()
        yield inner
        for node in inner.node:
            graphs.extend(subgraphs(node))
