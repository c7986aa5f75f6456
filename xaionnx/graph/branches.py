"""Ifs whose branch depends on the inputs, and models in which branches are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import onnx
import onnx.inliner

from xaionnx.graph.control_flow import branch_nodes, bring_out, first_output, is_control, nested_nodes
from xaionnx.graph.view import SHAPE_READERS, reads, topological_order
from xaionnx.graph.writing import Writer
from xaionnx.loading import declared_inputs

# The size of what these make depends on the values that they read.
_SIZED_BY_VALUES = frozenset(
    {"Compress", "NonMaxSuppression", "NonZero", "Unique", "ConstantOfShape", "Range", "OneHot"}
)
# The size of what these make depends on numbers that they read after the first operand.
_SIZED_BY_NUMBERS = frozenset(
    {"Expand", "Pad", "Reshape", "Resize", "Slice", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze", "Upsample"}
)


@final
@dataclass(frozen=True)
class BranchPoint:
    """An If of the main graph whose branch depends on the values of inputs.

    Attributes
    ----------
    output : str
        Its first output, by which it is known.
    condition : str
        The tensor that chooses the branch.
    inputs : frozenset of str
        The inputs on which the condition depends.
    """

    output: str
    condition: str
    inputs: frozenset[str]


def branch_points(model: onnx.ModelProto) -> tuple[BranchPoint, ...]:
    """Return the Ifs of the main graph whose branch depends on the values of inputs, in topological order.

    Bodies of Loop and Scan are not searched. An If within a branch shows after :func:`take_branches`.

    Parameters
    ----------
    model : onnx.ModelProto
        See :func:`inline_branches` for Ifs in functions.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 9, opset_import: ["" : 20]>
    ... g (float[N, 2] x, bool loud) => (float[N, 2] y) {
    ...   y = If (loud) <then_branch = a () => (float[N, 2] p) { p = Exp(x) },
    ...                  else_branch = b () => (float[N, 2] q) { q = Neg(x) }> }''')
    >>> branch_points(model)
    (BranchPoint(output='y', condition='loud', inputs=frozenset({'loud'})),)
    >>> [node.op_type for node in take_branches(model, {"y": True}).graph.node]
    ['Exp']
    """
    return tuple(point for point in _all_branch_points(model) if point.inputs)


def size_branch_points(model: onnx.ModelProto) -> tuple[BranchPoint, ...]:
    """Return the Ifs of the main graph whose branch depends on sizes alone, not on the values of inputs.

    Parameters
    ----------
    model : onnx.ModelProto
        As for :func:`branch_points`.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 9, opset_import: ["" : 20]>
    ... g (float[N, T] x) => (float[N, T] y) <int64 one = {1}> {
    ...   n = Size(x)  c = Equal(n, one)
    ...   y = If (c) <then_branch = a () => (float[N, T] p) { p = Exp(x) },
    ...               else_branch = b () => (float[N, T] q) { q = Neg(x) }> }''')
    >>> size_branch_points(model)
    (BranchPoint(output='y', condition='c', inputs=frozenset()),)
    """
    return tuple(point for point in _all_branch_points(model) if not point.inputs)


def _all_branch_points(model: onnx.ModelProto) -> list[BranchPoint]:
    """Return the Ifs of the main graph in topological order."""
    if not any(is_control(node) and node.op_type == "If" for node in model.graph.node):
        return []
    nodes = topological_order(model.graph)
    inputs = [value.name for value in declared_inputs(model)]
    reached = {name: _value_descendants(nodes, name) for name in inputs}
    return [
        BranchPoint(
            first_output(node), node.input[0], frozenset(name for name in inputs if node.input[0] in reached[name])
        )
        for node in nodes
        if is_control(node) and node.op_type == "If"
    ]


def take_branches(model: onnx.ModelProto, taken: Mapping[str, bool]) -> onnx.ModelProto:
    """Return the model with some Ifs of the main graph replaced by one of their branches.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed.
    taken : mapping of str to bool
        For the first output of each If, whether its condition is true.
    """
    form = onnx.ModelProto()
    form.CopyFrom(model)
    bring_out(form)
    writer = Writer(form.graph)
    rewritten = onnx.GraphProto()
    for node in form.graph.node:
        chosen = taken.get(first_output(node)) if node.op_type == "If" else None
        rewritten.node.extend([node] if chosen is None else branch_nodes(writer, node, chosen))
    del form.graph.node[:]
    form.graph.node.extend(rewritten.node)
    return form


def has_branches(model: onnx.ModelProto) -> bool:
    """Whether there is an If in the main graph or in a function."""
    listed = [model.graph.node, *(function.node for function in model.functions)]
    return any(node.op_type == "If" for nodes in listed for node in nodes)


def inline_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without functions if there is an If in one of them; the model itself otherwise."""
    inside = any(node.op_type == "If" for function in model.functions for node in nested_nodes(function.node))
    return onnx.inliner.inline_local_functions(model, convert_version=True) if inside else model


def _value_descendants(nodes: Iterable[onnx.NodeProto], source: str) -> set[str]:
    """Return the tensors whose values depend on those of an input; ``nodes`` must be in topological order.

    The size of a tensor depends on values after the selection of positions, or if its size is computed from them.
    """
    dependent, sized = {source}, set[str]()
    for node in nodes:
        names = reads(node)
        read = dependent.intersection(names)
        if not read:
            continue
        if node.op_type in SHAPE_READERS and sized.isdisjoint(names):
            continue
        made = {name for name in node.output if name}
        dependent |= made
        shaped = node.op_type in _SIZED_BY_NUMBERS and not dependent.isdisjoint(node.input[1:])
        if node.op_type in _SIZED_BY_VALUES or shaped or not sized.isdisjoint(names):
            sized |= made
    return dependent
