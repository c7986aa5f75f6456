"""Spectrum: a channel from its most negative to its most positive, in searched pictures and in a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.activations.icons import reduced
from xaionnx.activations.reading import check_pictures
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.strongest import maps_of, sample_of
from xaionnx.activations.view import ActivationView, channel_numbers
from xaionnx.data.dataset import Dataset
from xaionnx.errors import ParameterError, ZeroGradientError
from xaionnx.optimization import Search
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.parameters import integer, name, random_seed
from xaionnx.runtime.model import Model

_SIDE: Final = 128


@final
@dataclass(frozen=True, kw_only=True)
class Spectrum(ActivationView):
    """A channel's spectrum: the searched picture of its smallest mean, inputs from low to high, that of its largest.

    The inputs of a data set are ordered by the channel's mean over its map, which is what the searches change, and
    those at even steps from the smallest to the largest are shown. What a channel is against often says as much as what
    it is for, and the inputs in between say how sharp it is.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"

    layer: str | None = name("tensor inside the model; that of class activation maps if none is named")
    channels: tuple[int, ...] | None = channel_numbers("channels to show")
    count: int = integer(7, "inputs from the smallest to the largest mean", low=2, high=100)
    steps: int = integer(128, "steps of each of the two searches", low=1)
    seed: int = random_seed("seed of the searches")

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        assert data is not None  # as the view says that it reads one
        check_pictures(model, "Spectra")
        if self.channels is None:
            raise ParameterError("Name the channels of a spectrum; the view 'patches' shows which vary.")
        means, samples = [], []
        for maps, found, places in maps_of(model, data, self.layer):
            maps.check_channels(self.channels)
            means.append(found[:, list(self.channels)].mean(axis=(2, 3), dtype=np.float64))
            samples.append(places)
        mean, where = np.concatenate(means), np.concatenate(samples)
        rows, ends = [], []
        for channel, values in zip(self.channels, mean.T, strict=True):
            order = np.argsort(values, kind="stable")
            chosen = order[_even(len(order), self.count)]
            searched = [self._searched(model, maps.name, channel, sign) for sign in (-1, 1)]
            ends.append([np.nan if one is None else one[1] for one in searched])
            tiles = [_tile(self._picture(model, data, where[n]), values[n]) for n in chosen]
            low, high = ([] if one is None else [_tile(*one, "searched ")] for one in searched)
            rows.append(Row(f"channel {channel}", (*low, *tiles, *high)))
        lacking = " There is none where nothing leads from noise to it." if np.isnan(ends).any() else ""
        reading = (
            f"At the ends pictures that a search found for the smallest and the largest mean of the channel, between "
            f"them inputs of the data set at even steps in the order of their means, {len(mean):,} in all.{lacking}"
        )
        numbers = {"channels": np.array(self.channels), "means": mean, "searched": np.array(ends)}
        return self.sheet(model, f"Spectra of {maps.name}", rows, reading, numbers)

    def _searched(self, model: Model, layer: str, channel: int, sign: int) -> tuple[NDArray[np.uint8], float] | None:
        try:
            found = Search(steps=self.steps, seed=self.seed).run(model, sign * Channel(layer=layer, channel=channel))
        except ZeroGradientError:
            # Noise leaves a rectified channel at 0, which is the least that there is.
            return None
        return found.pictures[0], sign * float(found.unseen[0])

    def _picture(self, model: Model, data: Dataset, place: Sequence[int]) -> NDArray[np.uint8]:
        one = sample_of(model, data, int(place[0]), int(place[1]))
        return np.asarray(model.input_spec.to_pictures(one[model.input().name])[0])


def _tile(picture: NDArray[np.uint8], value: float, before: str = "") -> Tile:
    return Tile(reduced(picture, _SIDE), f"{before}{value:.3g}")


def _even(count: int, most: int) -> list[int]:
    """Numbers at even steps from 0 to ``count`` - 1, both included.

    Examples
    --------
    >>> _even(100, 3), _even(2, 3)
    ([0, 50, 99], [0, 1])
    """
    return sorted({round(share * (count - 1)) for share in np.linspace(0, 1, min(most, count)).tolist()})
