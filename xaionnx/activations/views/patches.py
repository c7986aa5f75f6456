"""Patches: where in a data set a channel is strongest, and what of it the channel reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.activations.layer_maps import LayerMaps
from xaionnx.activations.reading import check_pictures
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.strongest import Place, sample_of, strongest
from xaionnx.activations.tiles import block, colours_last, signed
from xaionnx.activations.view import ActivationView, channel_numbers
from xaionnx.autodiff import gradient
from xaionnx.autodiff.guided import DECONVNET, GUIDED
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError
from xaionnx.parameters import choice, integer, name, real
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Patches are drawn with at least this many pixels a side.
_SIDE: Final = 48
# A few pixels carry most of what is carried back; the rest would be as gray as 0.
_BRIGHT: Final = 99.8
_RULES: Final = {"deconvnet": DECONVNET, "guided_backprop": GUIDED}


@final
@dataclass(frozen=True, kw_only=True)
class Patches(ActivationView):
    """The patches of a data set for which a channel is largest, each with its deconvnet reconstruction.

    From each input at most one patch is taken, around the place of the largest value. The reconstruction is that value
    carried back to the input by a deconvnet: what of the patch made the channel large. In networks without max pooling
    guided backpropagation, which the ReLUs of the forward pass gate as well, is sharper. Patches are squares of the
    side that holds a ``share`` of what is carried back, the median over the patches of a channel: the part of the input
    that a unit reads, which is smaller than what it could read.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901, figure 2.
    """

    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901, figure 2"

    layer: str | None = name("tensor inside the model; that of class activation maps if none is named")
    channels: tuple[int, ...] | None = channel_numbers(
        "channels to show; if none are named, those whose largest values vary most"
    )
    count: int = integer(12, "channels that are shown if none are named", low=1, high=1024)
    patches: int = integer(9, "patches of each channel", low=1, high=100)
    back: str = choice("deconvnet", tuple(_RULES), "how a value is carried back to the input")
    share: float = real(0.9, "share of what is carried back that a patch holds", low=0.05, high=1)

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        assert data is not None  # as the view says that it reads one
        check_pictures(model, "Patches")
        maps, found = strongest(model, data, self.layer, self.patches)
        maps.check_channels(self.channels or ())
        chosen = list(self.channels or found.most_varying(self.count))
        rows, sides, shown = [], [], []
        for channel in chosen:
            # A value of 0 comes from no part of the input.
            places = [place for place in found.of(channel) if place.value != 0]
            if not places:
                continue
            pictures, traces, side = self._cut(model, data, maps, channel, places)
            sides.append(side)
            shown.append(channel)
            tiles = (
                Tile(block([_drawn(one) for one in traces], _SIDE), "what is read"),
                Tile(block(pictures, _SIDE), f"{places[-1].value:.3g} to {places[0].value:.3g}"),
            )
            rows.append(Row(f"channel {channel}", tiles))
        if not rows:
            raise DataError(f"The channels of '{maps.name}' are 0 at all {found.samples:,} inputs: nothing is largest.")
        reading = (
            f"Of {found.samples:,} inputs those with the largest values of each channel, the largest first. At the "
            f"left is what {self.back} carries back from the value to the input, where middle gray is 0."
        )
        kept = np.array(shown, dtype=np.int64)
        numbers = {
            "channels": kept,
            "values": found.values[kept],
            "places": found.places[kept],
            "mean": found.mean[kept],
            "deviation": found.deviation[kept],
            "sides": np.array(sides),
        }
        return self.sheet(model, f"Patches for {maps.name}", rows, reading, numbers)

    def _cut(
        self, model: Model, data: Dataset, maps: LayerMaps, channel: int, places: Sequence[Place]
    ) -> tuple[list[NDArray[np.uint8]], list[Array], int]:
        """The patches of a channel (s, s, 3), what is carried back to them (s, s, C), and their side s."""
        spec, main = model.input_spec, model.input().name
        pictures, traces, centres = [], [], []
        for place in places:
            one = sample_of(model, data, place.unit, place.offset)
            slope = gradient(maps.layer.model, maps.name, [main], _RULES[self.back], one)
            _, back = slope.run(one, maps.one_hot([(channel, place.row, place.column)]))
            pictures.append(spec.to_pictures(one[main])[0])
            traces.append(colours_last(back[main], spec)[0])
            centres.append(_centre(place, maps.shape[1:], pictures[-1].shape[:2]))
        sides = [_side(np.abs(trace).sum(axis=2), at, self.share) for trace, at in zip(traces, centres, strict=True)]
        smallest = min(min(picture.shape[:2]) for picture in pictures)
        side = min(int(np.median(sides)), smallest)
        squares = [_square(at, picture.shape[:2], side) for at, picture in zip(centres, pictures, strict=True)]
        return (
            [picture[square] for picture, square in zip(pictures, squares, strict=True)],
            [trace[square] for trace, square in zip(traces, squares, strict=True)],
            side,
        )


def _drawn(trace: Array) -> NDArray[np.uint8]:
    return signed(trace, float(np.percentile(np.abs(trace), _BRIGHT)))


def _centre(place: Place, size: Sequence[int], picture: Sequence[int]) -> tuple[int, int]:
    """The pixel in the middle of a place."""
    row, column = ((at + 0.5) * large / small for at, small, large in zip(place[2:4], size, picture, strict=True))
    return int(row), int(column)


def _side(weight: Array, centre: tuple[int, int], share: float) -> int:
    """The side of the smallest square around the centre with a share of the weight.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.zeros((9, 9))
    >>> weight[4, 4], weight[4, 6] = 3, 1
    >>> _side(weight, (4, 4), 0.7), _side(weight, (4, 4), 0.9)
    (1, 5)
    """
    rows, columns = np.indices(weight.shape)
    distance = np.maximum(np.abs(rows - centre[0]), np.abs(columns - centre[1])).reshape(-1)
    within = np.cumsum(np.bincount(distance, weights=weight.reshape(-1)))
    if within[-1] == 0:
        return int(min(weight.shape))
    radius = int(np.searchsorted(within, share * within[-1] * (1 - 1e-12)))
    return 2 * radius + 1


def _square(centre: tuple[int, int], size: Sequence[int], side: int) -> tuple[slice, slice]:
    """The square around a pixel, moved into the picture."""
    starts = [min(max(at - side // 2, 0), extent - side) for at, extent in zip(centre, size, strict=True)]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)
