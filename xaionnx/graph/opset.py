"""Convert a model to a recent opset, without its weights in external files."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import onnx
import onnx.defs
import onnx.numpy_helper
import onnx.version_converter

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.view import DEFAULT_DOMAINS, topological_order
from xaionnx.loading.shape_inference import with_operand_types
from xaionnx.loading.soundness import subgraphs

# Rules support this version of the default domain and later ones.
OPSET = 20
# Scan has other semantics in this opset than in all later ones, and the converter ignores that.
_FIRST_SCAN = 8
# Domain of the ops that the converter does not see.
_ASIDE = "xaionnx.aside"
# Larger weights, in numbers, are no axes, sizes or bounds, which the converter reads.
_LIGHT = 1024


def opset_of(model: onnx.ModelProto) -> int | None:
    """Return the version of the default op set that a model imports; None if it imports none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS), None)


def convert_opset(model: onnx.ModelProto, target: int = OPSET) -> onnx.ModelProto:
    """Return the model in opset ``target``; a model of this or a newer opset is returned as it is.

    Weights in external files are not loaded. Ops that the declared opset does not have, as onnxruntime writes some,
    stay as they are.

    Raises
    ------
    UnsupportedModelError
        The model cannot be converted.
    """
    version = opset_of(model) or target
    if version >= target:
        return model
    if version == _FIRST_SCAN and any(node.op_type == "Scan" for node in all_nodes(model.graph)):
        raise UnsupportedModelError(
            "ONNX op 'Scan' of opset 8 runs over each sample separately, and no newer op does the same. "
            "Export the model with opset 9 or newer."
        )
    form = onnx.ModelProto()
    form.CopyFrom(model)
    ends = {value.name for value in (*form.graph.input, *form.graph.output)}
    # The converter copies each weight several times.
    apart = detach_weights(form, lambda tensor: is_external(tensor) or _is_heavy(tensor, ends))
    for node in all_nodes(form.graph):
        if node.domain in DEFAULT_DOMAINS and not _is_known(node.op_type, version):
            node.domain = _ASIDE
    form.opset_import.append(onnx.helper.make_opsetid(_ASIDE, 1))
    try:
        form = onnx.version_converter.convert_version(with_operand_types(form), target)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        reason = str(error).strip().splitlines()
        raise UnsupportedModelError(
            f"The graph cannot be converted from opset {version} to {target}: "
            f"{reason[-1] if reason else 'no reason given'}. Export it again with opset {target}."
        ) from error
    for node in all_nodes(form.graph):
        if node.domain == _ASIDE:
            node.domain = ""
    kept = [entry for entry in form.opset_import if entry.domain != _ASIDE]
    del form.opset_import[:]
    form.opset_import.extend(kept)
    attach_weights(form, apart)
    return form


def _is_known(op_type: str, version: int) -> bool:
    try:
        onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:
        return False
    return True


def _is_heavy(tensor: onnx.TensorProto, ends: Collection[str]) -> bool:
    """Whether the converter can do without the numbers of a weight, which is neither an input nor an output."""
    return math.prod(tensor.dims) > _LIGHT and tensor.name not in ends


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a weight lies in an external file."""
    location: int = tensor.data_location
    return location == onnx.TensorProto.EXTERNAL


def detach_weights(
    model: onnx.ModelProto, chosen: Callable[[onnx.TensorProto], bool] = is_external
) -> list[onnx.TensorProto]:
    """Turn some weights, by default those in external files, into inputs, and return them."""
    apart = [tensor for tensor in model.graph.initializer if chosen(tensor)]
    if apart:
        kept = [tensor for tensor in model.graph.initializer if not chosen(tensor)]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        model.graph.input.extend(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in apart
        )
    return apart


def attach_weights(model: onnx.ModelProto, apart: Sequence[onnx.TensorProto]) -> None:
    """Turn the inputs that :func:`detach_weights` made into weights again."""
    names = {tensor.name for tensor in apart}
    rest = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(rest)
    model.graph.initializer.extend(apart)


def all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes of a graph and of the bodies of If, Loop and Scan."""
    nodes: list[onnx.NodeProto] = []
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            nodes.append(node)
            graphs.extend(subgraphs(node))
    return nodes


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort nodes topologically, as ONNX requires and onnxruntime does not."""
    sorted_graph = onnx.GraphProto()
    sorted_graph.node.extend(topological_order(graph))
    del graph.node[:]
    graph.node.extend(sorted_graph.node)


def replace_sparse_weights(graph: onnx.GraphProto) -> None:
    """Replace sparse weights by dense ones: neither the converter nor onnx-ir keeps them."""
    for sparse in graph.sparse_initializer:
        dense = np.zeros(math.prod(sparse.dims), onnx.helper.tensor_dtype_to_np_dtype(sparse.values.data_type))
        indices = onnx.numpy_helper.to_array(sparse.indices)
        flat = np.ravel_multi_index(tuple(indices.T), tuple(sparse.dims)) if indices.ndim > 1 else indices
        dense[flat] = onnx.numpy_helper.to_array(sparse.values)
        graph.initializer.append(onnx.numpy_helper.from_array(dense.reshape(sparse.dims), sparse.values.name))
    del graph.sparse_initializer[:]
