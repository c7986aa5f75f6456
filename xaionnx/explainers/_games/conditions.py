"""Conditions on the columns of a row: bins between quartiles of rows of data, and equal words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.feature_names import value_text
from xaionnx.perturb.names import row_columns
from xaionnx.perturb.removal import Removal
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Quartiles of fewer rows say little.
FEWEST_ROWS: Final = 10
_QUARTILES: Final = (25, 50, 75)


@final
@dataclass(frozen=True, eq=False)
class Condition:
    """The condition that a player of a row meets, and the rows of data by their bins.

    Attributes
    ----------
    rule : str
        In words: ``24 < duration <= 36`` or ``housing = own``.
    places : mapping of int arrays by input name
        The elements of the player, in the flattened input.
    own : int
        The number of the bin that the sample is in.
    bins : array of int (B,)
        The bin of each row; of words, 0 for those of the sample and 1 for others.
    """

    rule: str
    places: Mapping[str, Array]
    own: int
    bins: Array

    __repr__ = short_repr

    @property
    def holds(self) -> Array:
        """Whether each row meets the condition, (B,)."""
        return np.asarray(self.bins == self.own)


@final
@dataclass(frozen=True, eq=False)
class Division:
    """The rows of data as the columns of a player divide them, whatever the sample: bins of numbers, or words.

    Attributes
    ----------
    columns : tuple of str
        The names of the columns.
    places : mapping of int arrays by input name
        The elements of the player, in the flattened input.
    values : mapping of arrays (B, ...) by input name
        The rows at these elements.
    words : tuple of str
        What whole numbers stand for.
    edges : array
        Of numbers: bin k holds the values in (edges[k - 1], edges[k]], and the last one those that are missing; empty
        for words.
    bins : array of int (B,)
        The bin of each row; of words all are 0.
    """

    columns: tuple[str, ...]
    places: Mapping[str, Array]
    values: Mapping[str, Array]
    words: tuple[str, ...]
    edges: Array
    bins: Array

    __repr__ = short_repr

    @classmethod
    def of(
        cls, columns: tuple[str, ...], places: Mapping[str, Array], values: Mapping[str, Array], words: tuple[str, ...]
    ) -> Division:
        """Divide rows by their quartiles, or by words: those of categories, of groups of columns and of other types."""
        rows = next(iter(values.values()))
        numbers = np.empty(0)
        if len(columns) == 1 and rows.dtype.kind in "fiu" and not words:
            numbers = rows[:, 0].astype(np.float64)
        known = np.isfinite(numbers)
        if not known.any():
            return cls(columns, places, values, words, np.empty(0), np.zeros(len(rows), dtype=np.intp))
        edges = quartile_bins(numbers[known])
        bins = np.where(known, np.searchsorted(edges, numbers), len(edges) + 1)
        return cls(columns, places, values, words, edges, bins)

    @property
    def of_numbers(self) -> bool:
        """Whether conditions are intervals."""
        return len(self.edges) > 0

    def condition(self, sample: Sample) -> Condition:
        """Return the condition that a sample meets."""
        own = {name: sample.x[name].reshape(-1)[places] for name, places in self.places.items()}
        return self._of_number(float(own[next(iter(own))][0])) if self.of_numbers else self._of_words(own)

    def _of_number(self, x: float) -> Condition:
        (column,), edges = self.columns, self.edges
        if np.isnan(x):
            return Condition(f"{column} is missing", self.places, len(edges) + 1, self.bins)
        number = int(np.searchsorted(edges, x))
        low = f"{value_text(edges[number - 1])} < " if number else ""
        high = f" <= {value_text(edges[number])}" if number < len(edges) else ""
        rule = f"{low}{column}{high}" if high else f"{column} > {value_text(edges[-1])}"
        return Condition(rule, self.places, number, self.bins)

    def _of_words(self, own: Mapping[str, Array]) -> Condition:
        same = np.ones(len(self.bins), dtype=bool)
        for name, rows in self.values.items():
            # NaN is missing in both.
            missing = np.asarray(rows != rows, dtype=bool) & np.asarray(own[name] != own[name], dtype=bool)
            same &= (np.asarray(rows == own[name], dtype=bool) | missing).all(axis=1)
        told = [value_text(value, words=self.words) for array in own.values() for value in array.tolist()]
        rule = " and ".join(f"{column} = {word}" for column, word in zip(self.columns, told, strict=True))
        return Condition(rule, self.places, 0, np.where(same, 0, 1))


def quartile_bins(values: Array) -> Array:
    """Return the edges between bins of numbers: the quartiles, equal ones merged.

    If three quarters of the numbers are the largest one, it gets a bin of its own: else all were in one bin.

    Examples
    --------
    >>> quartile_bins(np.arange(8.0)), quartile_bins(np.array([0, 0, 0, 0, 0, 1, 2, 3.0]))
    (array([1.75, 3.5 , 5.25]), array([0.  , 1.25]))
    >>> quartile_bins(np.array([0, 1, 1, 1, 1, 1.0]))
    array([0.])
    """
    edges = np.unique(np.percentile(values, _QUARTILES))
    below = values[values < values.max()]
    return np.array([below.max()]) if edges[0] == values.max() and len(below) else edges


def divisions_of(method: str, removal: Removal) -> list[Division]:
    """The division of the rows of data by each player of a row.

    Raises
    ------
    ParameterError
        An input is not a row, or the baseline has fewer than 10 rows of data.
    """
    sample = removal.sample
    if removal.draws < FEWEST_ROWS:
        raise ParameterError(
            f"{method} divides columns by rows of data, of which there are {removal.draws}. Give at least "
            f"{FEWEST_ROWS}, as in background='rows.csv'."
        )
    if any(sample.x[name].ndim > 1 or sample.positions(name) is not None for name in removal.players.maps):
        raise ParameterError(f"{method} divides the columns of rows, but this input is not a row of a table.")
    columns = row_columns(sample, tuple(removal.players.maps))
    labels = {name: np.broadcast_to(m, sample.x[name].shape).reshape(-1) for name, m in removal.players.maps.items()}
    rows = {name: removal.baseline[name].reshape(removal.draws, -1) for name in labels}
    found = []
    for player in range(removal.players.count):
        places = {name: np.flatnonzero(own == player) for name, own in labels.items() if (own == player).any()}
        names = tuple(columns[name][k] for name, own in places.items() for k in own)
        spec = sample.spec if next(iter(places)) == sample.main else None
        words = () if spec is None else tuple(spec.categories.get(names[0], ()))
        found.append(Division.of(names, places, {name: rows[name][:, own] for name, own in places.items()}, words))
    return found
