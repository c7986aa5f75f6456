"""Randomise the weights of a graph, layer by layer: for the checks whether an explanation depends on them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.graph.view import GraphView
from xaionnx.typing import Array

# Attributes that hold weights: of trees, linear models and support vector machines.
_ATTRIBUTES: Final = ("class_weights", "target_weights", "leaf_weights", "coefficients")
# Ops whose float constants are bounds, sizes and exponents.
_NOT_WEIGHED: Final = ("Clip", "Pad", "Pow", "Range", "Resize", "Upsample", "NonMaxSuppression", "Cast", "Where")
# Ops that add a bias to the product of an op before them, as exporters write layers without a bias of their own.
_BIASED: Final = ("Add", "Sub")
_PRODUCTS: Final = ("MatMul", "MatMulInteger", "Conv", "ConvTranspose", "Gemm")
_KINDS: Final = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT8,
)


@final
@dataclass(frozen=True)
class WeightedLayer:
    """A node with weights, with the one that adds its bias, if that is apart.

    Attributes
    ----------
    output : str
        The first output, with the bias.
    weights : tuple of str
        The constants of more than one number that it reads, and no node nearer to the outputs reads.
    source : str
        The tensor that the weights are applied to.
    attributes : bool
        Whether it has weights as attributes, as trees do.
    """

    output: str
    weights: tuple[str, ...]
    source: str
    attributes: bool = False


def weighted_layers(view: GraphView) -> list[WeightedLayer]:
    """Return the layers of a graph that have weights, from the outputs to the inputs."""
    found, seen, biases = [], set[str](), dict[str, tuple[str, tuple[str, ...]]]()
    for node in reversed(view.nodes):
        names = tuple(dict.fromkeys(name for name in _weights(view, node) if name not in seen))
        stated = any(attribute.name in _ATTRIBUTES for attribute in node.attribute)
        if not names and not stated:
            continue
        seen.update(names)
        source = next((name for name in node.input if name and name not in view.constants), "")
        if node.op_type in _BIASED and _is_biased(view, source, seen):
            biases[source] = (node.output[0], names)
            continue
        output, bias = biases.pop(node.output[0], (node.output[0], ()))
        found.append(WeightedLayer(output, (*bias, *names), source, stated))
    return found


def _weights(view: GraphView, node: onnx.NodeProto) -> list[str]:
    return [] if node.op_type in _NOT_WEIGHED else [name for name in node.input if _is_weight(view, name)]


def _is_biased(view: GraphView, name: str, seen: set[str]) -> bool:
    """Whether a tensor is a product with weights of its own, to which a bias is added, and nothing else reads it."""
    node = view.producers.get(name)
    if node is None or node.op_type not in _PRODUCTS or len(view.consumers.get(name, ())) != 1:
        return False
    return any(weight not in seen for weight in _weights(view, node))


def _is_weight(view: GraphView, name: str) -> bool:
    tensor = view.constants.get(name)
    return tensor is not None and tensor.data_type in _KINDS and int(np.prod(tensor.dims)) > 1


def with_random_weights(
    model: onnx.ModelProto, layers: Sequence[WeightedLayer], load: Callable[[onnx.TensorProto], Array], seed: int
) -> onnx.ModelProto:
    """Return a model in which the numbers of the weights of some layers are in a random order.

    Each weight keeps its numbers, and so its scale, whatever its type. The order depends on the seed and the name.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed.
    layers : sequence of WeightedLayer
    load : callable
        Returns the numbers of a weight, also of one in an external file.
    seed : int
    """
    names = {name for layer in layers for name in layer.weights}
    outputs = {layer.output for layer in layers if layer.attributes}
    shuffled = onnx.ModelProto()
    shuffled.CopyFrom(model)
    for tensor in shuffled.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(_shuffled(tensor, tensor.name, load, seed))
    for node in shuffled.graph.node:
        if node.op_type == "Constant" and node.output[0] in names:
            for attribute in node.attribute:
                if attribute.name == "value":
                    attribute.t.CopyFrom(_shuffled(attribute.t, node.output[0], load, seed))
        elif node.output and node.output[0] in outputs:
            _shuffle_attributes(node, load, seed)
    return shuffled


def _shuffle_attributes(node: onnx.NodeProto, load: Callable[[onnx.TensorProto], Array], seed: int) -> None:
    for attribute in node.attribute:
        if attribute.name not in _ATTRIBUTES:
            continue
        name = f"{node.output[0]} {attribute.name}"
        if attribute.HasField("t"):
            attribute.t.CopyFrom(_shuffled(attribute.t, name, load, seed))
        else:
            numbers = np.array(attribute.floats, dtype=np.float32)
            del attribute.floats[:]
            attribute.floats.extend(numbers[_order(name, len(numbers), seed)].tolist())


def _shuffled(
    tensor: onnx.TensorProto, name: str, load: Callable[[onnx.TensorProto], Array], seed: int
) -> onnx.TensorProto:
    array = load(tensor)
    flat = array.reshape(-1)[_order(name, array.size, seed)]
    return numpy_helper.from_array(np.ascontiguousarray(flat.reshape(array.shape)), tensor.name)


def _order(name: str, count: int, seed: int) -> Array:
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(count)
