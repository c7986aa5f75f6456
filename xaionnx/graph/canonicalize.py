"""Convert a model to the form that rules expect: a recent opset, folded constants, no functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import onnx
import onnx.inliner
import onnx.numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.control_flow import bring_out
from xaionnx.graph.cut import expose
from xaionnx.graph.expand import expand
from xaionnx.graph.opset import (
    all_nodes,
    attach_weights,
    convert_opset,
    detach_weights,
    replace_sparse_weights,
    sort_nodes,
)
from xaionnx.graph.quantised import is_quantised
from xaionnx.graph.unroll import Probed, write_out
from xaionnx.graph.view import DEFAULT_DOMAINS
from xaionnx.graph.widen import widen
from xaionnx.graph.written_out import join_softmax, write_sums_of_two
from xaionnx.loading import declared_inputs
from xaionnx.loading.reading import WEIGHTS_APART

# Simplifies a serialised model and keeps all ops in the default domain.
Simplify = Callable[[bytes], bytes]


def canonicalize(
    model: onnx.ModelProto, keep: Sequence[str], simplify: Simplify | None, probed: Probed | None = None
) -> onnx.ModelProto:
    """Return an equivalent model of opset 20 or newer with sorted nodes, folded constants and inlined functions.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed.
    keep : sequence of str
        Tensors that must remain, under their names: they become outputs, after those of the model. Other tensors
        keep their names if they remain.
    simplify : callable or None
        Maps a serialised model to a simplified one (:func:`xaionnx.runtime.session.simplified`); None skips the step.
    probed : callable or None
        Probes a model with the same inputs, so that If, Loop and Scan can be unrolled
        (:func:`xaionnx.graph.control_flow.write_out`); None skips the step.

    Raises
    ------
    UnknownNameError
        No tensor has a name in ``keep``.
    UnsupportedModelError
        The model cannot be converted to opset 20, or the simplification introduced an op that is not part of ONNX.

    Notes
    -----
    Weights in external files are not loaded: they become inputs while the graph is rewritten, and weights with their
    locations again in the result. Constants are therefore not folded into them.
    """
    form = onnx.ModelProto()
    form.CopyFrom(expose(model, keep) if keep else model)
    form.ClearField("training_info")
    form.ir_version = max(form.ir_version, WEIGHTS_APART)
    sort_nodes(form.graph)
    inputs = declared_inputs(form)
    del form.graph.input[:]
    form.graph.input.extend(inputs)
    if form.functions:
        form = onnx.inliner.inline_local_functions(form, convert_version=True)
    replace_sparse_weights(form.graph)
    bring_out(form)
    form = widen(convert_opset(form))
    if probed is not None:
        form = write_out(form, keep, probed)
    form = expand(form)
    write_sums_of_two(form.graph)
    if is_quantised(form):
        # onnx-ir is slow to import, and few models need it before they are differentiated.
        from xaionnx.graph.dequantize import dequantise

        form = dequantise(form)
    if simplify is not None:
        apart = detach_weights(form)
        before = _foreign_ops(form)
        form = onnx.load_model_from_string(simplify(form.SerializeToString()))
        strange = sorted(_foreign_ops(form) - before)
        if strange:
            raise UnsupportedModelError(
                f"Simplifying the graph introduced ops that are not part of ONNX: {', '.join(strange)}. "
                "Update onnxruntime, or use a method without gradients."
            )
        attach_weights(form, apart)
    join_softmax(form.graph)
    _split_gemm(form.graph)
    # Shapes of internal tensors may be declared for one sample.
    del form.graph.value_info[:]
    used = {node.domain for node in all_nodes(form.graph)}
    imports = [entry for entry in form.opset_import if entry.domain in used or entry.domain in DEFAULT_DOMAINS]
    del form.opset_import[:]
    form.opset_import.extend(imports)
    return form


def _split_gemm(graph: onnx.GraphProto) -> None:
    """Replace each Gemm whose third operand is not a weight by a product and a sum.

    Such an operand, for example a residual connection, is not a bias, and rules treat the two differently.
    onnxruntime's rewrites and some exporters fuse them.
    """
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    fixed |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    nodes = []
    for node in graph.node:
        joined = node.op_type == "Gemm" and len(node.input) == 3 and node.input[2] not in fixed
        # A Gemm with a factor beta stays, since the type of that factor is unknown here.
        if joined and all(attribute.f == 1 for attribute in node.attribute if attribute.name == "beta"):
            product = onnx.NodeProto()
            product.CopyFrom(node)
            product.output[0] = next(
                name for number in count() if (name := f"{node.output[0]}_product_{number}") not in taken
            )
            addend = product.input.pop()
            nodes += [product, onnx.helper.make_node("Add", [product.output[0], addend], [node.output[0]])]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _foreign_ops(model: onnx.ModelProto) -> set[str]:
    return {f"{node.domain}.{node.op_type}" for node in all_nodes(model.graph) if node.domain not in DEFAULT_DOMAINS}
