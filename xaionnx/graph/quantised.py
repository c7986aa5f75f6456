"""Facts about models that compute with integers, or narrow floats, which stand for floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import onnx
from onnx import TensorProto

from xaionnx.graph.fused_op import MICROSOFT
from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView

# Ops that convert between floats and the integers that stand for them, and products of these integers.
QUANTISED: Final = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear",
    }
)  # fmt: skip

# MatMulNBits rounds its other operand to integers of 8 bits at this level.
_ROUNDING_LEVEL = 4
# Weights that onnxruntime multiplies by MatMulNBits of this level: of these types, with one scale in all, one a column,
# or one for so many rows and a column.
_FEW_BITS = frozenset(
    (
        TensorProto.INT2, TensorProto.INT4, TensorProto.INT8, TensorProto.UINT2, TensorProto.UINT4, TensorProto.UINT8,
    )
)  # fmt: skip
_LEAST_BLOCK = 16


def is_quantised(model: onnx.ModelProto) -> bool:
    """Return whether a model has one of the ops :data:`QUANTISED`, outside of bodies."""
    return any(node.op_type in QUANTISED and node.domain in DEFAULT_DOMAINS for node in model.graph.node)


def rounds(model: onnx.ModelProto) -> bool:
    """Return whether a model computes with integers that stand for floats; weights alone do not count.

    Weights do where onnxruntime rounds the other operand of their product as well.
    """
    return (
        any(
            node.op_type in QUANTISED and node.op_type != "DequantizeLinear" and node.domain in DEFAULT_DOMAINS
            for node in model.graph.node
        )
        or any(_is_rounding_product(node) for node in model.graph.node)
        or _multiplies_few_bits(model.graph)
    )


def _is_rounding_product(node: onnx.NodeProto) -> bool:
    if (node.domain, node.op_type) != (MICROSOFT, "MatMulNBits"):
        return False
    return any(each.name == "accuracy_level" and each.i == _ROUNDING_LEVEL for each in node.attribute)


def _multiplies_few_bits(graph: onnx.GraphProto) -> bool:
    """Whether weights of few bits become floats right before a product that rounds its other operand."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {node.output[0] for node in graph.node if _are_blocks_of_few_bits(node, tensors)}
    return any(node.op_type in ("MatMul", "Gemm") and node.input[1] in weights for node in graph.node)


def _are_blocks_of_few_bits(node: onnx.NodeProto, tensors: Mapping[str, TensorProto]) -> bool:
    if node.op_type != "DequantizeLinear" or not {*node.input[:2]} <= tensors.keys():
        return False
    weights, scale = tensors[node.input[0]], tensors[node.input[1]]
    if weights.data_type not in _FEW_BITS or len(weights.dims) != 2:
        return False
    numbers = {each.name: each.i for each in node.attribute}
    axis, size = numbers.get("axis", 1) % 2, numbers.get("block_size", 0)
    if size:
        return bool(axis == 0 and size >= _LEAST_BLOCK)
    return not scale.dims or (axis == 1 and [*scale.dims] == [weights.dims[1]])


def count_rounding_ops(view: GraphView, sources: Iterable[str], target: str) -> dict[str, int]:
    """Return how many nodes of each op of :data:`QUANTISED` lie between the sources and the target.

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 20]>
    ... g (float[N, 2] x) => (float[N, 2] y) <float s = {0.5}, int8 z = {0}> {
    ...   q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  y = Exp(d) }'''))
    >>> count_rounding_ops(view, ["x"], "y"), count_rounding_ops(view, ["d"], "y")
    ({'DequantizeLinear': 1, 'QuantizeLinear': 1}, {})
    """
    if not is_quantised(view.model):
        return {}
    given = set(sources)
    between = (view.data_descendants(given) - given) & view.ancestors([target])
    found = Counter(
        node.op_type
        for node in view.nodes
        if node.op_type in QUANTISED and node.domain in DEFAULT_DOMAINS and not between.isdisjoint(node.output)
    )
    return dict(sorted(found.items()))
