"""Separate samples and heads of attention tensors in which they share an axis."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Suffix for the name of the (N, heads, T, T) form of a tensor (N * heads, T, T).
APART = "/heads"


def heads_apart(model: onnx.ModelProto, names: Collection[str], batched: str) -> onnx.ModelProto:
    """Return an equivalent model in which tensors (N * heads, T, T) are reshaped to (N, heads, T, T) and back.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed.
    names : collection of str
        The tensors. Their form (N, heads, T, T) has the same name with the suffix :data:`APART`.
    batched : str
        A tensor whose first axis is N.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x, float[M, 3, 3] a) => (float[M, 3, 3] y) { h = Softmax(a)  y = Relu(h) }''')
    >>> [node.output[0] for node in heads_apart(model, ["h"], "x").graph.node if node.op_type == "Reshape"]
    ['h/heads', 'h/rows']
    """
    form = onnx.ModelProto()
    form.CopyFrom(model)
    graph = form.graph
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in names:
                node.input[index] = f"{name}/rows"
    for name in names:
        sizes = {"first": [0], "last": [1, 2], "free": [-1]}
        for key, numbers in sizes.items():
            graph.initializer.append(numpy_helper.from_array(np.array(numbers, dtype=np.int64), f"{name}/{key}"))

        def add(op: str, inputs: list[str], key: str, axis: int | None = None, stem: str = name) -> str:
            output = f"{stem}/{key}"
            graph.node.append(helper.make_node(op, inputs, [output], name=output, axis=axis))
            return output

        size = add("Shape", [name], "shape")
        count = add("Gather", [add("Shape", [batched], "samples"), f"{name}/first"], "count", axis=0)
        sides = add("Gather", [size, f"{name}/last"], "sides", axis=0)
        wide = add("Concat", [count, f"{name}/free", sides], "wide", axis=0)
        add("Reshape", [add("Reshape", [name, wide], APART[1:]), size], "rows")
    return form
