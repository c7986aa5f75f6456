"""LayerMaps: a layer as maps of its channels, and back to the places of its elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import UnknownNameError
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.layer import Layer, layer_name
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True, eq=False)
class LayerMaps:
    """A layer whose values are maps (N, C, h, w); units without a place have maps of 1 x 1.

    Attributes
    ----------
    layer : Layer
    shape : tuple of int
        (C, h, w).
    places : array of int (C, h, w)
        The element of the flattened layer that each place of each map is.
    """

    layer: Layer
    shape: tuple[int, int, int]
    places: Array

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, name: str | None, feeds: Feeds) -> LayerMaps:
        """Return the maps of a layer, by default the one that class activation maps use, at one or more samples.

        Raises
        ------
        UnknownNameError, UnsupportedModelError
            There is no such layer, or its axes are unknown.
        """
        sample = model.samples(feeds)[0]
        if name is None:
            name = default_layer(model, [sample.main], [default_output(model)], sample)
        layer = Layer.of(model, layer_name(model, name), feeds)
        shape = layer.x.shape[1:]
        elements = np.arange(int(np.prod(shape))).reshape(shape)
        if len(shape) == 1:
            places = elements.reshape(-1, 1, 1)
        else:
            places = SpatialMap.of(layer.model, layer.name, shape, sample).planes(elements)
        return cls(layer, places.shape, places)

    @property
    def name(self) -> str:
        """The layer."""
        return self.layer.name

    def read(self, feeds: Feeds) -> Array:
        """Return the maps (N, C, h, w) of other inputs."""
        return self.maps(self.layer.values_at(feeds))

    def maps(self, values: Array) -> Array:
        """Return values (N, ...) of the layer as maps (N, C, h, w)."""
        flat = values.reshape(len(values), -1)
        return flat[:, self.places.reshape(-1)].reshape(len(values), *self.shape)

    def one_hot(self, places: Sequence[tuple[int, int, int]]) -> Array:
        """Return values (M, ...) of the layer that are 1 at one place (channel, row, column) each, and 0 elsewhere."""
        elements = [self.places[place] for place in places]
        hot = np.zeros((len(places), int(np.prod(self.layer.x.shape[1:]))), dtype=self.layer.x.dtype)
        hot[np.arange(len(places)), elements] = 1
        return hot.reshape(len(places), *self.layer.x.shape[1:])

    def check_channels(self, channels: Sequence[int]) -> None:
        """Refuse channels that the layer does not have.

        Raises
        ------
        UnknownNameError
            One of them is beyond the last.
        """
        beyond = [channel for channel in channels if channel >= self.shape[0]]
        if beyond:
            raise UnknownNameError(f"Layer '{self.name}' has {self.shape[0]} channels, from 0. Got {beyond[0]}.")
