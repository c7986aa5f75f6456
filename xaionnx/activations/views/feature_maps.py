"""Feature maps: what the channels of a layer are for one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from xaionnx.activations.layer_maps import LayerMaps
from xaionnx.activations.reading import first_sample
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.tiles import gray
from xaionnx.activations.view import ActivationView, channel_numbers
from xaionnx.data.dataset import Dataset
from xaionnx.parameters import choice, integer, name
from xaionnx.runtime.model import Model


@final
@dataclass(frozen=True, kw_only=True)
class FeatureMaps(ActivationView):
    """The maps of a layer's channels for one input, those of the largest mean first.

    References
    ----------
    Yosinski, Clune, Nguyen, Fuchs and Lipson, Understanding neural networks through deep visualization, 2015,
    arXiv:1506.06579.
    """

    reads: ClassVar[Literal["nothing", "an input", "a data set"]] = "an input"
    reference: ClassVar[str] = "Yosinski et al. 2015, arXiv:1506.06579"

    layer: str | None = name("tensor inside the model; that of class activation maps if none is named")
    channels: tuple[int, ...] | None = channel_numbers("channels to show; the strongest if none are named")
    count: int = integer(48, "most channels that are shown", low=1, high=4096)
    scale: str = choice("own", ("own", "common"), "whether each map has its own scale of gray or all have one")

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        feeds = first_sample(model, data)
        layer = LayerMaps.of(model, self.layer, feeds)
        maps = layer.read(feeds)[0].astype(np.float64)
        layer.check_channels(self.channels or ())
        # By the mean, as largest values are alike where an activation has a limit.
        order = np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[: self.count]
        chosen = order if self.channels is None else np.array(self.channels)
        low, high = min(maps[chosen].min(), 0), maps[chosen].max()
        spec, main = model.input_spec, model.input().name
        photo = [Tile(spec.to_pictures(feeds[main])[0], "input")] if spec.kind == "picture" else []
        tiles = []
        for channel in chosen:
            own = maps[channel]
            ends = (low, high) if self.scale == "common" else (min(own.min(), 0), own.max())
            tiles.append(Tile(gray(own, *ends), f"{channel}: {own.max():.3g}"))
        ends_said = "of all of them" if self.scale == "common" else "of each"
        reading = (
            f"{len(chosen)} of {len(maps)} channels, with their numbers and largest values. White is the largest value "
            f"{ends_said}, black is 0 or the smallest."
        )
        rows = [Row("", tuple(group)) for group in (photo, tiles) if group]
        numbers = {"channels": np.asarray(chosen), "maps": maps[chosen].astype(np.float32)}
        return self.sheet(model, f"Feature maps of {layer.name}", rows, reading, numbers)
