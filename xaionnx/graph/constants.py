"""The numbers that a graph holds."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

# More numbers than axes, sizes or the bounds of a Slice are weights.
_FEW = 16


def small_constants(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Scalars and short lists by name, such as axes or the numbers of a Slice."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            held[node.output[0]] = node.attribute[0].t
    return {name: numpy_helper.to_array(tensor) for name, tensor in held.items() if _is_small(tensor)}


def _is_small(tensor: onnx.TensorProto) -> bool:
    here = tensor.data_location != onnx.TensorProto.EXTERNAL
    return here and len(tensor.dims) <= 1 and math.prod(tensor.dims) <= _FEW
