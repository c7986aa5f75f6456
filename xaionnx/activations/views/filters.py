"""Filters: the weights of a convolution as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, final

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.tiles import signed
from xaionnx.activations.view import ActivationView
from xaionnx.data.dataset import Dataset
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.layer import check_layer, layer_name
from xaionnx.parameters import integer, name
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Channels of a filter that are drawn as one colour picture.
_COLOURS: Final = (1, 3)


@final
@dataclass(frozen=True, kw_only=True)
class Filters(ActivationView):
    """The filters of a convolution: what it multiplies its input with.

    Those that read a picture are pictures themselves, of edges, blobs and colours. Those of deeper layers have a gray
    tile for each channel that they read. Middle gray is 0; each filter has its own scale.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, NIPS 2012,
    figure 3.
    """

    reads: ClassVar[Literal["nothing", "an input", "a data set"]] = "nothing"
    reference: ClassVar[str] = "Krizhevsky et al. 2012, doi:10.1145/3065386, figure 3"

    layer: str | None = name("output of the convolution; the first one if none is named")
    count: int = integer(64, "most filters that are shown", low=1, high=4096)
    inputs: int = integer(16, "most channels that are shown of a deeper filter", low=1, high=4096)

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        node = _convolution(model, self.layer)
        weights = _weights(model, node)
        shown = weights[: self.count]
        largest = np.abs(shown).reshape(len(shown), -1).max(axis=1)
        if weights.shape[1] in _COLOURS:
            # Grouped convolutions read one channel of a deeper layer each, which is gray.
            ordered = shown[:, ::-1] if model.input_spec.color == "BGR" else shown
            tiles = [
                Tile(signed(np.moveaxis(one, 0, -1), top), str(n))
                for n, (one, top) in enumerate(zip(ordered, largest, strict=True))
            ]
            rows = [Row("", tuple(tiles))]
        else:
            rows = [
                Row(f"filter {n}", tuple(Tile(signed(plane[..., None], top)) for plane in one[: self.inputs]))
                for n, (one, top) in enumerate(zip(shown, largest, strict=True))
            ]
        of, read = f"{len(shown)} of {len(weights)} filters", min(self.inputs, weights.shape[1])
        each = "" if weights.shape[1] in _COLOURS else f" {read} of {weights.shape[1]} channels of each are shown."
        reading = f"{of}. Middle gray is 0, lighter is positive; each filter has its own scale.{each}"
        return self.sheet(model, f"Filters of {node.output[0]}", rows, reading, {"weights": weights})


def _convolution(model: Model, name: str | None) -> onnx.NodeProto:
    convolutions = {node.output[0]: node for node in model.view.nodes if node.op_type == "Conv"}
    if not convolutions:
        raise UnsupportedModelError(f"{model.name} has no convolutions, so no filters. Use 'feature_maps'.")
    if name is None:
        return next(iter(convolutions.values()))
    tensor = layer_name(model, name)
    check_layer(model, tensor)
    made = model.view.producers.get(tensor)
    # A bias, a norm or an activation may follow the convolution that is meant.
    while made is not None and made.op_type != "Conv":
        read = [one for one in made.input if one and one not in model.view.constants]
        made = model.view.producers.get(read[0]) if len(read) == 1 else None
    if made is None:
        raise UnsupportedModelError(
            f"'{name}' of {model.name} is not made by a convolution. The first three are "
            f"{', '.join(list(convolutions)[:3])}."
        )
    return made


def _weights(model: Model, node: onnx.NodeProto) -> Array:
    """The weights (O, I, h, w) of a convolution over one or two axes."""
    held = model.view.constants.get(node.input[1])
    if held is None:
        raise UnsupportedModelError(
            f"The weights of '{node.output[0]}' of {model.name} are computed by the graph, not stored. Name another."
        )
    weights = np.asarray(numpy_helper.to_array(held), dtype=np.float32)
    axes = weights.ndim - 2
    if axes not in (1, 2) or int(np.prod(weights.shape[2:])) == 1:
        size = " x ".join(map(str, weights.shape[2:]))
        raise UnsupportedModelError(
            f"The filters of '{node.output[0]}' of {model.name} are {size}, which is not a picture. Name another layer."
        )
    return weights if axes == len("HW") else weights[:, :, None]
