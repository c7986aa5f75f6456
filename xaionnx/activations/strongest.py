"""Strongest: where in a data set each channel of a layer is largest, kept while the data set is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from xaionnx.activations.layer_maps import LayerMaps
from xaionnx.activations.reading import feeds_of
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds


class Place(NamedTuple):
    """A place of a map of one sample.

    Attributes
    ----------
    unit, offset : int
        The unit of the data set, and which of its samples.
    row, column : int
    value : float
    """

    unit: int
    offset: int
    row: int
    column: int
    value: float


@final
@dataclass(frozen=True, eq=False)
class Strongest:
    """The largest values of each channel over a data set, one a sample.

    Attributes
    ----------
    values : array (C, K)
        The largest first; K is the number of samples where there are fewer.
    places : array of int (C, K, 4)
        Unit, sample of the unit, row and column of each.
    mean, deviation : array (C,)
        Of the largest value of each sample.
    samples : int
    """

    values: Array
    places: Array
    mean: Array
    deviation: Array
    samples: int

    __repr__ = short_repr

    def of(self, channel: int) -> list[Place]:
        """Return the places of a channel, the largest first."""
        kept = np.isfinite(self.values[channel])
        numbers, values = self.places[channel][kept].tolist(), self.values[channel][kept].tolist()
        return [
            Place(unit, offset, row, column, value)
            for (unit, offset, row, column), value in zip(numbers, values, strict=True)
        ]

    def most_varying(self, count: int) -> list[int]:
        """Return the channels whose largest value differs most from sample to sample, those of one value left out."""
        order = np.argsort(-self.deviation, kind="stable")[:count]
        return [int(channel) for channel in order if self.deviation[channel] > 0]


def strongest(model: Model, data: Dataset, layer: str | None, count: int) -> tuple[LayerMaps, Strongest]:
    """Return a layer, and the ``count`` strongest places of each of its channels over a data set.

    Equal values keep the order of the data set, so that the size of batches changes nothing.

    Raises
    ------
    DataError
        No sample of the data set can be read, or it can be read only once.
    """
    values, places, tops = np.empty((0, 0)), np.empty((0, 0, 4), dtype=np.int64), []
    for maps, found, samples in maps_of(model, data, layer):
        flat = found.reshape(len(found), maps.shape[0], -1)
        best = flat.argmax(axis=2)
        tops.append(np.take_along_axis(flat, best[..., None], axis=2)[..., 0].astype(np.float64))
        rows, columns = np.unravel_index(best, maps.shape[1:])
        own = np.broadcast_to(samples[:, None], (*best.shape, 2))
        new = np.concatenate([own, rows[..., None], columns[..., None]], axis=-1).swapaxes(0, 1)
        values = np.hstack([values, tops[-1].T]) if values.size else tops[-1].T
        places = np.concatenate([places, new], axis=1) if places.size else new
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        values, places = np.take_along_axis(values, order, 1), np.take_along_axis(places, order[..., None], 1)
    everything = np.concatenate(tops)
    mean, deviation = everything.mean(axis=0), everything.std(axis=0)
    deviation[deviation <= 1e-6 * np.abs(mean)] = 0
    return maps, Strongest(values, places, mean, deviation, len(everything))


def maps_of(model: Model, data: Dataset, layer: str | None) -> Iterator[tuple[LayerMaps, Array, Array]]:
    """Yield a layer, its maps (N, C, h, w) over a data set in blocks, and (N, 2) unit and sample of the unit.

    Raises
    ------
    DataError
        No sample of the data set can be read, or it can be read only once.
    """
    if data.count is None:
        raise DataError("The data set is read twice, and an iterable can be read once. Give a folder or an array.")
    progress.expect(data.count)
    maps: LayerMaps | None = None
    for block in data.batches(model):
        if block.inputs is not None:
            feeds = model.check(block.inputs.arrays)
            if maps is None:
                maps = LayerMaps.of(model, layer, feeds_of(model, data, block.units[0]))
            yield maps, maps.read(feeds), np.stack([np.array(block.units), _offsets(block.units)], axis=1)
        progress.advance(block.stop - block.start)
    if maps is None:
        raise DataError("No sample of the data set can be read, so nothing in it can be shown.")


def sample_of(model: Model, data: Dataset, unit: int, offset: int) -> Feeds:
    """Return one sample of a data set as the model's inputs."""
    feeds = feeds_of(model, data, unit)
    return {name: x if name in model.shared else x[[offset]] for name, x in feeds.items()}


def _offsets(units: tuple[int, ...]) -> Array:
    """Of each sample its number among those of its unit, which follow each other."""
    numbers = np.array(units)
    first = np.searchsorted(numbers, numbers)
    return np.arange(len(numbers)) - first
