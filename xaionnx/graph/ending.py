"""How a tensor ends: the op that gives its numbers their meaning."""

from __future__ import annotations

import onnx

# These move or round numbers, and leave their meaning alone.
_CARRYING = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Dropout"})


def ending(model: onnx.ModelProto, tensor: str) -> str | None:
    """The op that makes the values of a tensor, such as ``Softmax``; None where no node does.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Softmax(x)  y = Identity(h) }''')
    >>> ending(model, "y")
    'Softmax'
    """
    made = maker(model, tensor)
    return None if made is None else made.op_type


def maker(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto | None:
    """The node that makes the values of a tensor, behind which they are but moved or rounded; None if there is none."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while tensor in makers and makers[tensor].op_type in _CARRYING and makers[tensor].input:
        tensor = makers[tensor].input[0]
    return makers.get(tensor)
