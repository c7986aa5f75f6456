"""Series: inputs of channels and time that convolutions run along, and the tensors that keep their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from onnx import helper, numpy_helper

from xaionnx.explainers._layers.told import told
from xaionnx.graph.cut import ordered
from xaionnx.model import Model
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx

# These run along the axes behind the channels, which they take to come first.
_RUNNING = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"})
# These leave no places, or move numbers between them.
_ENDING = frozenset(
    {"Reshape", "Flatten", "Einsum", "Gather", "Attention", "MatMul", "Gemm", "LSTM", "GRU", "RNN", "Shape"}
)


@final
@dataclass(frozen=True)
class Series:
    """How the axes of a series read, and those of what is made of it.

    Attributes
    ----------
    channel : int
        The axis of the channels of the input, behind the batch: 0 or 1; time is the other.
    letters : dict of str to str
        For each tensor that keeps the places ``C``, ``T`` and for an axis of one number ``1``, behind the batch.
    """

    channel: int
    letters: Mapping[str, str]


def series(model: Model, sample: Sample) -> Series | None:
    """How the explained input reads as a series; None where it is none, or no convolution says which axis is time."""
    if sample.array.ndim != 2 or sample.array.dtype.kind != "f":
        return None
    return told(model, ("series", sample.main), lambda graph: _series(graph, sample.main))


def _series(graph: onnx.ModelProto, start: str) -> Series | None:
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    channel = ""
    # Axes by the numbers that they have in the input.
    found = {start: "01"}
    for node in ordered(graph.graph):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
        source = next((found[name] for name in node.input if name in found), "")
        if not source:
            continue
        if node.op_type in _RUNNING:
            channel = channel or source[0]
            source = source if source[0] == channel else ""
        made = _turned(node, source, constants)
        if made:
            found.update((name, made) for name in node.output if name)
    if channel not in ("0", "1"):
        return None
    words = str.maketrans({channel: "C", "1" if channel == "0" else "0": "T", "-": "1"})
    return Series(int(channel), {name: axes.translate(words) for name, axes in found.items()})


def _turned(node: onnx.NodeProto, axes: str, constants: Mapping[str, onnx.TensorProto]) -> str:
    """The axes of what a node makes; none where they are lost."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    rank = len(axes) + 1
    if node.op_type in _ENDING:
        return ""
    if node.op_type.startswith(("Reduce", "Arg")):
        return axes if given.get("keepdims", 1) else ""
    if node.op_type == "Transpose":
        order = given.get("perm", range(rank)[::-1])
        return "".join(axes[axis - 1] for axis in order[1:]) if order[0] == 0 else ""
    if node.op_type not in ("Squeeze", "Unsqueeze"):
        return axes
    if len(node.input) > 1 and node.input[1] in constants:
        given["axes"] = numpy_helper.to_array(constants[node.input[1]]).ravel().tolist()
    if "axes" not in given:
        return ""
    wide = rank + len(given["axes"]) * (node.op_type == "Unsqueeze")
    places = {int(axis) % wide for axis in given["axes"]}
    if node.op_type == "Unsqueeze":
        rest = iter("N" + axes)
        whole = "".join("-" if place in places else next(rest) for place in range(wide))
    else:
        whole = "".join(axis for place, axis in enumerate("N" + axes) if place not in places or axis != "-")
        whole = whole if len(whole) == rank - len(places) else ""
    return whole[1:] if whole.startswith("N") else ""
