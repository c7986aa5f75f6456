"""Strongest: where in a data set each channel of a layer is largest, kept while the data set is read."""

from __future__ import annotations

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
from xaionnx.typing import Array


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
        The largest first; minus infinity where there are fewer samples.
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

    def most_selective(self, count: int) -> list[int]:
        """Return the channels whose largest value stands out most from those of other samples, in deviations."""
        varies = self.deviation > 0
        apart = np.divide(
            self.values[:, 0] - self.mean, self.deviation, out=np.full(len(varies), -np.inf), where=varies
        )
        order = np.argsort(-apart, kind="stable")[:count]
        return [int(channel) for channel in order if varies[channel]]


def strongest(model: Model, data: Dataset, layer: str | None, count: int) -> tuple[LayerMaps, Strongest]:
    """Return a layer, and the ``count`` strongest places of each of its channels over a data set.

    Equal values keep the order of the data set, so that the size of batches changes nothing.

    Raises
    ------
    DataError
        No sample of the data set can be read, or it can be read only once.
    """
    if data.count is None:
        raise DataError(
            "This view reads its data set twice, and an iterable can be read once. Give a folder or an array."
        )
    progress.expect(data.count)
    maps: LayerMaps | None = None
    values = places = np.empty(0)
    total = squares = np.empty(0)
    samples = 0
    for block in data.batches(model):
        progress.advance(block.stop - block.start)
        if block.inputs is None:
            continue
        feeds = model.check(block.inputs.arrays)
        if maps is None:
            maps = LayerMaps.of(model, layer, feeds_of(model, data, block.units[0]))
            channels = maps.shape[0]
            values, places = np.empty((channels, 0)), np.empty((channels, 0, 4), dtype=np.int64)
            total = squares = np.zeros(channels)
        found = maps.read(feeds).reshape(len(block.units), *maps.shape[:1], -1)
        best = found.argmax(axis=2)
        tops = np.take_along_axis(found, best[..., None], axis=2)[..., 0].astype(np.float64)
        total, squares, samples = total + tops.sum(axis=0), squares + (tops**2).sum(axis=0), samples + len(tops)
        rows, columns = np.unravel_index(best, maps.shape[1:])
        units = np.broadcast_to(np.array(block.units)[:, None], best.shape)
        offsets = np.broadcast_to(_offsets(block.units)[:, None], best.shape)
        new = np.stack([units, offsets, rows, columns], axis=-1)
        values, places = np.hstack([values, tops.T]), np.concatenate([places, new.swapaxes(0, 1)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        values, places = np.take_along_axis(values, order, 1), np.take_along_axis(places, order[..., None], 1)
    if maps is None:
        raise DataError("No sample of the data set can be read, so no place in it can be shown.")
    mean = total / samples
    deviation = np.sqrt(np.maximum(squares / samples - mean**2, 0))
    return maps, Strongest(values, places, mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 0), samples)


def _offsets(units: tuple[int, ...]) -> Array:
    """Of each sample its number among those of its unit, which follow each other."""
    numbers = np.array(units)
    first = np.searchsorted(numbers, numbers)
    return np.arange(len(numbers)) - first
