"""Weights as inputs: a model whose constants are fed, so that they can be variables."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView


def float_weights(view: GraphView, names: Collection[str]) -> dict[str, onnx.TensorProto]:
    """Return those of ``names`` that are float initializers or outputs of Constant nodes, as stored, in their order."""
    kinds = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
    held = view.constants
    return {name: held[name] for name in names if name in held and held[name].data_type in kinds}


def with_weights_as_inputs(model: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> onnx.ModelProto:
    """Return the model with some of its constants as inputs, after its own, in their shapes.

    Parameters
    ----------
    model : onnx.ModelProto
    weights : dict of TensorProto by name
        As :func:`float_weights` returns them.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) <float[2] b = {1, 2}> { y = Add(x, b) }''')
    >>> fed = with_weights_as_inputs(model, float_weights(GraphView(model), ["b"]))
    >>> [value.name for value in fed.graph.input], len(fed.graph.initializer)
    (['x', 'b'], 0)
    """
    derived = onnx.ModelProto()
    derived.CopyFrom(model)
    graph = derived.graph
    # Files of old versions list their initializers among the inputs.
    inputs = [value for value in graph.input if value.name not in weights]
    initializers = [tensor for tensor in graph.initializer if tensor.name not in weights]
    nodes = [
        node
        for node in graph.node
        if not (node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS and node.output[0] in weights)
    ]
    declared = [value for value in graph.value_info if value.name not in weights]
    inputs += [
        onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims) for name, tensor in weights.items()
    ]
    kept = ((graph.input, inputs), (graph.initializer, initializers), (graph.node, nodes), (graph.value_info, declared))
    for field, entries in kept:
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
        del field[:]
        field.extend(copies)
    return derived
