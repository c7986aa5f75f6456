"""A model in plain onnxruntime: the answers that explanations are checked by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

Array = np.ndarray[Any, Any]


@dataclass
class Plain:
    """A session, and one scalar of its outputs.

    Attributes
    ----------
    target : dict
        ``output``, which may be an inner tensor, and ``index`` in it without the axis of samples (:meth:`settle`
        replaces ``max``), or ``key`` of a map; ``sample`` is the axis of samples, 0 if not given, False for none.
    """

    proto: onnx.ModelProto
    target: dict[str, Any]
    session: ort.InferenceSession = field(init=False)

    def __post_init__(self) -> None:
        output = self.target["output"]
        if output not in {info.name for info in self.proto.graph.output}:
            shown = onnx.ModelProto()
            shown.CopyFrom(self.proto)
            shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
            self.proto = shown
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self.session = ort.InferenceSession(self.proto.SerializeToString(), options, ["CPUExecutionProvider"])
        self.inputs = {info.name for info in self.session.get_inputs()}

    def fetch(self, feeds: Mapping[str, Array], name: str) -> Any:
        """One output."""
        (found,) = self.session.run([name], {key: array for key, array in feeds.items() if key in self.inputs})
        return found

    def score(self, feeds: Mapping[str, Array]) -> float:
        """The explained scalar."""
        out = self.fetch(feeds, self.target["output"])
        if "key" in self.target:
            return float(out[0][self.target["key"]])
        out = self._one(np.asarray(out))
        index = self.target["index"]
        return float(out[tuple(index) if isinstance(index, list) else index] if out.ndim else out)

    def settle(self, feeds: Mapping[str, Array]) -> None:
        """Replace ``max`` by the index of the largest element."""
        if self.target.get("index") != "max":
            return
        out = self._one(np.asarray(self.fetch(feeds, self.target["output"]))).astype(np.float64)
        if "within" in self.target:
            axis, low, high = self.target["within"]
            hidden = np.ones(out.shape[axis], dtype=bool)
            hidden[low:high] = False
            out = np.where(hidden.reshape([-1 if a == axis % out.ndim else 1 for a in range(out.ndim)]), -np.inf, out)
        index = [int(i) for i in np.unravel_index(out.argmax(), out.shape)]
        self.target["index"] = index[0] if len(index) == 1 else index

    def _one(self, out: Array) -> Array:
        axis = self.target.get("sample", 0)
        return out if axis is False or not out.ndim else np.take(out, 0, axis=int(axis))

    def bare(self, feeds: Mapping[str, Array], tries: int = 5) -> float:
        """Seconds of one run, the fastest of a few."""
        times = []
        for _ in range(tries):
            start = time.perf_counter()
            self.fetch(feeds, self.target["output"])
            times.append(time.perf_counter() - start)
        return min(times)

    def inside(self, tensor: str, feeds: Mapping[str, Array]) -> tuple[Array, Plain]:
        """The value of an inner tensor, and the model after it, with the tensor as an input.

        Raises
        ------
        KeyError
            No node of the main graph makes the tensor.
        """
        shown = onnx.ModelProto()
        shown.CopyFrom(self.proto)
        makers = [node for node in shown.graph.node if tensor in node.output]
        if not makers:
            raise KeyError(tensor)
        known = {info.name for info in shown.graph.output}
        if tensor not in known:
            shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
        value = np.asarray(Plain(shown, self.target).fetch(feeds, tensor))
        cut = onnx.ModelProto()
        cut.CopyFrom(self.proto)
        for node in cut.graph.node:
            node.output[:] = [f"{name}__made" if name == tensor else name for name in node.output]
        _read_again(cut.graph, tensor)
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        cut.graph.input.append(onnx.helper.make_tensor_value_info(tensor, kind, [None] * value.ndim))
        return value, Plain(cut, self.target)


def in_single(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same numbers computed in float32, where a file computes in float16: its differences drown in rounding."""
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    tensors = [*wide.graph.initializer, *(a.t for n in wide.graph.node for a in n.attribute if a.HasField("t"))]
    for tensor in tensors:
        if tensor.data_type == half:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for value in (*wide.graph.input, *wide.graph.output, *wide.graph.value_info):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = single
    for attribute in (a for n in wide.graph.node for a in n.attribute):
        if attribute.name in ("to", "dtype") and attribute.i == half:
            attribute.i = single
    return wide


def _read_again(graph: onnx.GraphProto, tensor: str) -> None:
    """Let transposed copies of an embedding follow it, where an optimiser has the same rows of integers read twice."""
    makers = {name: node for node in graph.node for name in node.output}
    own = makers[f"{tensor}__made"]
    for node in graph.node if own.op_type == "DequantizeLinear" else ():
        turned = makers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if turned is not None and turned.op_type == "Transpose" and turned.input[0] == own.input[0]:
            node.CopyFrom(onnx.helper.make_node("Transpose", [tensor], node.output))
            node.attribute.extend(turned.attribute)
