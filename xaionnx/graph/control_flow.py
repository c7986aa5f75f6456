"""If, Loop and Scan: what they have in common, and their weights outside of their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import onnx.inliner
from onnx import helper, numpy_helper

from xaionnx.graph.view import DEFAULT_DOMAINS
from xaionnx.graph.writing import Writer, local_names
from xaionnx.loading.soundness import subgraphs

# All ops of the default domain that have bodies, except SequenceMap.
CONTROL = frozenset({"If", "Loop", "Scan"})


def bring_out(model: onnx.ModelProto) -> None:
    """Move weights and constants out of all bodies, in place, so that copies of a body share them."""
    graph = model.graph
    bodies: list[tuple[onnx.GraphProto, dict[str, str]]] = [(b, {}) for node in graph.node for b in subgraphs(node)]
    writer = Writer(graph) if bodies else None
    while bodies and writer is not None:
        body, outer = bodies.pop()
        local = local_names(body)
        names = {old: new for old, new in outer.items() if old not in local}
        constants = [index for index, node in enumerate(body.node) if tensor_of(node) is not None]
        weights = list(body.initializer)
        for index in constants:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(tensor_of(body.node[index]))
            tensor.name = body.node[index].output[0]
            weights.append(tensor)
        for tensor in weights:
            names[tensor.name] = writer.name(tensor.name, alone=True)
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = names[tensor.name]
        del body.initializer[:]
        for index in reversed(constants):
            del body.node[index]
        defined = {name for node in body.node for name in node.output} | {value.name for value in body.input}
        for value in body.output:
            if value.name not in defined:  # an output of a body must be defined inside it
                inner = writer.name(f"{value.name}/inside")
                body.node.append(writer.node("Identity", [value.name], inner))
                value.name = inner
        for node in body.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            bodies.extend((deeper, names) for deeper in subgraphs(node))


def branch_nodes(writer: Writer, node: onnx.NodeProto, condition: bool) -> Iterable[onnx.NodeProto]:
    """Return the nodes of the branch of an If, under the names of its outputs."""
    branch = helper.get_node_attr_value(node, "then_branch" if condition else "else_branch")
    ends = [(value.name, end) for value, end in zip(branch.output, node.output, strict=False) if end]
    return writer.copy(branch, {}, ends, "")


def is_control(node: onnx.NodeProto) -> bool:
    """Whether a node is an If, Loop or Scan."""
    return node.domain in DEFAULT_DOMAINS and node.op_type in CONTROL


def first_output(node: onnx.NodeProto) -> str:
    """Return the first output of a node that has a name."""
    return next((name for name in node.output if name), "")


def tensor_of(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return the value of a Constant node, if it is an array of numbers."""
    if node.op_type != "Constant" or node.domain not in DEFAULT_DOMAINS:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: onnx.TensorProto = attribute.t
        return tensor
    kind = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kind:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), dtype=kind[attribute.name]))


def nested_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes and those of their bodies."""
    pending = [nodes]
    while pending:
        for node in pending.pop():
            yield node
            pending.extend(body.node for body in subgraphs(node))
