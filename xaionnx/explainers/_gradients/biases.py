"""The biases of a model: constants that are added on the way from the input to a tensor."""

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

# These add one number a channel.
_CHANNELS = ("Conv", "ConvTranspose", "BatchNormalization")


@final
@dataclass(frozen=True, eq=False)
class Bias:
    """A constant that is added.

    Attributes
    ----------
    tensor : str
        The sum.
    numbers : array
        Broadcasts to it; where ``channels``, there is one a channel, (C,).
    channels : bool
    """

    tensor: str
    numbers: Array
    channels: bool = False

    def over(self, rank: int) -> Array:
        """The numbers as they broadcast to the sum, of so many axes."""
        return self.numbers.reshape(1, -1, *(1,) * (rank - 2)) if self.channels else self.numbers


def biases(model: Model, inputs: Sequence[str], tensor: str) -> list[Bias]:
    """The biases between the inputs and a tensor, that one's too, makers before readers."""
    view = model.view
    held, folder = view.constants, str(model.path.parent)

    def numbers(name: str) -> Array:
        return numpy_helper.to_array(held[name], folder).astype(np.float64)

    moving, wanted = view.descendants(inputs) | set(inputs), view.ancestors([tensor])
    found = []
    for node in view.nodes:
        if wanted.isdisjoint(node.output) or moving.isdisjoint(node.input):
            continue
        added = _added(node, view, [name in held for name in node.input], numbers)
        if added is not None and added.any():
            found.append(Bias(node.output[0], added, node.op_type in _CHANNELS))
    return found


def _added(
    node: onnx.NodeProto, view: GraphView, known: Sequence[bool], numbers: Callable[[str], Array]
) -> Array | None:
    """What a node adds to the product of its data; of its operands, constants are ``known``."""
    options = view.attributes(node)
    if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        if len(known) < 3 or not known[2]:
            return None
        return np.asarray(options.get("beta", 1.0) * numbers(node.input[2]))
    if node.op_type == "BatchNormalization" and all(known[1:5]):
        scale, shift, mean, variance = (numbers(name) for name in node.input[1:5])
        return np.asarray(shift - scale * mean / np.sqrt(variance + options["epsilon"]))
    constants = [numbers(name) for name, is_known in zip(node.input, known, strict=True) if is_known]
    if node.op_type in ("Add", "Sum") and constants:
        return np.asarray(sum(constants))
    if node.op_type == "Sub" and len(constants) == 1:
        return np.asarray(constants[0] if known[0] else -constants[0])
    return None
