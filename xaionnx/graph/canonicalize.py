"""Bring a model into the form that rules are written for: one recent opset, constants folded, no functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import count

import numpy as np
import onnx
import onnx.inliner
import onnx.numpy_helper
import onnx.version_converter

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.control_flow import Probed, bring_out, write_out
from xaionnx.graph.cut import expose
from xaionnx.graph.expand import expand
from xaionnx.graph.serialize import WEIGHTS_APART
from xaionnx.graph.view import DEFAULT_DOMAINS, topological_order
from xaionnx.loading import declared_inputs
from xaionnx.loading.soundness import subgraphs

# Rules are written for this version of the default domain and later ones.
OPSET = 20
# Its Scan goes over by another rule than all later ones, which the conversion does not know.
_FIRST_SCAN = 8

# Simplifies a serialised model and leaves all ops in the default domain.
Simplify = Callable[[bytes], bytes]


def canonicalize(
    model: onnx.ModelProto, keep: Sequence[str], simplify: Simplify | None, probed: Probed | None = None
) -> onnx.ModelProto:
    """The same function as a graph of opset 20 or newer: nodes in order, constants folded, functions inlined.

    Parameters
    ----------
    model : onnx.ModelProto
        Left as it is.
    keep : sequence of str
        Tensors that must survive under their names: they become outputs, after the model's own. Other tensors keep
        their names where they survive.
    simplify : callable or None
        Serialised model in, simplified one out (:func:`xaionnx.runtime.session.simplified`); None leaves that step out.
    probed : callable or None
        Probes a model that takes the same inputs, so that If, Loop and Scan are written out as
        :func:`xaionnx.graph.control_flow.write_out` tells; None leaves that step out.

    Raises
    ------
    UnknownNameError
        No tensor has a name in ``keep``.
    UnsupportedModelError
        The model cannot be converted to opset 20, or the simplification brought an op that is not of ONNX.

    Notes
    -----
    Weights in external files never enter memory: they stand as inputs while the graph is rewritten, and are weights
    again in the result, with their locations. What is folded into them elsewhere stays unfolded here.
    """
    form = onnx.ModelProto()
    form.CopyFrom(expose(model, keep) if keep else model)
    form.ClearField("training_info")
    form.ir_version = max(form.ir_version, WEIGHTS_APART)
    _put_in_order(form.graph)
    own = declared_inputs(form)
    del form.graph.input[:]
    form.graph.input.extend(own)
    if form.functions:
        form = onnx.inliner.inline_local_functions(form, convert_version=True)
    _make_dense(form.graph)
    bring_out(form)
    apart = _take_apart(form)
    form = _converted(form)
    _put_together(form, apart)
    if probed is not None:
        form = write_out(form, keep, probed)
    form = expand(form)
    if simplify is not None:
        apart = _take_apart(form)
        before, cast = _foreign(form), _made_by_cast(form, keep)
        form = onnx.load_model_from_string(simplify(form.SerializeToString()))
        strange = sorted(_foreign(form) - before)
        if strange:
            raise UnsupportedModelError(
                f"Simplifying the graph brought in ops that are not of ONNX: {', '.join(strange)}. "
                "Update onnxruntime, or use a method without gradients."
            )
        _put_together(form, apart)
        _lead_through(form.graph, _made_by_cast(form, keep) - cast)
    _put_sums_apart(form.graph)
    # Shapes inside may be declared for one sample.
    del form.graph.value_info[:]
    used = {node.domain for node in _all_nodes(form.graph)}
    imports = [entry for entry in form.opset_import if entry.domain in used or entry.domain in DEFAULT_DOMAINS]
    del form.opset_import[:]
    form.opset_import.extend(imports)
    return form


def _put_in_order(graph: onnx.GraphProto) -> None:
    """Put makers before readers, as ONNX asks and onnxruntime does not."""
    sorted_graph = onnx.GraphProto()
    sorted_graph.node.extend(topological_order(graph))
    del graph.node[:]
    graph.node.extend(sorted_graph.node)


def _made_by_cast(model: onnx.ModelProto, names: Sequence[str]) -> set[str]:
    """Those of ``names`` that a Cast makes."""
    made = {node.output[0] for node in model.graph.node if node.op_type == "Cast"}
    return made.intersection(names)


def _lead_through(graph: onnx.GraphProto, names: Collection[str]) -> None:
    """Lead what a Cast to one of ``names`` reads through that tensor.

    Where onnxruntime has no kernel of float16, the simplified graph goes on in float32, and tensors of float16 that
    must survive hang beside the way.
    """
    nodes = list(graph.node)
    for cast in [node for node in nodes if node.output and node.output[0] in names]:
        (wide,), (name,) = cast.input, cast.output
        back = f"{name}/wide"
        for node in nodes:
            if node is not cast:
                node.input[:] = [back if read == wide else read for read in node.input]
        graph.node.append(onnx.helper.make_node("Cast", [name], [back], name=back, to=onnx.TensorProto.FLOAT))
    if names:
        _put_in_order(graph)


def _make_dense(graph: onnx.GraphProto) -> None:
    """Write sparse weights as ordinary ones: neither the conversion nor onnx-ir keeps them."""
    for sparse in graph.sparse_initializer:
        dense = np.zeros(math.prod(sparse.dims), onnx.helper.tensor_dtype_to_np_dtype(sparse.values.data_type))
        places = onnx.numpy_helper.to_array(sparse.indices)
        flat = np.ravel_multi_index(tuple(places.T), tuple(sparse.dims)) if places.ndim > 1 else places
        dense[flat] = onnx.numpy_helper.to_array(sparse.values)
        graph.initializer.append(onnx.numpy_helper.from_array(dense.reshape(sparse.dims), sparse.values.name))
    del graph.sparse_initializer[:]


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS), OPSET)
    if version >= OPSET:
        return model
    if version == _FIRST_SCAN and any(node.op_type == "Scan" for node in _all_nodes(model.graph)):
        raise UnsupportedModelError(
            "ONNX op 'Scan' of opset 8 takes each sample by itself, and no newer op is like it. "
            "Export the model with opset 9 or newer."
        )
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except RuntimeError as error:  # the C++ converter raises all its failures so
        reason = str(error).strip().splitlines()
        raise UnsupportedModelError(
            f"The graph cannot be converted from opset {version} to {OPSET}: "
            f"{reason[-1] if reason else 'no reason given'}. Export it again with opset {OPSET}."
        ) from error


def _put_sums_apart(graph: onnx.GraphProto) -> None:
    """Write a Gemm that adds what is no weight as a product and a sum.

    What stands beside a product, as a residual connection does, is no bias of it, and rules treat the two differently;
    onnxruntime's rewrites join them, and so do exporters.
    """
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    fixed |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    nodes = []
    for node in graph.node:
        joined = node.op_type == "Gemm" and len(node.input) == 3 and node.input[2] not in fixed
        # A factor of the sum is left to the Gemm, as nothing here tells the type that it would have.
        if joined and all(attribute.f == 1 for attribute in node.attribute if attribute.name == "beta"):
            product = onnx.NodeProto()
            product.CopyFrom(node)
            product.output[0] = next(
                name for number in count() if (name := f"{node.output[0]}_product_{number}") not in taken
            )
            beside = product.input.pop()
            nodes += [product, onnx.helper.make_node("Add", [product.output[0], beside], [node.output[0]])]
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _take_apart(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Make inputs of the weights in external files, and return these."""
    apart = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if apart:
        kept = [tensor for tensor in model.graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        model.graph.input.extend(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in apart
        )
    return apart


def _put_together(model: onnx.ModelProto, apart: Sequence[onnx.TensorProto]) -> None:
    names = {tensor.name for tensor in apart}
    rest = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(rest)
    model.graph.initializer.extend(apart)


def _foreign(model: onnx.ModelProto) -> set[str]:
    return {f"{node.domain}.{node.op_type}" for node in _all_nodes(model.graph) if node.domain not in DEFAULT_DOMAINS}


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    found: list[onnx.NodeProto] = []
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            found.append(node)
            graphs.extend(subgraphs(node))
    return found
