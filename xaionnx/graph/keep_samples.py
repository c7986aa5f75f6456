"""Keeps the axis of the samples of a single sample: a Squeeze without axes removes every axis of size 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.inference import inferred
from xaionnx.graph.opset import opset_of
from xaionnx.graph.view import GraphView
from xaionnx.loading import declared_inputs

# Opset from which Squeeze takes the axes as an input.
_AXES_AS_INPUT = 13


def keep_samples(model: onnx.ModelProto, stated_ranks: Mapping[str, int] | None = None) -> onnx.ModelProto:
    """Return a model in which no Squeeze removes an axis whose size is free in an input, such as that of the samples.

    With several samples the outputs are the same. With a single one the file returns a tensor without an axis of
    samples, and later ops may fail; the model returned does as with several.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if there is nothing to write in another way. A Squeeze of a tensor with an axis of
        unknown size stays.
    stated_ranks : mapping of str to int, optional
        Numbers of axes of outputs that the user states; if one is that of the file alone, the model stays as it is.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]> g (float[N, 1, 5] x) => (float[K] y) { y = Squeeze(x) }''')
    >>> [dim.dim_param or dim.dim_value for dim in keep_samples(model).graph.output[0].type.tensor_type.shape.dim]
    ['N', 5]
    """
    if not any(_squeezes_all(node) for node in model.graph.node):
        return model
    written = onnx.ModelProto()
    written.CopyFrom(model)
    free = _name_free_sizes(written)
    changed = set[str]()
    # A later Squeeze may read what an earlier one returns.
    while (found := _first_to_change(written, free)) is not None:
        node, axes = found
        _set_axes(written, node, axes)
        changed.add(node.output[0])
        _forget(written, changed)
    if not changed:
        return model
    _declare(written, changed)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in written.graph.output}
    return model if any(ranks.get(name, rank) != rank for name, rank in (stated_ranks or {}).items()) else written


def _squeezes_all(node: onnx.NodeProto) -> bool:
    return node.op_type == "Squeeze" and not any(node.input[1:]) and not node.attribute


def _name_free_sizes(model: onnx.ModelProto) -> set[str]:
    """Name the free sizes of the inputs that have no name, in place, and return the names of all."""
    names = set[str]()
    for value in declared_inputs(model):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = dim.dim_param or f"{value.name}/{axis}"
                names.add(dim.dim_param)
    return names


def _first_to_change(model: onnx.ModelProto, free: set[str]) -> tuple[onnx.NodeProto, list[int]] | None:
    """Return the first Squeeze that may remove an axis of free size, and the axes that it removes in any case."""
    view = GraphView(model)
    if not any(map(_squeezes_all, view.nodes)):
        return None
    known = inferred(model, view.nodes, declares_outputs=False)
    for node in view.nodes:
        shape = known[node.input[0]].type.tensor_type if _squeezes_all(node) and node.input[0] in known else None
        if shape is None or not shape.HasField("shape"):
            continue
        dims = shape.shape.dim
        if any(dim.dim_param in free for dim in dims) and all(
            dim.HasField("dim_value") or dim.dim_param in free for dim in dims
        ):
            own = next(one for one in model.graph.node if one.output[:1] == node.output[:1])
            return own, [axis for axis, dim in enumerate(dims) if dim.HasField("dim_value") and dim.dim_value == 1]
    return None


def _set_axes(model: onnx.ModelProto, node: onnx.NodeProto, axes: list[int]) -> None:
    del node.input[1:]
    if not axes:
        node.op_type = "Identity"
    elif (opset_of(model) or 1) < _AXES_AS_INPUT:
        node.attribute.append(helper.make_attribute("axes", axes))
    else:
        node.input.append(f"{node.output[0]}/axes")
        model.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), node.input[1]))


def _forget(model: onnx.ModelProto, changed: set[str]) -> None:
    """Drop the shapes that a file declares for the changed tensors and those after them."""
    after = changed | GraphView(model).descendants(changed)
    kept = [value for value in model.graph.value_info if value.name not in after]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _declare(model: onnx.ModelProto, changed: set[str]) -> None:
    """Declare the true shapes of the outputs among and after the changed tensors."""
    view = GraphView(model)
    after = changed | view.descendants(changed)
    known = inferred(model, view.nodes, declares_outputs=False)
    for value in model.graph.output:
        shape = known[value.name].type.tensor_type if value.name in after and value.name in known else None
        if shape is not None and shape.HasField("shape"):
            value.type.tensor_type.shape.CopyFrom(shape.shape)
