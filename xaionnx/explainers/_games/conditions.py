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
        The bin of each row; -1 if it is in none, as words that no row shares with the sample.
    edges : array
        Of numbers: bin k holds the values in (edges[k - 1], edges[k]]; empty for words.
    """

    rule: str
    places: Mapping[str, Array]
    own: int
    bins: Array
    edges: Array

    __repr__ = short_repr

    @property
    def holds(self) -> Array:
        """Whether each row meets the condition, (B,)."""
        return np.asarray(self.bins == self.own)

    @property
    def of_numbers(self) -> bool:
        """Whether the condition is an interval."""
        return len(self.edges) > 0


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


def conditions_of(method: str, removal: Removal) -> list[Condition]:
    """The condition of each player of a row: the bin of a number, or equal words, categories and groups of columns.

    Raises
    ------
    ParameterError
        An input is no row, or the baseline has fewer than 10 rows of data.
    """
    sample = removal.sample
    if removal.draws < FEWEST_ROWS:
        raise ParameterError(
            f"{method} divides columns by rows of data, of which there are {removal.draws}. Give at least "
            f"{FEWEST_ROWS} as the 'background'."
        )
    if any(sample.x[name].ndim > 1 or sample.positions(name) is not None for name in removal.players.maps):
        raise ParameterError(f"{method} divides the columns of rows, but this input is no row of a table.")
    columns = row_columns(sample, tuple(removal.players.maps))
    labels = {name: np.broadcast_to(m, sample.x[name].shape).reshape(-1) for name, m in removal.players.maps.items()}
    rows = {name: removal.baseline[name].reshape(removal.draws, -1) for name in labels}
    found = []
    for player in range(removal.players.count):
        places = {name: np.flatnonzero(own == player) for name, own in labels.items() if (own == player).any()}
        found.append(_condition(sample, places, rows, columns))
    return found


def _condition(
    sample: Sample, places: Mapping[str, Array], rows: Mapping[str, Array], columns: Mapping[str, list[str]]
) -> Condition:
    names = [columns[name][k] for name, own in places.items() for k in own]
    name = next(iter(places))
    spec = sample.spec if name == sample.main else None
    words = () if spec is None else tuple(spec.categories.get(names[0], ()))
    own = np.concatenate([sample.x[n].reshape(-1)[k] for n, k in places.items()])
    values = np.concatenate([rows[n][:, k] for n, k in places.items()], axis=1)
    if len(own) > 1 or own.dtype.kind not in "fiu" or words:
        same = np.array([all(_equal(a, b) for a, b in zip(row, own, strict=True)) for row in values])
        others = {tuple(row): 0 for row in values[~same].tolist()}
        numbers = {key: number + 1 for number, key in enumerate(others)}
        bins = np.array([0 if s else numbers[tuple(row)] for s, row in zip(same, values.tolist(), strict=True)])
        told = [value_text(value, words=words) for value in own.tolist()]
        rule = " and ".join(f"{column} = {word}" for column, word in zip(names, told, strict=True))
        return Condition(rule, places, 0, bins, np.empty(0))
    numbers_of_rows = values[:, 0].astype(np.float64)
    x, known = float(own[0]), np.isfinite(numbers_of_rows)
    if np.isnan(x) or not known.any():
        bins = np.where(known, 1, 0)
        return Condition(f"{names[0]} is missing", places, 0, bins, np.empty(0))
    edges = quartile_bins(numbers_of_rows[known])
    bins = np.where(known, np.searchsorted(edges, numbers_of_rows), len(edges) + 1)
    number = int(np.searchsorted(edges, x))
    low = f"{value_text(edges[number - 1])} < " if number else ""
    high = f" <= {value_text(edges[number])}" if number < len(edges) else ""
    rule = f"{low}{names[0]}{high}" if high else f"{names[0]} > {value_text(edges[-1])}"
    return Condition(rule, places, number, bins, edges)


def _equal(a: object, b: object) -> bool:
    # NaN is missing in both.
    return bool(a == b) or (a != a and b != b)
