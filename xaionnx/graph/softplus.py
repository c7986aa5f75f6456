"""Smooth rectifiers: a graph with softplus in the place of ReLU, so that it has second derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

# |x| is the sum of ReLU of x and of -x.
_RECTIFIERS: Final = frozenset({"Relu", "Abs"})
_STEM: Final = "xaionnx_softplus"


def count_rectifiers(proto: onnx.ModelProto) -> int:
    """Return the number of nodes that :func:`with_softplus` replaces."""
    return sum(node.op_type in _RECTIFIERS for node in proto.graph.node)


def with_softplus(proto: onnx.ModelProto, types: Mapping[str, int], sharpness: float) -> onnx.ModelProto:
    """Return the graph with ``log(1 + exp(sharpness x)) / sharpness`` in the place of each ReLU.

    This is at most ``log(2) / sharpness`` above ReLU, at 0. The size of a number becomes the sum of two. Tensors keep
    their names.

    Parameters
    ----------
    proto : ModelProto
    types : mapping of str to int
        The element type of each tensor, by name.
    sharpness : float
    """
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.node[:]
    factors: dict[int, str] = {}
    for number, node in enumerate(proto.graph.node):
        kind = types.get(node.input[0], onnx.TensorProto.FLOAT) if node.input else 0
        if node.op_type not in _RECTIFIERS or kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            made.graph.node.append(node)
            continue
        if kind not in factors:
            factors[kind] = f"{_STEM}_{kind}"
            array = np.asarray(sharpness, dtype=helper.tensor_dtype_to_np_dtype(kind))
            made.graph.initializer.append(numpy_helper.from_array(array, factors[kind]))
        made.graph.node.extend(_smooth(node, f"{_STEM}_{number}", factors[kind]))
    return made


def _smooth(node: onnx.NodeProto, stem: str, factor: str) -> Iterator[onnx.NodeProto]:
    scaled, smooth = f"{stem}_scaled", f"{stem}_smooth"
    yield helper.make_node("Mul", [node.input[0], factor], [scaled], name=scaled)
    yield helper.make_node("Softplus", [scaled], [smooth], name=smooth)
    if node.op_type == "Abs":
        minus, other, both = f"{stem}_minus", f"{stem}_other", f"{stem}_both"
        yield helper.make_node("Neg", [scaled], [minus], name=minus)
        yield helper.make_node("Softplus", [minus], [other], name=other)
        yield helper.make_node("Add", [smooth, other], [both], name=both)
        smooth = both
    yield helper.make_node("Div", [smooth, factor], list(node.output), name=node.name)
