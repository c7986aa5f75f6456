"""Types and shapes of tensors, by ONNX's shape inference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import onnx

from xaionnx.loading import declared_inputs
from xaionnx.loading.reading import WEIGHTS_APART
from xaionnx.loading.shape_inference import infer_shapes, without_tree_numbers

# Largest size of a weight whose values shape inference may read.
_LIGHT = 1024


def inferred(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    sizes: Mapping[str, Sequence[int]] | None = None,
    declares_outputs: bool = True,
) -> dict[str, onnx.ValueInfoProto]:
    """Return types and shapes by name, inferred on the graph without its large weights.

    ``nodes`` are those of the model in topological order: inference visits each node once, in the given order. Free
    sizes of the inputs are set to ``sizes``. Without ``declares_outputs``, what the file says about its outputs is not
    used.
    """
    skeleton = shell(model)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(map(without_tree_numbers, nodes))
    graph.input.extend(declared_inputs(model))
    for tensor in model.graph.initializer:
        light = math.prod(tensor.dims) <= _LIGHT and tensor.data_location != onnx.TensorProto.EXTERNAL
        if light:  # may be the shape of a Reshape
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    # Inference gives no type to an untyped output, but it does to an inner tensor.
    graph.output.extend(value for value in model.graph.output if declares_outputs and value.HasField("type"))
    if sizes is None:
        graph.value_info.extend(model.graph.value_info)  # with sizes, these may leave free what is known
    else:
        for value in graph.input:
            for dim, size in zip(value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False):
                if not dim.HasField("dim_value"):
                    dim.dim_value = size
    return declared(infer_shapes(skeleton, data_prop=True))


def declared(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Return the types and shapes that the file declares, by name."""
    graph = model.graph
    return {value.name: value for value in (*graph.value_info, *graph.input, *graph.output) if value.HasField("type")}


def shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model without its graph."""
    copy = onnx.ModelProto(
        ir_version=max(model.ir_version, WEIGHTS_APART),
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
    )
    copy.opset_import.extend(model.opset_import)
    copy.functions.extend(model.functions)
    copy.metadata_props.extend(model.metadata_props)
    return copy
