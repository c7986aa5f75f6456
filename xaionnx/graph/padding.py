"""Write out the automatic pads of dilated convolutions, which onnxruntime does not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from onnx import helper

from xaionnx.graph.inference import inferred
from xaionnx.graph.view import DEFAULT_DOMAINS, Attributes, GraphView, attributes

# Automatic pads, with the odd one at the end or at the beginning.
_SAME = ("SAME_UPPER", "SAME_LOWER")


def has_automatic_pads(node: onnx.NodeProto) -> bool:
    """Whether a node is a dilated convolution that keeps the size of its input."""
    if node.op_type != "Conv" or node.domain not in DEFAULT_DOMAINS:
        return False
    known = attributes(node)
    return known["auto_pad"] in _SAME and any(dilation > 1 for dilation in known.get("dilations", ()))


def write_pads(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace the automatic pads of some nodes of a model by numbers, where the sizes that they depend on are known.

    Without strides the pads depend on no size of the input.
    """
    types = inferred(model, GraphView(model).nodes)
    for node in nodes:
        pads = _same_pads(attributes(node), *(_dims(types.get(name)) for name in node.input[:2]))
        if pads is not None:
            kept = [entry for entry in node.attribute if entry.name not in ("auto_pad", "pads")]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("pads", pads)])


def _same_pads(known: Attributes, data: Sequence[int], weights: Sequence[int]) -> list[int] | None:
    """The pads with which the output has the size of the input, divided by the strides; None if a size is unknown."""
    kernel = known.get("kernel_shape") or weights[2:]
    strides = known.get("strides") or [1] * len(kernel)
    begin, end = [], []
    for axis, (width, stride, dilation) in enumerate(zip(kernel, strides, known["dilations"], strict=True)):
        reach, size = dilation * (width - 1) + 1, data[axis + 2] if len(data) > axis + 2 else 0
        if not width or (stride > 1 and not size):
            return None
        # With stride one, the size of the input cancels.
        total = reach - 1 if stride == 1 else max((-(-size // stride) - 1) * stride + reach - size, 0)
        less, more = total // 2, total - total // 2
        begin.append(less if known["auto_pad"] == "SAME_UPPER" else more)
        end.append(total - begin[-1])
    return [*begin, *end] if kernel else None


def _dims(value: onnx.ValueInfoProto | None) -> list[int]:
    """The sizes of a tensor, 0 for those that are free; none if its rank is unknown."""
    return [] if value is None else [dim.dim_value for dim in value.type.tensor_type.shape.dim]
