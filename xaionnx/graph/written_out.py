"""Write as one op what a file has as the steps of that op.

onnxruntime saves Softmax, LogSoftmax and Gelu of half precision as the bodies that ONNX defines for them, for which it
has no kernels on the CPU. Their derivative is the same, but LRP and DeepLIFT have rules for the op as a whole.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import numpy_helper

from xaionnx.graph.view import DEFAULT_DOMAINS, attributes

_BODIES: Final = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def write_sums_of_two(graph: onnx.GraphProto) -> None:
    """Write each Sum of two tensors as an Add, in place.

    The body of Gelu has such Sums, and onnxruntime's search for Gelu looks for an Add.
    """
    for node in graph.node:
        if node.op_type == "Sum" and node.domain in DEFAULT_DOMAINS and len(node.input) == 2:
            node.op_type = "Add"


def join_softmax(graph: onnx.GraphProto) -> None:
    """Write as Softmax and LogSoftmax what computes them from a maximum, a difference, exponentials and their sum.

    In place; steps that nothing else reads are removed.

    Parameters
    ----------
    graph : onnx.GraphProto
        Of opset 18 or newer, with sorted nodes.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 20]>
    ... g (float[N, 3] x) => (float[N, 3] y) <int64[1] k = {1}> {
    ...   m = ReduceMax(x, k)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, k)  y = Div(e, s) }''')
    >>> join_softmax(model.graph)
    >>> [node.op_type for node in model.graph.node]
    ['Softmax']
    """
    steps = _Steps(graph)
    joined = False
    for node in graph.node:
        found = steps.operand_of_softmax(node)
        if found is None:
            continue
        operand, axis = found
        node.op_type = "Softmax" if node.op_type == "Div" else "LogSoftmax"
        node.input[:] = [operand]
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("axis", axis))
        joined = True
    if joined:
        _remove_unread(graph)


class _Steps:
    """The nodes of a graph by what they compute, and its constants."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output if node.domain in DEFAULT_DOMAINS}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}

    def operand_of_softmax(self, node: onnx.NodeProto) -> tuple[str, int] | None:
        """Return the operand and the axis if a node ends the steps of a Softmax or LogSoftmax; else None."""
        if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Div", "Sub"):
            return None
        if node.op_type == "Div":
            exponential, total = self._made(node.input[0], "Exp"), self._made(node.input[1], "ReduceSum")
            shifted = None if exponential is None else self._made(exponential.input[0], "Sub")
        else:
            shifted, logarithm = self._made(node.input[0], "Sub"), self._made(node.input[1], "Log")
            total = None if logarithm is None else self._made(logarithm.input[0], "ReduceSum")
            exponential = None if total is None else self._made(total.input[0], "Exp")
        if exponential is None or total is None or shifted is None:
            return None
        largest = self._made(shifted.input[1], "ReduceMax")
        connected = total.input[0] == exponential.output[0] and exponential.input[0] == shifted.output[0]
        if largest is None or not connected or largest.input[0] != shifted.input[0]:
            return None
        axis = self._axis(largest)
        return None if axis is None or axis != self._axis(total) else (shifted.input[0], axis)

    def _made(self, name: str, op_type: str) -> onnx.NodeProto | None:
        node = self._makers.get(name)
        return node if node is not None and node.op_type == op_type else None

    def _axis(self, node: onnx.NodeProto) -> int | None:
        """The axis of a reduction that keeps one axis of size 1; None of others."""
        if attributes(node).get("keepdims", 1) != 1 or len(node.input) < 2:
            return None
        tensor, maker = self._weights.get(node.input[1]), self._makers.get(node.input[1])
        if tensor is None and maker is not None and maker.op_type == "Constant":
            tensor = next((attribute.t for attribute in maker.attribute if attribute.name == "value"), None)
        axes = [] if tensor is None else numpy_helper.to_array(tensor).reshape(-1).tolist()
        return int(axes[0]) if len(axes) == 1 else None


def _remove_unread(graph: onnx.GraphProto) -> None:
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if read.isdisjoint(node.output):
            continue
        kept.append(node)
        read.update(node.input)
        for attribute in node.attribute:
            bodies = [attribute.g, *attribute.graphs] if attribute.type in _BODIES else []
            read.update(name for body in bodies for inner in body.node for name in inner.input)
    del graph.node[:]
    graph.node.extend(kept[::-1])
