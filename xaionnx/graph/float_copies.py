"""Find where the whole numbers of an input become floats, as in models that take pixels of 8 bits."""

from __future__ import annotations

from typing import Final

import onnx

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import GraphView, reads

FLOAT_TYPES: Final = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
)
_CASTS: Final = frozenset({"Cast", "CastLike", "DequantizeLinear"})


def float_copies(view: GraphView, source: str) -> tuple[str, ...]:
    """Return the float tensors that hold the numbers of an input, cast or dequantised, and perhaps rearranged before.

    None if the numbers are used in any other way, such as looked up or compared: they have no slope there.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (uint8[N, 4, 4, 3] x) => (float[N, 3, 4, 4] y) {
    ...   t = Transpose <perm = [0, 3, 1, 2]> (x)  c = Cast <to = 1> (t)  y = Tanh(c) }''')
    >>> float_copies(GraphView(model), "x")
    ('c',)
    """
    held, found = {source}, list[str]()
    for node in view.nodes:
        if held.isdisjoint(reads(node)) or find_op(node.op_type).kind is Kind.READS_SHAPE:
            continue
        casts = node.op_type in _CASTS and node.input[0] in held
        if casts and view.types.get(node.output[0], onnx.TensorProto.FLOAT) in FLOAT_TYPES:
            found.append(node.output[0])
        elif casts or find_op(node.op_type).kind is Kind.MOVES:
            held.update(node.output)
        else:
            return ()
    return tuple(found)
