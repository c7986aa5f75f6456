"""Attention whose samples and heads share an axis, taken apart."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

# The name of a tensor (N, heads, T, T), behind that of the tensor (N * heads, T, T) that it was.
APART = "/heads"


def heads_apart(model: onnx.ModelProto, names: Collection[str], batched: str) -> onnx.ModelProto:
    """The same function, on whose way tensors (N * heads, T, T) become (N, heads, T, T) and go back.

    Parameters
    ----------
    model : onnx.ModelProto
        Left as it is.
    names : collection of str
        The tensors. Their form (N, heads, T, T) is called the same with :data:`APART` behind.
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
        sizes = {"first": [0], "behind": [1, 2], "free": [-1]}
        for key, numbers in sizes.items():
            graph.initializer.append(numpy_helper.from_array(np.array(numbers, dtype=np.int64), f"{name}/{key}"))

        def add(op: str, inputs: list[str], key: str, axis: int | None = None, stem: str = name) -> str:
            made = f"{stem}/{key}"
            graph.node.append(helper.make_node(op, inputs, [made], name=made, axis=axis))
            return made

        size = add("Shape", [name], "shape")
        count = add("Gather", [add("Shape", [batched], "samples"), f"{name}/first"], "count", axis=0)
        sides = add("Gather", [size, f"{name}/behind"], "sides", axis=0)
        wide = add("Concat", [count, f"{name}/free", sides], "wide", axis=0)
        add("Reshape", [add("Reshape", [name, wide], APART[1:]), size], "rows")
    return form
