"""Several cotangents in one run: the forward part of a gradient graph runs once, the backward part once for each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx
import onnx_ir as ir

from xaionnx.autodiff.backward import COTANGENT, gradient_name
from xaionnx.graph.view import SHAPE_READERS

# Name of the axis of the cotangents.
_AXIS = "xai_cotangents"


def with_several_cotangents(
    model: onnx.ModelProto, wrt: Sequence[str], summed: Collection[str] = ()
) -> onnx.ModelProto:
    """Return a gradient graph that takes several cotangents of each sample.

    Parameters
    ----------
    model : onnx.ModelProto
        As returned by :func:`xaionnx.autodiff.backward.differentiate`.
    wrt : sequence of str
        The tensors with respect to which it was differentiated.
    summed : collection of str
        Those that are weights, without samples, whose gradients are (U, ...).

    Returns
    -------
    onnx.ModelProto
        With cotangents (N, U, ...) as input, and gradients (N, U, ...) as outputs. Samples come first, so that batches
        are split and joined as for any model.

    Notes
    -----
    The nodes that depend on the cotangent become the body of a Scan over its second axis. They read the forward
    tensors from outside, so these are computed and stored once. Nodes that transform weights for the body only move
    into it: onnxruntime folds them there, and it uses the blocked layout for the weights of a convolution, which is
    four times faster, only if they belong to the same graph as the node.
    """
    graph_model = ir.from_proto(model)
    graph = graph_model.graph
    seed = next(value for value in graph.inputs if value.name == COTANGENT)
    body_nodes = _backward_nodes(graph, seed)
    inner = ir.Value(name=f"{COTANGENT}_of_one", type=seed.type, shape=seed.shape)
    outputs = {str(value.name): value for value in graph.outputs}
    gradients = {name: outputs[gradient_name(name)] for name in wrt}
    graph.outputs[:] = [
        value for value in graph.outputs if value not in gradients.values() and value.producer() not in body_nodes
    ]
    seed.replace_all_uses_with(inner)
    ordered = [node for node in graph if node in body_nodes]
    graph.remove(ordered)
    weights = [
        value
        for value in graph.initializers.values()
        if value.uses() and not value.is_graph_output() and all(use.node in body_nodes for use in value.uses())
    ]
    for value in weights:
        del graph.initializers[str(value.name)]
    results, ends = [], []
    for name, gradient in gradients.items():
        shape = _with_cotangent_axis(gradient.shape, 0 if name in summed else 1)
        results.append(ir.Value(name=gradient_name(name), type=gradient.type, shape=shape))
        gradient.name = f"{gradient_name(name)}_of_one"
        if gradient.producer() not in body_nodes:  # a gradient of zeros, whatever the cotangent
            same = ir.Node("", "Identity", [gradient], name=f"{gradient.name}_again")
            same.outputs[0].name, same.outputs[0].type = str(same.name), gradient.type
            ordered.append(same)
            gradient = same.outputs[0]
        ends.append(gradient)
    body = ir.Graph([inner], ends, nodes=ordered, initializers=weights, name="backward")
    seed.shape = _with_cotangent_axis(seed.shape, 1)
    graph.append(
        ir.Node(
            "",
            "Scan",
            [seed],
            [
                ir.AttrGraph("body", body),
                ir.AttrInt64("num_scan_inputs", 1),
                ir.AttrInt64s("scan_input_axes", [1]),
                ir.AttrInt64s("scan_output_axes", [0 if name in summed else 1 for name in gradients]),
            ],
            outputs=results,
            name="xai_for_each_cotangent",
        )
    )
    graph.outputs.extend(results)
    return ir.to_proto(graph_model)


def _backward_nodes(graph: ir.Graph, seed: ir.Value) -> set[ir.Node]:
    """The nodes that depend on the cotangent, and those that transform weights for them only."""
    reached, found = {seed}, set[ir.Node]()
    fixed = {value for value in graph.initializers.values() if not isinstance(value.const_value, ir.ExternalTensor)}
    for node in graph:
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
            found.add(node)
        elif node.op_type not in SHAPE_READERS and all(value is None or value in fixed for value in node.inputs):
            fixed.update(node.outputs)
    for node in reversed(list(graph)):
        readers = {use.node for value in node.outputs for use in value.uses()}
        shown = any(value.is_graph_output() for value in node.outputs)
        if node not in found and fixed.issuperset(node.outputs) and not shown and readers <= found:
            found.add(node)
    return found


def _with_cotangent_axis(shape: ir.Shape | None, at: int) -> ir.Shape | None:
    """A shape with the axis of the cotangents: 1, after the batch, or 0."""
    return None if shape is None else ir.Shape([*shape[:at], _AXIS, *shape[at:]])
