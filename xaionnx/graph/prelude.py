"""A graph with nodes in front that write its inputs, and nodes behind that read a few numbers from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.graph.builder import Builder
from xaionnx.typing import Array

# Begins the names of the inputs that stand for old ones.
PREFIX = "xaionnx_x_"
# Name of the output that holds what the nodes behind the model read.
OUTPUT = "xaionnx_values"


def enclose(
    proto: onnx.ModelProto,
    write: Callable[[Builder], dict[str, ir.Value]],
    read: Callable[[Builder, Mapping[str, ir.Value]], ir.Value],
    constant: Mapping[str, Array],
) -> onnx.ModelProto:
    """Put nodes before and behind a graph.

    Parameters
    ----------
    proto : onnx.ModelProto
    write : callable
        Emits nodes that compute inputs (M, ...); returns them by name.
    read : callable
        Emits nodes that compute one value (M, T) from the graph's outputs, given by name.
    constant : mapping
        Inputs that ``write`` leaves alone, of one sample and without batch axis: each is fed under its name with
        :data:`PREFIX` and repeated M times.

    Returns
    -------
    onnx.ModelProto
        Its only output is :data:`OUTPUT`; its inputs are those that ``write`` and ``read`` asked for, those of
        ``constant``, and the old ones that neither named.
    """
    loose = onnx.ModelProto()
    loose.CopyFrom(proto)
    # Shapes inside may be declared for one sample.
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
    # What was emitted stands behind the nodes that read it.
    graph.sort()
    return ir.to_proto(model)
