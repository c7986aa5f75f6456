"""Files with rounded weights against exact arithmetic with these weights.

    python -m tests.deployed.own_weights               measures all nets anew, and keeps each in own_weights.json
    python -m tests.deployed.own_weights bert vit      only these

Needs torch==2.13.0 (a CPU build serves); all take about twenty minutes on two cores.

A file of float16 or of integers holds other weights than the file that it was made of, so that its explanations
differ, however they are computed. The twin of such a file has its weights as floats, and no rounding between ops; where
a quantiser cuts negative numbers off, it has the rectifier that the quantisation left out. PyTorch computes the twin's
graphs, and those of its explanations, in float64. For saliency the file itself is differentiated by autograd too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.deployed.forms import FORMS, NARROW, OWN_WEIGHTS, TRAINED, Array, compared, explained, keep, source_of
from tests.oracles.in_torch import TorchGraph
from xaionnx.graph.opset import sort_nodes
from xaionnx.graph.unfuse import unfuse
from xaionnx.runtime import session as sessions
from xaionnx.runtime.session import channel_block

# Outputs have both signs, so that a range of integers from zero on rectifies them.
SIGNED = ("Add", "BatchNormalization", "Conv", "Gemm", "MatMul", "Sum")
SIX = 6.0
# Both forms of integers have the same weights, which is measured with a scale for each channel.
MEASURED = tuple(form for form in NARROW if form != "int8, QOperator, one scale a tensor")
DIFFERENTIATED = "saliency by autograd"


def twin(proto: onnx.ModelProto, x: Array) -> onnx.ModelProto:
    """The file as floats; ``x`` shows which quantised numbers are ever negative."""
    plain = unfuse(proto, numpy_helper.to_array, channel_block)
    plain = onnx.ModelProto.FromString(plain.SerializeToString())
    graph = plain.graph
    sort_nodes(graph)
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    known |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if _holds_tensor(n)}
    seen = TorchGraph(plain, integers=False)({graph.input[0].name: x})
    makers = {name: node.op_type for node in graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    quantised: set[str] = set()
    for node in graph.node:
        if node.op_type == "QuantizeLinear" or (node.op_type != "DequantizeLinear" and quantised & {*node.input}):
            quantised.update(node.output)
        if node.op_type == "DequantizeLinear" and node.input[0] in known:
            weights = TorchGraph(_alone(node, known))({})[node.output[0]].numpy().astype(np.float32)
            nodes.append(helper.make_node("Constant", [], node.output, value=numpy_helper.from_array(weights)))
        elif node.op_type == "QuantizeLinear":
            nodes += _rectified(node, known, float(seen[node.input[0]].min()), makers.get(node.input[0], ""))
        elif node.op_type == "DequantizeLinear" and node.input[0] in quantised:
            nodes.append(helper.make_node("Identity", node.input[:1], node.output))
        else:
            nodes.append(_wide(node))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(known[tensor.name].astype(np.float32), tensor.name))
    return plain


def _holds_tensor(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.attribute[0].name == "value"


def _alone(node: onnx.NodeProto, known: Mapping[str, Array]) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(known[name], name) for name in node.input if name]
    return helper.make_model(helper.make_graph([node], "g", [], [], tensors))


def _rectified(
    node: onnx.NodeProto, known: Mapping[str, Array], smallest: float, maker: str
) -> Sequence[onnx.NodeProto]:
    """A rectifier where the range of integers starts at zero, and cuts numbers off."""
    scale, zero = float(known[node.input[1]].reshape(-1)[0]), known[node.input[2]]
    limits = np.iinfo(zero.dtype)
    if int(zero.reshape(-1)[0]) != limits.min or maker not in SIGNED or smallest >= 0:
        return [helper.make_node("Identity", node.input[:1], node.output)]
    if abs((limits.max - limits.min) * scale - SIX) > scale:
        return [helper.make_node("Relu", node.input[:1], node.output)]
    ends = [f"{node.output[0]}/{end:g}" for end in (0.0, SIX)]
    made = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.float32(end)))
        for name, end in zip(ends, (0.0, SIX), strict=True)
    ]
    return [*made, helper.make_node("Clip", [node.input[0], *ends], node.output)]


def _wide(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    for attribute in copy.attribute:
        if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
        if attribute.t.data_type == TensorProto.FLOAT16:
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
    return copy


@contextmanager
def in_float64() -> Iterator[None]:
    """Let PyTorch compute in float64 what onnxruntime would compute."""
    opened, run = sessions.Session.__init__, sessions.Session.run

    def open_both(self: Any, model: str | bytes, *given: Any, **named: Any) -> None:
        opened(self, model, *given, **named)
        self.exact = TorchGraph(onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(model))

    def run_exactly(self: Any, fetch: Sequence[str], feeds: Mapping[str, Any], *_: Any, **__: Any) -> list[Array]:
        with torch.no_grad():
            found = self.exact(feeds)
        arrays = [found[name].numpy() for name in fetch]
        return [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]

    sessions.Session.__init__, sessions.Session.run = open_both, run_exactly  # type: ignore[method-assign]
    try:
        yield
    finally:
        sessions.Session.__init__, sessions.Session.run = opened, run  # type: ignore[method-assign]


def by_autograd(proto: onnx.ModelProto, x: Array, target: int) -> Array:
    """The gradient of an output with respect to the input."""
    leaf = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    found = TorchGraph(proto)({proto.graph.input[0].name: leaf})
    found[proto.graph.output[0].name][0, target].backward()
    assert leaf.grad is not None
    gradient: Array = leaf.grad.numpy()
    return gradient


def measured(net: str, folder: Path, forms: Sequence[str] = MEASURED) -> dict[str, dict[str, float | str]]:
    """For each form of a net the largest difference of each method over its largest value."""
    rows: dict[str, dict[str, float | str]] = {}
    with source_of(net, folder) as (source, golden, top):
        for form in forms:
            path, exact = folder / "form.onnx", folder / "twin.onnx"
            FORMS[form](source, path, golden)
            ours = explained(path, golden["x"], top)
            wide = twin(onnx.load(path), golden["x"])
            found: dict[str, float | str | None] = {}
            # Pictures of the trained net are too large for all methods in float64.
            if net != TRAINED:
                onnx.save(wide, exact)
                with in_float64():
                    theirs = explained(exact, golden["x"], top)
                found = {name: compared("", ours[name], theirs[name]) for name in ours}
            if golden["x"].dtype != np.int64:
                found[DIFFERENTIATED] = compared("", ours["saliency"], by_autograd(wide, golden["x"], top))
            rows[form] = {name: value for name, value in found.items() if value is not None}
    return rows


if __name__ == "__main__":
    torch.set_num_threads(2)
    keep(OWN_WEIGHTS, "How far files with rounded weights are from exact arithmetic.", measured)
