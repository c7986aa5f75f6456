"""Shapes of outputs: what a file declares, what its graph tells, and what a user states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from xaionnx.graph.inference import inferred
from xaionnx.graph.view import GraphView
from xaionnx.short_repr import short_sizes


def untold_ranks(view: GraphView) -> set[str]:
    """Return the outputs whose number of axes does not follow from the graph as declared, so that it may be false.

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[1, 4] x, int64[M] sizes) => (float[1, 4] y, float[1, 4] z) {
    ...   y = Relu(x)  z = Reshape(x, sizes) }'''))
    >>> untold_ranks(view)
    {'z'}
    """
    known = inferred(view.model, view.nodes, {}, declares_outputs=False)
    shapes = {name: value.type.tensor_type for name, value in known.items() if value.type.tensor_type.HasField("shape")}
    declared = {value.name: value.type.tensor_type for value in view.model.graph.output}
    return {
        name
        for name, stated in declared.items()
        if name not in shapes or (stated.HasField("shape") and len(shapes[name].shape.dim) != len(stated.shape.dim))
    }


def with_output_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int | None]]) -> onnx.ModelProto:
    """Return the model with other declared shapes of some outputs; None is a free size.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if there is nothing to change.
    shapes : mapping of str to sequence of int or None
    """
    if not shapes:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for value in changed.graph.output:
        if value.name in shapes:
            dims = [onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[value.name]]
            value.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=dims))
    return changed


def without_output_shape(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy of a model that declares no shape for an output."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for value in changed.graph.output:
        if value.name == name:
            value.type.tensor_type.ClearField("shape")
    return changed


def declared_shapes(model: onnx.ModelProto) -> dict[str, str]:
    """Return the shapes that a file declares for its outputs, in words such as ``(1, seqlen)``."""
    shapes = {
        value.name: value.type.tensor_type.shape.dim
        for value in model.graph.output
        if value.type.tensor_type.HasField("shape")
    }
    return {
        name: f"({', '.join(map(str, short_sizes(dim.dim_param or dim.dim_value or '?' for dim in dims)))})"
        for name, dims in shapes.items()
    }
