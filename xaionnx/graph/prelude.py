"""A graph with added nodes that compute its inputs, and nodes that select a few numbers from its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.graph.builder import Builder
from xaionnx.typing import Array

# Prefix of the inputs that replace old ones.
PREFIX = "xaionnx_x_"
# Name of the only output, computed by the nodes after the model.
OUTPUT = "xaionnx_values"


def enclose(
    proto: onnx.ModelProto,
    write: Callable[[Builder], dict[str, ir.Value]],
    read: Callable[[Builder, Mapping[str, ir.Value]], ir.Value],
    constant: Mapping[str, Array],
) -> onnx.ModelProto:
    """Add nodes before and after a graph.

    Parameters
    ----------
    proto : onnx.ModelProto
    write : callable
        Adds nodes that compute inputs (M, ...), and returns these by name.
    read : callable
        Adds nodes that compute one value (M, T) from the graph's outputs, given by name.
    constant : mapping
        Inputs that ``write`` does not compute, of one sample and without batch axis: each is fed under its name with
        the prefix :data:`PREFIX` and repeated M times.

    Returns
    -------
    onnx.ModelProto
        Its only output is :data:`OUTPUT`; its inputs are those that ``write`` and ``read`` add, those of
        ``constant``, and the remaining old ones.
    """
    loose = onnx.ModelProto()
    loose.CopyFrom(proto)
    # Shapes of internal tensors may be declared for one sample.
    del loose.graph.value_info[:]
    model = ir.from_proto(loose)
    graph = model.graph
    outputs = {str(value.name): value for value in graph.outputs}
    g = Builder(model)
    written = write(g)
    rows = g.op("Gather", g.op("Shape", next(iter(written.values()))), np.array([0], dtype=np.int64), axis=0)
    for name, array in constant.items():
        kind = ir.DataType.STRING if array.dtype == object else array.dtype
        once = g.input(f"{PREFIX}{name}", kind, array.shape)
        shape = g.op("Concat", rows, np.array(array.shape, dtype=np.int64), axis=0)
        written[name] = g.op("Expand", once, shape)
    graph.outputs.clear()
    kept = [value for value in graph.inputs if str(value.name) not in written]
    for value in list(graph.inputs):
        if str(value.name) in written:
            value.replace_all_uses_with(written[str(value.name)])
    graph.inputs[:] = kept
    # An output may be an input itself.
    result = read(g, {name: written.get(name, value) for name, value in outputs.items()})
    g.output(result, OUTPUT)
    # New nodes come after the nodes that read them.
    graph.sort()
    return ir.to_proto(model)
