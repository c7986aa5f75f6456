"""Subtract a constant from an input, ahead of everything that reads it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.typing import Array


def with_shifted_input(model: onnx.ModelProto, name: str, shift: Array) -> onnx.ModelProto:
    """Return the model f(x - shift), for an input of a float type; nodes of subgraphs that read it are moved too.

    Examples
    --------
    >>> from models import planted
    >>> shifted = with_shifted_input(planted.linear([[1.0, 2.0]]), "x", np.float32(3))
    >>> [node.op_type for node in shifted.graph.node]
    ['Sub', 'Flatten', 'Gemm']
    """
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    graph, inner, constant = moved.graph, f"xaionnx_shifted_{name}", f"xaionnx_shift_of_{name}"
    _rename(graph, name, inner)
    graph.initializer.append(numpy_helper.from_array(np.asarray(shift), constant))
    graph.node.insert(0, helper.make_node("Sub", [name, constant], [inner], name=inner))
    return moved


def _rename(graph: onnx.GraphProto, name: str, other: str) -> None:
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = other
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, name, other)
