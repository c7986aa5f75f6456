"""The biases of a model: constants added between the input and a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.graph.view import GraphView
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Ops that add one number per channel.
_CHANNELS = ("Conv", "ConvTranspose", "BatchNormalization")


@final
@dataclass(frozen=True, eq=False)
class Bias:
    """A constant added by a node.

    Attributes
    ----------
    tensor : str
        The name of the sum.
    numbers : array
        The constant, which broadcasts to the sum; one number per channel, (C,), if ``channels``.
    channels : bool
    """

    tensor: str
    numbers: Array
    channels: bool = False

    def over(self, rank: int) -> Array:
        """The numbers in a shape that broadcasts to a sum with ``rank`` axes."""
        return self.numbers.reshape(1, -1, *(1,) * (rank - 2)) if self.channels else self.numbers


def biases(model: Model, inputs: Sequence[str], tensor: str) -> list[Bias]:
    """The biases between the inputs and a tensor, including its own, in topological order."""
    view = model.view
    constants, folder = view.constants, str(model.path.parent)

    def numbers(name: str) -> Array:
        return numpy_helper.to_array(constants[name], folder).astype(np.float64)

    dependent, needed = view.descendants(inputs) | set(inputs), view.ancestors([tensor])
    result = []
    for node in view.nodes:
        if needed.isdisjoint(node.output) or dependent.isdisjoint(node.input):
            continue
        bias = _bias_of(node, view, [name in constants for name in node.input], numbers)
        if bias is not None and bias.any():
            result.append(Bias(node.output[0], bias, node.op_type in _CHANNELS))
    return result


def _bias_of(
    node: onnx.NodeProto, view: GraphView, is_constant: Sequence[bool], numbers: Callable[[str], Array]
) -> Array | None:
    """The constant that a node adds, or None; ``is_constant`` says which operands are constants."""
    options = view.attributes(node)
    if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        if len(is_constant) < 3 or not is_constant[2]:
            return None
        return np.asarray(options.get("beta", 1.0) * numbers(node.input[2]))
    if node.op_type == "BatchNormalization" and all(is_constant[1:5]):
        scale, shift, mean, variance = (numbers(name) for name in node.input[1:5])
        return np.asarray(shift - scale * mean / np.sqrt(variance + options["epsilon"]))
    constants = [numbers(name) for name, is_known in zip(node.input, is_constant, strict=True) if is_known]
    if node.op_type in ("Add", "Sum") and constants:
        return np.asarray(sum(constants))
    if node.op_type == "Sub" and len(constants) == 1:
        return np.asarray(constants[0] if is_constant[0] else -constants[0])
    return None
