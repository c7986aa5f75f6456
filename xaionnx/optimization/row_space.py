"""The variables of a row: what may change, within which range, and what a change costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from xaionnx.data.spec import InputSpec
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

Kind = Literal["number", "whole", "category"]
Way = Literal["up", "down"]

# A category has at most so many options where only data say what they are.
_MOST_OPTIONS: Final = 1000


@final
@dataclass(frozen=True, eq=False)
class Variable:
    """A column, or the columns of a one-hot code, which change together.

    Attributes
    ----------
    name : str
    columns : tuple of int
    kind : str
        ``number``, ``whole`` number, or ``category``, one of the ``options`` (O, k).
    low, high : float
        The least and the largest value of a number, of those that occur in the background.
    scale : float
        The median absolute deviation of a number: the unit of its changes.
    options : array (O, k)
        Of a category.
    unit : str
    words : tuple of str
        The words of a category in one column, in the order of their codes; the names of the columns of a one-hot code.
    """

    name: str
    columns: tuple[int, ...]
    kind: Kind
    low: float
    high: float
    scale: float
    options: Array
    unit: str = ""
    words: tuple[str, ...] = ()

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class RowSpace:
    """The rows that a counterfactual may be.

    Attributes
    ----------
    variables : tuple of Variable
    background : array (B, F)
        Rows of data, which say what values occur.
    """

    variables: tuple[Variable, ...]
    background: Array

    __repr__ = short_repr

    @classmethod
    def of(cls, background: Array, spec: InputSpec) -> RowSpace:
        """Return the space that rows of data and a spec tell of."""
        count = background.shape[1]
        names = tuple(spec.columns) or tuple(f"column {number}" for number in range(count))
        grouped = {column for members in spec.groups.values() for column in members}
        found = [
            _hot(name, tuple(names.index(column) for column in members), background, members)
            for name, members in spec.groups.items()
        ]
        for number, name in enumerate(names):
            if name not in grouped:
                words = tuple(spec.categories.get(name, ()))
                found.append(_column(name, number, background[:, number], words, spec.units.get(name, "")))
        return cls(tuple(sorted(found, key=lambda one: one.columns)), background)

    def limits(self, row: Array, immutable: Collection[str], ways: Mapping[str, Way]) -> Limits:
        """Return what may change of a row.

        Raises
        ------
        UnknownNameError
            A name is not a variable.
        ParameterError
            A way is neither ``up`` nor ``down``, or of a category.
        """
        known = {one.name: one for one in self.variables}
        for name in (*immutable, *ways):
            if name not in known:
                raise UnknownNameError.among("column", name, known)
        for name, way in ways.items():
            if way not in ("up", "down") or known[name].kind == "category":
                raise ParameterError(f"The way of column '{name}' must be up or down, and of a number. Got {way!r}.")
        numbers, categories = [], []
        for one in self.variables:
            if one.name in immutable:
                continue
            if one.kind == "category":
                categories.append(one)
            else:
                numbers.append(one)
        at = np.array([one.columns[0] for one in numbers], dtype=np.int64)
        start = row[at].astype(np.float64)
        # A row may lie beyond the range of the data, and may stay there.
        low = np.minimum([one.low for one in numbers], start) if numbers else start
        high = np.maximum([one.high for one in numbers], start) if numbers else start
        for k, one in enumerate(numbers):
            low[k] = start[k] if ways.get(one.name) == "up" else low[k]
            high[k] = start[k] if ways.get(one.name) == "down" else high[k]
        scale = np.array([one.scale for one in numbers])
        whole = np.array([one.kind == "whole" for one in numbers], dtype=bool)
        return Limits(at, start, low, high, scale, whole, tuple(categories))

    def distance(self, rows: Array, row: Array) -> Array:
        """Return how far rows (M, F) are from a row: changes of numbers in their scales, and 1 a changed category."""
        total = np.zeros(len(rows))
        for one in self.variables:
            moved = rows[:, one.columns].astype(np.float64) - row[list(one.columns)]
            total += (moved != 0).any(axis=1) if one.kind == "category" else np.abs(moved[:, 0]) / one.scale
        return total

    def changed(self, found: Array, row: Array) -> list[Variable]:
        """Return the variables in which two rows differ."""
        return [one for one in self.variables if (found[list(one.columns)] != row[list(one.columns)]).any()]


@final
@dataclass(frozen=True, eq=False)
class Limits:
    """What may change of a row: P numbers, and categories.

    Attributes
    ----------
    at : array of int (P,)
        The columns of the numbers.
    start, low, high, scale : arrays (P,)
    whole : array of bool (P,)
    categories : tuple of Variable
    """

    at: Array
    start: Array
    low: Array
    high: Array
    scale: Array
    whole: Array
    categories: tuple[Variable, ...]

    __repr__ = short_repr


def _column(name: str, number: int, values: Array, words: tuple[str, ...], unit: str) -> Variable:
    known = values[np.isfinite(values)].astype(np.float64)
    if words:
        options = np.arange(len(words), dtype=values.dtype)[:, None]
        return Variable(name, (number,), "category", 0.0, len(words) - 1.0, 1.0, options, unit, words)
    middle = float(np.median(known)) if known.size else 0.0
    spread = float(np.median(np.abs(known - middle))) if known.size else 0.0
    # Where most rows have one value, the deviation of all tells how far values lie.
    scale = spread or (float(known.std()) if known.size else 0.0) or 1.0
    whole = bool(known.size) and bool((known == np.rint(known)).all())
    low, high = (float(known.min()), float(known.max())) if known.size else (-np.inf, np.inf)
    return Variable(name, (number,), "whole" if whole else "number", low, high, scale, np.empty((0, 1)), unit)


def _hot(name: str, columns: tuple[int, ...], background: Array, members: Sequence[str]) -> Variable:
    options = np.unique(background[:, columns], axis=0)[:_MOST_OPTIONS]
    return Variable(name, columns, "category", 0.0, 1.0, 1.0, options, "", tuple(members))
