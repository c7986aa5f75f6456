"""Rewrites a graph so that the samples are on the first axis of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.adapt import rename_everywhere
from xaionnx.graph.opset import opset_of

AS_IN_FILE: Final = "/as_in_file"
"""What is added to the name of an input or output whose samples stand elsewhere, or nowhere, in the file."""

# Opset from which Squeeze and Unsqueeze take the axes as an input.
_AXES_AS_INPUT = 13


def batch_first(
    proto: onnx.ModelProto,
    inputs: Mapping[str, int | None],
    outputs: Mapping[str, int | None],
    ranks: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """Return a copy of a model in which the samples are on the first axis of the given inputs and outputs.

    Parameters
    ----------
    proto : onnx.ModelProto
        It is not changed.
    inputs, outputs : mapping of str to int or None
        The axis of the samples in the file. With None there is none: an axis of size 1 is added, and the model takes
        one sample at a time.
    ranks : mapping of str to int, optional
        The numbers of axes of outputs for which the file declares no shape.

    Examples
    --------
    >>> from onnx import parser
    >>> series = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]> g (float[T, N, 5] x) => (float[N, 5] y) {
    ... y = ReduceMean<axes = [0], keepdims = 0>(x) }''')
    >>> value = batch_first(series, {"x": 1}, {}).graph.input[0]
    >>> [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
    ['N', 'T', 5]
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(proto)
    graph = rewritten.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    first, last = list[onnx.NodeProto](), list[onnx.NodeProto]()
    for value in graph.input:
        if value.name in inputs:
            inner = _inner_name(value.name, taken)
            rename_everywhere(graph, value.name, inner)
            axis, rank = inputs[value.name], len(value.type.tensor_type.shape.dim)
            first += _to_file(rewritten, value.name, inner, axis, rank)
            _move_dims(value, axis)
    for value in graph.output:
        if value.name in outputs:
            inner = _inner_name(value.name, taken)
            rename_everywhere(graph, value.name, inner)
            axis, rank = outputs[value.name], len(value.type.tensor_type.shape.dim) or (ranks or {}).get(value.name, 0)
            last += _from_file(rewritten, inner, value.name, axis, rank)
            _move_dims(value, axis)
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    return rewritten


def _to_file(model: onnx.ModelProto, outer: str, inner: str, axis: int | None, rank: int) -> Iterable[onnx.NodeProto]:
    if axis is None:
        return [sized_node(model, "Squeeze", outer, inner)]
    order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
    return [helper.make_node("Transpose", [outer], [inner], perm=order, name=f"{inner}/order")]


def _from_file(model: onnx.ModelProto, inner: str, outer: str, axis: int | None, rank: int) -> Iterable[onnx.NodeProto]:
    if axis is None:
        return [sized_node(model, "Unsqueeze", inner, outer)]
    order = [axis, *(other for other in range(rank) if other != axis)]
    return [helper.make_node("Transpose", [inner], [outer], perm=order, name=f"{inner}/order")]


def sized_node(model: onnx.ModelProto, op: str, source: str, result: str) -> onnx.NodeProto:
    """Return a node that adds or removes the first axis, by ``Unsqueeze`` or ``Squeeze``, for the opset of a model."""
    # The source is new each time, the result may be the same output again.
    name = f"{result}/{op}" if op == "Squeeze" else f"{source}/{op}"
    if (opset_of(model) or 1) < _AXES_AS_INPUT:
        return helper.make_node(op, [source], [result], axes=[0], name=name)
    axes = f"{name}/axes"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), axes))
    return helper.make_node(op, [source, axes], [result], name=name)


def _move_dims(value: onnx.ValueInfoProto, axis: int | None) -> None:
    if axis is not None and not value.type.tensor_type.HasField("shape"):
        return
    shape = value.type.tensor_type.shape
    dims = list(shape.dim)
    front = onnx.TensorShapeProto.Dimension(dim_value=1) if axis is None else dims.pop(axis)
    shape.CopyFrom(onnx.TensorShapeProto(dim=[front, *dims]))


def _inner_name(name: str, taken: set[str]) -> str:
    inner = f"{name}{AS_IN_FILE}"
    while inner in taken:
        inner += "_"
    taken.add(inner)
    return inner
