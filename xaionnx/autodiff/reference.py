"""The forward graph at a baseline, for rules that compare the input with one.

The baseline of each explained tensor is an additional input of the graph, with a row for each sample. Only the part of
the forward graph that depends on an explained tensor and that a rule needs is emitted again.
"""

from __future__ import annotations

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.graph.view import SHAPE_READERS


def baseline_name(tensor: str) -> str:
    """Return the name of the input for the baseline of a tensor."""
    return f"baseline_{tensor}"


def at_baseline(g: GradientBuilder, value: ir.Value) -> ir.Value:
    """Return a forward tensor at the baseline; the tensor itself if it does not depend on an explained one."""
    known: dict[ir.Value, ir.Value] = g.notes.setdefault("at baseline", {})
    pending = [value]
    while pending:
        top = pending[-1]
        if top in known:
            pending.pop()
        elif top in g.sources:
            known[top] = _input(g, top)
        else:
            maker = top.producer()
            if maker is None or maker.op_type in SHAPE_READERS:
                known[top] = top
                continue
            lacking = [v for v in maker.inputs if v is not None and v not in known]
            if lacking:
                pending += lacking
            else:
                _clone(g, maker, known)
    return known[value]


def baseline_node(g: GradientBuilder, node: ir.Node) -> ir.Node:
    """Return a node on the path, at the baseline."""
    made = at_baseline(g, node.outputs[0]).producer()
    assert made is not None, "nodes on the path depend on an explained tensor"
    return made


def _input(g: GradientBuilder, source: ir.Value) -> ir.Value:
    shape: list[int | str | None] = list(g.shape(source))
    if shape and shape[0] is None:
        size = next((given.shape[0] for given in g.graph.inputs if given.shape), "N")
        shape[0] = size.value if isinstance(size, ir.SymbolicDim) else size
    made = g.input(baseline_name(str(source.name)), source.dtype or ir.DataType.FLOAT, shape)
    g.match_shape(made, source)
    return made


def _clone(g: GradientBuilder, node: ir.Node, known: dict[ir.Value, ir.Value]) -> None:
    operands = [None if v is None else known[v] for v in node.inputs]
    if all(a is b for a, b in zip(operands, node.inputs, strict=True)):
        # No operand changes, but a body may read a tensor from outside that does.
        bodies = any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())
        if not bodies:
            known.update((v, v) for v in node.outputs)
            return
    for attribute in node.attributes.values():
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            raise g.refusal(node, "its body would have to run at the baseline too")
    made = g.emit_again(node, *operands, outputs=len(node.outputs))
    known.update(zip(node.outputs, made.outputs, strict=True))
