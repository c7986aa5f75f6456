"""Edit the nodes of an onnx-ir graph under fresh names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

import onnx_ir as ir

if TYPE_CHECKING:
    from xaionnx.typing import Array


@final
class IrEditor:
    """Inserts and replaces nodes and weights of a graph.

    Parameters
    ----------
    graph : onnx_ir.Graph
        Changed in place.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._names = {str(value.name) for node in graph for value in node.outputs}
        self._names |= {str(value.name) for value in graph.inputs} | set(graph.initializers)

    def insert(
        self, before: ir.Node, op: str, inputs: Sequence[ir.Value | None], attributes: Iterable[ir.Attr] = ()
    ) -> ir.Value:
        """Insert a node ahead of another, and return its output."""
        node = ir.Node("", op, inputs, list(attributes))
        value = node.outputs[0]
        value.name = node.name = self._fresh(f"{before.outputs[0].name}/{op}")
        value.type = inputs[0].type if inputs[0] is not None else None
        self.graph.insert_before(before, node)
        return value

    def copy(self, node: ir.Node, operands: Sequence[ir.Value | None]) -> ir.Node:
        made = ir.Node("", node.op_type, operands, list(node.attributes.values()), num_outputs=len(node.outputs))
        made.name = self._fresh(f"{node.outputs[0].name}/floats")
        for new, old in zip(made.outputs, node.outputs, strict=True):
            new.name = self._fresh(f"{old.name}/floats")
            new.type = operands[0].type if operands[0] is not None else None
        self.graph.insert_before(node, made)
        return made

    def replace(self, node: ir.Node, old: ir.Value, new: ir.Value) -> None:
        """Give a new tensor the name of an old one, and its readers."""
        if new.is_initializer() and old.is_graph_output():
            new = self.insert(node, "Identity", [new])
        name = str(old.name)
        if old.is_graph_output():
            new.shape, new.type = new.shape or old.shape, new.type or old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = self._fresh(f"{name}/replaced")
        if not new.is_initializer():
            new.name = name

    def weight(self, array: Array) -> ir.Value:
        name = self._fresh("dequantised")
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def _fresh(self, stem: str) -> str:
        name, turn = stem, 1
        while name in self._names:
            turn += 1
            name = f"{stem}_{turn}"
        self._names.add(name)
        return name
