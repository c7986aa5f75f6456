"""The points of a feature's curve: quantiles of a number in rows of data, the most frequent values of anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.explainers._games.accumulated import along_numbers, along_words, similarity_order
from xaionnx.explainers._games.data_set import Rows
from xaionnx.feature_names import value_text
from xaionnx.perturb.names import row_columns
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# More cells of a row are not written out.
_WRITTEN_OUT: Final = 8
# Rows of data by which words are put in an order.
_COMPARED: Final = 1000


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """G points of a feature.

    Attributes
    ----------
    places : mapping of int arrays by input name
        The elements of the feature in each flattened input.
    values : mapping of arrays (G, k) by input name
        Their values at each point.
    grid : array (G,)
        The points, if the feature is a number, else NaN.
    shares : array (G,)
        The share of the rows of data that are nearest to each point, or have its value.
    words : tuple of G str
        The points in words, if the feature is not a number; else empty.
    numbers : array
        The feature in the rows of data where it is a number and not missing, in order; else empty.
    """

    places: Mapping[str, Array]
    values: Mapping[str, Array]
    grid: Array
    shares: Array
    words: tuple[str, ...]
    numbers: Array

    __repr__ = short_repr

    @property
    def count(self) -> int:
        """The number G of points."""
        return len(self.grid)

    @property
    def is_number(self) -> bool:
        """Whether the feature is a number."""
        return not self.words

    def at(self, point: int) -> list[tuple[str, Array, Array]]:
        """The elements of each input, and their values at a point."""
        return [(name, self.places[name], values[point]) for name, values in self.values.items()]

    def nearest(self, given: Mapping[str, Array]) -> Array:
        """The point that each of M rows (M, k) of the feature is at; -1 for values that are none."""
        found = np.full(len(next(iter(given.values()))), -1)
        for point in range(self.count):
            same = [(given[name] == values[point]).all(axis=1) for name, values in self.values.items()]
            found[np.logical_and.reduce(same)] = point
        return found

    def effects(self, own: Array, values: Array, order: Array | None) -> Array:
        """The accumulated local effects at the points; NaN for what is neither a number nor a word in an order.

        Parameters
        ----------
        own : array (N,)
            The number of each sample, NaN if missing, or the number of its word, -1 if it has none.
        values : array (N, G)
            The target of each sample at the points.
        order : int array (G,) or None
            That of words.
        """
        if self.count == 1:
            return np.zeros(1)
        if order is not None:
            return along_words(order, own, values)
        known = np.isfinite(own)
        if not self.is_number or not known.any():
            return np.full(self.count, np.nan)
        return along_numbers(self.grid, own[known], values[known])

    @classmethod
    def of(cls, sample: Sample, places: Mapping[str, Array], rows: Mapping[str, Array], most: int) -> Self:
        """The points of a feature in rows of data.

        Parameters
        ----------
        sample : Sample
            One of the samples, for the names of columns and categories.
        places : mapping of int arrays (k,) by input name
        rows : mapping of arrays (B, k) by input name
        most : int
            The largest number of points.
        """
        (name, column), *others = rows.items()
        words = _words(sample, places)
        if not others and column.shape[1] == 1 and column.dtype.kind in "fiu" and not words:
            numbers = np.sort(column[:, 0].astype(np.float64))
            numbers = numbers[np.isfinite(numbers)]
            if len(numbers):
                grid = _grid(numbers, most, whole=column.dtype.kind in "iu")
                middles = (grid[1:] + grid[:-1]) / 2
                shares = np.bincount(np.searchsorted(middles, numbers), minlength=len(grid)) / len(numbers)
                return cls(places, {name: grid[:, None].astype(column.dtype)}, grid, shares, (), numbers)
        seen: dict[tuple[object, ...], list[int]] = {}
        for number in range(len(column)):
            seen.setdefault(tuple(cell for array in rows.values() for cell in array[number].tolist()), []).append(
                number
            )
        # The most frequent first; those of equal frequency in the order of the rows.
        chosen = sorted(seen.items(), key=lambda one: -len(one[1]))[:most]
        counts, taken = np.array([len(own) for _, own in chosen]), np.array([own[0] for _, own in chosen])
        told = tuple(_told(key, words) for key, _ in chosen)
        nothing = np.full(len(taken), np.nan)
        values = {name: array[taken] for name, array in rows.items()}
        return cls(places, values, nothing, counts / counts.sum(), told, np.empty(0))


def _grid(numbers: Array, most: int, *, whole: bool) -> Array:
    """All numbers if they are few, else quantiles with both ends."""
    known = np.unique(numbers)
    if len(known) > most:
        known = np.quantile(numbers, np.linspace(0, 1, most))
    return np.unique(np.round(known) if whole else known)


def _words(sample: Sample, places: Mapping[str, Array]) -> list[tuple[str, ...]]:
    """The words of the codes in each column of a feature; empty if it has no column of codes."""
    spec = sample.spec
    if spec is None or not spec.categories or sample.main not in places:
        return []
    if any(sample.x[name].ndim > 1 for name in places):
        return []
    columns = row_columns(sample, tuple(places))
    names = [columns[name][place] if name == sample.main else "" for name, own in places.items() for place in own]
    found = [tuple(spec.categories.get(name, ())) for name in names]
    return found if any(found) else []


def _told(cells: tuple[object, ...], words: list[tuple[str, ...]]) -> str:
    """The cells of a row in words; of parts of pictures and other long ones only their number."""
    if len(cells) > _WRITTEN_OUT:
        return f"{len(cells)} values"
    return ", ".join(value_text(cell, words=words[k] if words else ()) for k, cell in enumerate(cells))


@final
@dataclass(frozen=True, eq=False)
class Data:
    """Rows of data (B, ...) by input name, which give the grids of samples."""

    samples: Rows
    rows: Mapping[str, Array]

    __repr__ = short_repr

    def curve(self, player: int, most: int) -> Curve:
        """The points of a feature, at most so many."""
        places = self.samples.places(player)
        return Curve.of(self.samples.sample, places, self._cells(self.rows, places), most)

    def own(self, curve: Curve) -> Array:
        """A feature in each sample: its number, NaN if missing, or that of its word, -1 for none of the curve."""
        return self._codes(curve, self.samples.feeds)

    def order(self, player: int, curve: Curve) -> Array | None:
        """The order of the words of a feature; None if it has none, or is part of something else than a row."""
        in_rows = all(array.ndim <= 2 for name, array in self.rows.items() if name in curve.places)
        if curve.is_number or not in_rows:
            return None
        others = [code for number, code in enumerate(self._compared) if number != player]
        own = self._codes(curve, self._few)
        return similarity_order(own, curve.count, others)

    @property
    def _few(self) -> dict[str, Array]:
        return {name: array[:_COMPARED] for name, array in self.rows.items()}

    def column(self, player: int) -> tuple[Array, bool]:
        """A feature in all rows of data, as its number or that of its word, and whether it is a number."""
        curve = self.curve(player, len(next(iter(self.rows.values()))))
        return self._codes(curve, self.rows), curve.is_number

    @cached_property
    def _compared(self) -> list[tuple[Array, bool]]:
        """Each feature in some rows of data, and whether it is a number."""
        curves = [self.curve(player, _COMPARED) for player in range(self.samples.players.count)]
        return [(self._codes(curve, self._few), curve.is_number) for curve in curves]

    def _codes(self, curve: Curve, rows: Mapping[str, Array]) -> Array:
        cells = self._cells(rows, curve.places)
        if curve.is_number:
            return np.asarray(next(iter(cells.values()))[:, 0].astype(np.float64))
        return curve.nearest(cells)

    def _cells(self, rows: Mapping[str, Array], places: Mapping[str, Array]) -> dict[str, Array]:
        return {name: rows[name].reshape(len(rows[name]), -1)[:, own] for name, own in places.items()}
