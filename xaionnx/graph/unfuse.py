"""Write the fused ops of onnxruntime as plain ops, so that an optimised file is explained as its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx
import onnx.inliner

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.blocked_layout import BlockedLayout
from xaionnx.graph.fused_op import MICROSOFT, FusedNode, fused_ops
from xaionnx.graph.opset import OPSET, all_nodes, convert_opset, replace_sparse_weights, sort_nodes
from xaionnx.graph.tensor_facts import TensorFacts
from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView, topological_order
from xaionnx.graph.writing import Writer
from xaionnx.loading import declared_inputs
from xaionnx.loading.reading import WEIGHTS_APART
from xaionnx.loading.soundness import subgraphs

if TYPE_CHECKING:
    from xaionnx.typing import Array

# These take integers of 16 bits, which ONNX has from this opset on.
_WIDE = frozenset(("DequantizeLinear", "QuantizeLinear"))
_OPSET_OF_16_BITS = 21


def unfuse(
    model: onnx.ModelProto, load: Callable[[onnx.TensorProto], Array], block: Callable[[], int]
) -> onnx.ModelProto:
    """Return an equivalent model in which the fused ops of onnxruntime are written as plain ops.

    Tensors keep their names. Those in the blocked layout of an optimised file become plain tensors (N, C, H, W).

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if it has no fused op, or its opset cannot be converted to a recent one.
    load : callable
        Returns the numbers of a weight, also of one in an external file.
    block : callable
        Returns the number of channels in a block of the blocked layout on this machine.

    Raises
    ------
    UnsupportedModelError
        The file has the blocked layout of another processor, so that onnxruntime computes something else here.

    Notes
    -----
    A node that cannot be written as plain ops stays, with the reason as its ``doc_string``.

    Examples
    --------
    >>> from onnx import numpy_helper, parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    ... g (float[N, 2] a, float[2] b) => (float[N, 2] y) { y = com.microsoft.BiasGelu(a, b) }''')
    >>> [node.op_type for node in unfuse(model, numpy_helper.to_array, lambda: 16).graph.node]
    ['Add', 'Gelu']
    """
    bodies = [function.node for function in model.functions]
    if not any(_is_fused(node) for nodes in (all_nodes(model.graph), *bodies) for node in nodes):
        return model
    try:
        form = _recent(model)
    except UnsupportedModelError:
        return model
    given = _read_names(form.graph)
    facts = TensorFacts(form, load)
    layout = BlockedLayout(GraphView(form), load, block)
    layout.check()
    _write_plain(form.graph, facts, Writer(form.graph), layout)
    _drop_unread_weights(form.graph, given)
    used = {node.domain for node in all_nodes(form.graph)}
    imports = [entry for entry in form.opset_import if entry.domain in used or entry.domain in DEFAULT_DOMAINS]
    del form.opset_import[:]
    form.opset_import.extend(imports)
    return form


def _read_names(graph: onnx.GraphProto) -> set[str]:
    names = {name for node in all_nodes(graph) for name in node.input} | {value.name for value in graph.output}
    return names | {v.name for node in all_nodes(graph) for body in subgraphs(node) for v in body.output}


def _drop_unread_weights(graph: onnx.GraphProto, given: set[str]) -> None:
    """Remove the weights in another order or type that nodes no longer read."""
    replaced = given - _read_names(graph)
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _is_fused(node: onnx.NodeProto) -> bool:
    return (node.domain, node.op_type) in fused_ops()


def _recent(model: onnx.ModelProto) -> onnx.ModelProto:
    form = onnx.ModelProto()
    form.CopyFrom(model)
    form.ir_version = max(form.ir_version, WEIGHTS_APART)
    sort_nodes(form.graph)
    inputs = declared_inputs(form)
    del form.graph.input[:]
    form.graph.input.extend(inputs)
    replace_sparse_weights(form.graph)
    if form.functions:
        form = onnx.inliner.inline_local_functions(form, convert_version=True)
    wide = any(node.domain == MICROSOFT and node.op_type in _WIDE for node in all_nodes(form.graph))
    return convert_opset(form, _OPSET_OF_16_BITS if wide else OPSET)


def _write_plain(graph: onnx.GraphProto, facts: TensorFacts, writer: Writer, layout: BlockedLayout) -> None:
    facts.enter(graph)
    nodes: list[onnx.NodeProto] = []
    for node in topological_order(graph):
        for body in subgraphs(node):
            _write_plain(body, facts, writer, layout)
        if _is_fused(node):
            nodes.extend(_plain_nodes(FusedNode(node, facts, writer, layout)))
            continue
        if layout.regroups(node):
            node = onnx.helper.make_node("Identity", node.input[:1], node.output, name=node.name)
        facts.add(node)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _plain_nodes(fused: FusedNode) -> list[onnx.NodeProto]:
    """Return the nodes that replace a fused one; the node itself, with the reason, if that is not possible."""
    node = fused.node
    try:
        returned = fused_ops()[node.domain, node.op_type](fused)
        outputs = [returned] if isinstance(returned, str) else list(returned)
        missing = [name for name in node.output[len(outputs) :] if name]
        if missing:
            raise fused.refusal(f"its output '{missing[0]}' cannot be computed by plain ops")
    except UnsupportedModelError as error:
        node.doc_string = str(error)
        return [node]
    return _with_outputs(fused, outputs)


def _with_outputs(fused: FusedNode, outputs: list[str]) -> list[onnx.NodeProto]:
    """Return the nodes that were written, with the last tensors under the names of the node's outputs."""
    makers = {name for node in fused.nodes if node.op_type != "Constant" for name in node.output}
    renamed: dict[str, str] = {}
    for inner, outer in zip(outputs, fused.node.output, strict=False):
        if outer and inner in makers and inner not in renamed:
            renamed[inner] = outer
        elif outer:
            fused.nodes.append(onnx.helper.make_node("Identity", [inner], [outer], name=outer))
            fused.facts.add(fused.nodes[-1])
    wanted, kept = set(fused.node.output), list[onnx.NodeProto]()
    for node in reversed(fused.nodes):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            kept.append(node)
    fused.facts.rename(renamed)
    return kept[::-1]
