"""Facts about models that compute with integers, or narrow floats, which stand for floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import onnx

from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView

# Ops that convert between floats and the integers that stand for them, and products of these integers.
QUANTISED: Final = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear",
    }
)  # fmt: skip


def is_quantised(model: onnx.ModelProto) -> bool:
    """Return whether a model has one of the ops :data:`QUANTISED`, outside of bodies."""
    return any(node.op_type in QUANTISED and node.domain in DEFAULT_DOMAINS for node in model.graph.node)


def rounds(model: onnx.ModelProto) -> bool:
    """Return whether a model computes with integers that stand for floats; weights alone do not count."""
    return any(
        node.op_type in QUANTISED and node.op_type != "DequantizeLinear" and node.domain in DEFAULT_DOMAINS
        for node in model.graph.node
    )


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
