"""Look tokens up once: write transpositions after a look-up instead of before it, and join equal look-ups.

Optimisers quantise a table and read its rows twice: in the order of the input, and transposed for a recurrent layer.
Both are the same embedding. Written as one, it has the samples on its first axis, and everything depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import helper

from xaionnx.graph.opset import sort_nodes
from xaionnx.graph.view import GraphView, reads

_Key = tuple[str, ...]


def embed_once(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model in which each table is looked up once for the same tokens.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if there is nothing to write in another way. Tensors keep their names.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (int64[N, T] x) => (float[T, N, 2] y) <uint8[3, 2] table = {1, 2, 3, 4, 5, 6}, float s = {0.5}> {
    ...   rows = Gather(table, x)  turned = Transpose<perm = [1, 0, 2]>(rows)  y = DequantizeLinear(turned, s) }''')
    >>> [node.op_type for node in embed_once(model).graph.node]
    ['Gather', 'DequantizeLinear', 'Transpose']
    """
    view = GraphView(model)
    known = {_key(node): node.output[0] for node in view.nodes if node.op_type in ("Gather", "DequantizeLinear")}
    nodes, passed = list[onnx.NodeProto](), set[str]()
    for node in view.nodes:
        found = _after_look_up(view, node, known)
        nodes += [node] if found is None else found
        passed |= set() if found is None else set(node.input)
    if not passed:
        return model
    written = onnx.ModelProto()
    written.CopyFrom(model)
    del written.graph.node[:]
    read = {name for node in nodes for name in reads(node)} | {value.name for value in model.graph.output}
    # Transpositions that nothing reads any more.
    written.graph.node.extend(n for n in nodes if not (passed.intersection(n.output) and read.isdisjoint(n.output)))
    sort_nodes(written.graph)
    return written


def _key(node: onnx.NodeProto) -> _Key:
    stated = (f"{each.name}={helper.get_attribute_value(each)}" for each in node.attribute)
    return (node.op_type, *node.input, *sorted(stated))


def _after_look_up(view: GraphView, node: onnx.NodeProto, known: dict[_Key, str]) -> list[onnx.NodeProto] | None:
    """Return the nodes that replace a node that reads transposed tokens or rows; None if it stays."""
    turned = {"Gather": 1, "DequantizeLinear": 0}.get(node.op_type)
    source = None if turned is None else view.producers.get(node.input[turned])
    if turned is None or source is None or source.op_type != "Transpose":
        return None
    perm = view.attributes(source).get("perm")
    if perm is None or not (_is_table(view, node, known) if turned else _is_row(view, node, source)):
        return None
    early = onnx.NodeProto()
    early.CopyFrom(node)
    early.input[turned] = source.input[0]
    key = _key(early)
    known_before = key in known
    early.output[0] = known.setdefault(key, f"{node.output[0]}/in_order_of_{source.input[0]}")
    # The transposition keeps the name of the node, which no two nodes may have.
    early.name = early.output[0]
    rank = len(perm) if not turned else len(perm) + len(view.constants[node.input[0]].dims) - 1
    order = [*perm, *range(len(perm), rank)]
    last = helper.make_node("Transpose", [early.output[0]], [node.output[0]], name=node.name, perm=order)
    return [last] if known_before else [early, last]


def _is_table(view: GraphView, node: onnx.NodeProto, known: Mapping[_Key, str]) -> bool:
    """Whether rows of a table are looked up that are also looked up for the tokens in their own order."""
    source = view.producers[node.input[1]]
    same = onnx.NodeProto()
    same.CopyFrom(node)
    same.input[1] = source.input[0]
    return node.input[0] in view.constants and not view.attributes(node).get("axis", 0) and _key(same) in known


def _is_row(view: GraphView, node: onnx.NodeProto, source: onnx.NodeProto) -> bool:
    """Whether transposed rows of a table are dequantised by one scale."""
    rows = view.producers.get(source.input[0])
    table = rows is not None and rows.op_type == "Gather" and rows.input[0] in view.constants
    parameters = [view.constants.get(name) for name in node.input[1:] if name]
    return table and all(held is not None and math.prod(held.dims) == 1 for held in parameters)
