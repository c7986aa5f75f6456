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
    makers = {name: node for node in model.graph.node for name in node.output}
    while tensor in makers and makers[tensor].op_type in _CARRYING and makers[tensor].input:
        tensor = makers[tensor].input[0]
    return makers[tensor].op_type if tensor in makers else None
