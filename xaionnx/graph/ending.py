"""The op that computes a tensor, apart from moves and casts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.graph.op import find_op

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import GraphView


def ending(view: GraphView, tensor: str) -> str | None:
    """Return the type of the op that computes a tensor, such as ``Softmax``; None if there is none.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Softmax(x)  y = Identity(h) }''')
    >>> from xaionnx.graph.view import GraphView
    >>> ending(GraphView(model), "y")
    'Softmax'
    """
    node = maker(view, tensor)
    return None if node is None else node.op_type


def maker(view: GraphView, tensor: str) -> onnx.NodeProto | None:
    """Return the node that computes the values of a tensor, before moves and casts; None if there is none."""
    producers = view.producers
    while tensor in producers and find_op(producers[tensor].op_type).carries and producers[tensor].input:
        tensor = producers[tensor].input[0]
    return producers.get(tensor)
