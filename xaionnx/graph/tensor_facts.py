"""Types, shapes and constants of the tensors of a graph that is being written, node after node."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.tree_ensembles import CLASSIFIER, ML, REGRESSOR
from xaionnx.graph.view import DEFAULT_DOMAINS, reads
from xaionnx.loading.reading import WEIGHTS_APART
from xaionnx.loading.shape_inference import infer_shapes

if TYPE_CHECKING:
    from xaionnx.typing import Array

# Inference may read the values of constants of at most this size: shapes, axes and bounds.
_LIGHT = 1024


class TensorFacts:
    """Infers types and shapes of the tensors that nodes compute.

    Nodes are added in topological order. Inference visits each once, at the first question about a later tensor.

    Parameters
    ----------
    model : onnx.ModelProto
        Declares the inputs, the weights and the opset.
    load : callable
        Returns the numbers of a weight, also of one in an external file.
    """

    def __init__(self, model: onnx.ModelProto, load: Callable[[onnx.TensorProto], Array]) -> None:
        self._imports = list(model.opset_import)
        self._load = load
        self._types: dict[str, onnx.TypeProto] = {}
        self._weights: dict[str, onnx.TensorProto] = {}
        self._waiting: list[onnx.NodeProto] = []
        self._producers: dict[str, onnx.NodeProto] = {}

    def enter(self, graph: onnx.GraphProto) -> None:
        """Add the inputs and weights of a graph or a body."""
        for value in (*graph.value_info, *graph.output, *graph.input):
            if value.type.tensor_type.elem_type:
                self._types[value.name] = value.type
        for tensor in graph.initializer:
            self._hold(tensor.name, tensor)

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node after those whose outputs it reads."""
        self._producers.update((name, node) for name in node.output if name)
        tensor = next((a.t for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
        if tensor is not None:
            self._hold(node.output[0], tensor)
        elif node.domain == ML and node.op_type in (CLASSIFIER, REGRESSOR):
            # Whose outputs inference leaves open; onnxruntime returns a row of numbers for each sample.
            self._types[node.output[-1]] = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, (None, None))
        elif node.domain in DEFAULT_DOMAINS or (node.domain == ML and node.op_type == "ArrayFeatureExtractor"):
            self._waiting.append(node)

    def made_by(self, name: str) -> str | None:
        """Return the op that computes a tensor; None for inputs and weights."""
        return self._producers[name].op_type if name in self._producers else None

    def rename(self, names: Mapping[str, str]) -> None:
        """Take over what is known of tensors under their new names, which the nodes already have."""
        for old, new in names.items():
            self._producers[new] = self._producers.pop(old)
            if old in self._types:
                self._types[new] = self._types.pop(old)

    def array(self, name: str) -> Array | None:
        """Return the numbers of a weight or of the output of a Constant node; else None."""
        tensor = self._weights.get(name)
        return None if tensor is None else self._load(tensor)

    def is_external(self, name: str) -> bool:
        """Whether a weight is in an external file."""
        tensor = self._weights.get(name)
        return tensor is not None and tensor.data_location == onnx.TensorProto.EXTERNAL

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """Return the shape of a tensor, with None for unknown sizes; None if its rank is unknown."""
        kind = self._type(name)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.tensor_type.shape.dim)

    def kind(self, name: str) -> int | None:
        """Return the ONNX type of a tensor's elements, or None if it is unknown."""
        found = self._type(name)
        return None if found is None else found.tensor_type.elem_type

    def _hold(self, name: str, tensor: onnx.TensorProto) -> None:
        self._weights[name] = tensor
        self._types[name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)

    def _type(self, name: str) -> onnx.TypeProto | None:
        known = self._types.get(name)
        # What the file declares may be its type alone.
        if self._waiting and (known is None or not known.tensor_type.HasField("shape")):
            self._infer()
        return self._types.get(name)

    def _infer(self) -> None:
        nodes, self._waiting = self._waiting, []
        model = onnx.ModelProto(ir_version=WEIGHTS_APART, opset_import=self._imports)
        graph = model.graph
        graph.name = "waiting"
        graph.node.extend(nodes)
        made = {name for node in nodes for name in node.output}
        for name in dict.fromkeys(name for node in nodes for name in reads(node) if name not in made):
            weight = self._weights.get(name)
            if weight is not None and _is_light(weight):
                graph.initializer.append(numpy_helper.from_array(self._load(weight), name))
            elif name in self._types:
                graph.input.append(onnx.ValueInfoProto(name=name, type=self._types[name]))
        for value in infer_shapes(model, data_prop=True).graph.value_info:
            if value.type.tensor_type.elem_type:
                self._types[value.name] = value.type


def _is_light(tensor: onnx.TensorProto) -> bool:
    return math.prod(tensor.dims) <= _LIGHT and tensor.data_location != onnx.TensorProto.EXTERNAL
