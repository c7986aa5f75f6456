"""Several cotangents in one run: the forward part of a gradient graph once, and its way back once for each."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from xaionnx.autodiff.backward import COTANGENT, gradient_name

# What the axis of the cotangents is called.
_AXIS = "xai_cotangents"
# These answer for a tensor that depends on the samples by its shape alone.
_SHAPE_READERS = frozenset({"Shape", "Size"})


def for_several(model: onnx.ModelProto, wrt: Sequence[str]) -> onnx.ModelProto:
    """A gradient graph that takes several cotangents of each sample.

    Parameters
    ----------
    model : onnx.ModelProto
        As :func:`xaionnx.autodiff.backward.differentiate` makes it.
    wrt : sequence of str
        The tensors that it was differentiated with respect to.

    Returns
    -------
    onnx.ModelProto
        With the cotangents (N, U, ...) as input, and the gradients (N, U, ...). Samples come first, so that a batch is
        cut and joined as that of any model.

    Notes
    -----
    The nodes that depend on the cotangent become the body of a Scan over its second axis; they read the forward
    tensors from outside, so that these are computed and held once. What is made of weights for the body alone is made
    inside it: onnxruntime folds it there, and puts the weights of a convolution in its blocked layout, four times
    faster, only where they belong to the graph of the node.
    """
    graph_model = ir.from_proto(model)
    graph = graph_model.graph
    seed = next(value for value in graph.inputs if value.name == COTANGENT)
    body_nodes = _way_back(graph, seed)
    inner = ir.Value(name=f"{COTANGENT}_of_one", type=seed.type, shape=seed.shape)
    shown = {str(value.name): value for value in graph.outputs}
    answers = {name: shown[gradient_name(name)] for name in wrt}
    graph.outputs[:] = [
        value for value in graph.outputs if value not in answers.values() and value.producer() not in body_nodes
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
    for name, answer in answers.items():
        results.append(ir.Value(name=gradient_name(name), type=answer.type, shape=_widened(answer.shape)))
        answer.name = f"{gradient_name(name)}_of_one"
        if answer.producer() not in body_nodes:  # a gradient of zeros, whatever the cotangent
            same = ir.Node("", "Identity", [answer], name=f"{answer.name}_again")
            same.outputs[0].name, same.outputs[0].type = str(same.name), answer.type
            ordered.append(same)
            answer = same.outputs[0]
        ends.append(answer)
    body = ir.Graph([inner], ends, nodes=ordered, initializers=weights, name="backward")
    seed.shape = _widened(seed.shape)
    graph.append(
        ir.Node(
            "",
            "Scan",
            [seed],
            [
                ir.AttrGraph("body", body),
                ir.AttrInt64("num_scan_inputs", 1),
                ir.AttrInt64s("scan_input_axes", [1]),
                ir.AttrInt64s("scan_output_axes", [1] * len(results)),
            ],
            outputs=results,
            name="xai_for_each_cotangent",
        )
    )
    graph.outputs.extend(results)
    return ir.to_proto(graph_model)


def _way_back(graph: ir.Graph, seed: ir.Value) -> set[ir.Node]:
    """The nodes that depend on the cotangent, and those that make something of weights for them alone."""
    reached, found = {seed}, set[ir.Node]()
    fixed = {value for value in graph.initializers.values() if not isinstance(value.const_value, ir.ExternalTensor)}
    for node in graph:
        if any(value in reached for value in node.inputs):
            reached.update(node.outputs)
            found.add(node)
        elif node.op_type not in _SHAPE_READERS and all(value is None or value in fixed for value in node.inputs):
            fixed.update(node.outputs)
    for node in reversed(list(graph)):
        readers = {use.node for value in node.outputs for use in value.uses()}
        shown = any(value.is_graph_output() for value in node.outputs)
        if node not in found and fixed.issuperset(node.outputs) and not shown and readers <= found:
            found.add(node)
    return found


def _widened(shape: ir.Shape | None) -> ir.Shape | None:
    """A shape (N, ...) with the axis of the cotangents behind the batch."""
    return None if shape is None else ir.Shape([shape[0], _AXIS, *shape[1:]])
