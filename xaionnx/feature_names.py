"""The names of a result's features, and their values in the input as a reader writes them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from xaionnx.data.display import Display
from xaionnx.typing import Floats

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

# How many columns of a group are named.
_GROUP: Final = 2
# From here on thousands are separated, also in numbers without a unit: smaller ones may be years.
_SEPARATED: Final = 10_000
# Larger numbers are not written out.
_WRITTEN_OUT: Final = 1e15


class _Column(NamedTuple):
    """A column of an input that is a row."""

    input: str
    number: int


def feature_names(explanation: Explanation) -> tuple[str, ...]:
    """Return the names of the P features; see `Explanation.feature_names`."""
    given = explanation.provenance.get("feature_names")
    if given and not isinstance(given[0], list):
        return tuple(given)
    if given and len(given) == 1:
        return tuple(given[0])
    players = _players(explanation)
    several = isinstance(explanation.values, dict) and len(explanation.values) > 1
    return tuple(
        _group([_column_name(explanation, column, several) or f"feature {number}" for column in columns])
        if columns
        else f"feature {number}"
        for number, columns in enumerate(players)
    )


def shown_values(explanation: Explanation, n: int) -> tuple[str, ...]:
    """Return the values of the P features in sample ``n``; see `Explanation.shown_values`."""
    names = _given_names(explanation, n)
    shown = [_shown(explanation, columns, n) for columns in _players(explanation)]
    return tuple("" if text and _tells(names, player, text) else text for player, text in enumerate(shown))


def _given_names(explanation: Explanation, n: int) -> Sequence[str]:
    """The names of the features of sample ``n`` in the record; none if they are those of the columns."""
    given = explanation.provenance.get("feature_names") or ()
    if not given or not isinstance(given[0], list):
        return tuple(given)
    return given[n] if n < len(given) else given[0]


def _tells(names: Sequence[str], player: int, text: str) -> bool:
    """Whether the name of a feature is a condition that says its value, such as ``housing = own``."""
    return player < len(names) and names[player].endswith((f" = {text}", f" is {text}"))


def numeric_values(explanation: Explanation) -> Floats:
    """Return the values of the features in the first K samples, (K, P).

    Values that are missing or not stored, words, codes of words and groups of several columns are NaN.
    """
    players = _players(explanation)
    stored = [len(one.array) for one in explanation.display.values() if one.kind == "row"]
    numbers = np.full((min(stored, default=0), len(players)), np.nan)
    for player, columns in enumerate(players):
        if len(columns) != 1:
            continue
        display = explanation.display[columns[0].input]
        if display.array.dtype.kind in "fiub" and columns[0].number not in display.words:
            numbers[:, player] = display.array[: len(numbers), columns[0].number]
    return numbers


def names_of_columns(explanation: Explanation, columns: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of the features from those of the F columns of the only input; None if they do not match."""
    display = Display("row", np.zeros((1, len(columns))), tuple(columns))
    named = dataclasses.replace(
        explanation,
        display={next(iter(explanation.display), ""): display},
        provenance={key: value for key, value in explanation.provenance.items() if key != "feature_names"},
    )
    if all(len(found) == 0 for found in _players(named)):
        return None
    return feature_names(named)


def value_text(value: object, unit: str = "", words: Sequence[str] = ()) -> str:
    """Return a value of an input as a reader writes it: ``own``, ``48 months``, ``1,169 DM``, ``missing``.

    Parameters
    ----------
    value : float, bool or str
    unit : str
    words : sequence of str
        The words of a column of categories, in the order of their codes 0, 1, 2, ...

    Examples
    --------
    >>> value_text(48.0, "months"), value_text(1169, "DM"), value_text(2019), value_text(np.nan)
    ('48 months', '1,169 DM', '2019', 'missing')
    >>> value_text(1.0, words=["rent", "own"]), value_text(np.float32(0.1)), value_text(-25_000.5)
    ('own', '0.1', '−25,000')
    """
    if isinstance(value, str):
        return value or "missing"
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if not isinstance(value, int | float | np.number) or isinstance(value, np.complexfloating):
        return str(value)
    number = float(value)
    if math.isnan(number):
        return "missing"
    if words and number.is_integer() and 0 <= number < len(words):
        return words[int(number)]
    size = abs(number)
    text = f"{size:g}"
    if math.isfinite(number) and size < _WRITTEN_OUT and (size >= 1000 or number.is_integer()):
        comma = "," if unit or size >= _SEPARATED else ""
        text = f"{size:{comma}.0f}" if number.is_integer() or size >= _SEPARATED else f"{size:{comma}.1f}"
    elif math.isfinite(number):
        text = f"{size:.4g}"
    return f"{'−' if number < 0 else ''}{text}{f' {unit}' if unit else ''}"


def _players(explanation: Explanation) -> list[list[_Column]]:
    """The columns of each player, or each element of the values; empty for what is not a column of a row."""
    explanation = explanation.samples_first()
    if "layer" in explanation.provenance:
        return [[] for _ in range(_count(explanation))]
    main = next(iter(explanation.display), "")
    values = explanation.values if isinstance(explanation.values, dict) else {main: explanation.values}
    if explanation.feature_values is None:
        return [
            column
            for name, array in values.items()
            for column in _elements(explanation, name, array.shape[2 if explanation.several_targets else 1 :])
        ]
    players: list[list[_Column]] = [[] for _ in range(_count(explanation))]
    labels = explanation.features if isinstance(explanation.features, dict) else {main: explanation.features}
    for name, array in labels.items():
        display = explanation.display.get(name)
        # Groups that differ between samples have no names in common.
        if array is None or array.ndim != 2 or len(array) != 1 or display is None or display.kind != "row":
            continue
        if display.array.ndim != 2 or array.shape[1] not in (1, display.array.shape[1]):
            continue
        for number, player in enumerate(np.broadcast_to(array[0], display.array.shape[1:]).tolist()):
            if player >= 0:
                players[player].append(_Column(name, number))
    return players


def _count(explanation: Explanation) -> int:
    """The number P of players, or of elements of a sample."""
    if explanation.feature_values is not None:
        return int(explanation.feature_values.shape[-1])
    values = explanation.samples_first().values
    arrays = values.values() if isinstance(values, dict) else [values]
    return sum(math.prod(array.shape[2 if explanation.several_targets else 1 :]) for array in arrays)


def _elements(explanation: Explanation, name: str, shape: tuple[int, ...]) -> list[list[_Column]]:
    display = explanation.display.get(name)
    if display is None or display.kind != "row" or display.array.shape[1:] != shape or len(shape) != 1:
        return [[] for _ in range(math.prod(shape))]
    return [[_Column(name, number)] for number in range(shape[0])]


def _column_name(explanation: Explanation, column: _Column, several: bool) -> str:
    """The name of a column; empty if it has none, and is of the only input."""
    display = explanation.display[column.input]
    if display.names:
        return display.names[column.number]
    if not several:
        return ""
    return column.input if display.array.shape[1] == 1 else f"{column.input}[{column.number}]"


def _group(names: Sequence[str]) -> str:
    more = f" and {len(names) - _GROUP} more" if len(names) > _GROUP else ""
    return " + ".join(names[:_GROUP]) + more


def _shown(explanation: Explanation, columns: Sequence[_Column], n: int) -> str:
    """The value of a feature in sample ``n``; empty if it was not stored."""
    if not columns or any(n >= len(explanation.display[column.input].array) for column in columns):
        return ""
    if len(columns) > 1 and (word := _hot(explanation, columns, n)):
        return word
    texts = [_cell(explanation.display[column.input], column.number, n) for column in columns]
    more = f" and {len(texts) - _GROUP} more" if len(texts) > _GROUP else ""
    return ", ".join(texts[:_GROUP]) + more


def _cell(display: Display, number: int, n: int) -> str:
    cell = display.array[n, number]
    unit = display.units[number] if display.units else ""
    return value_text(str(cell) if display.array.dtype.kind == "U" else cell, unit, display.words.get(number, ()))


def _hot(explanation: Explanation, columns: Sequence[_Column], n: int) -> str:
    """The word of a one-hot group: the rest of the name of the column that is 1; empty if it is not such a group."""
    displays = [explanation.display[column.input] for column in columns]
    if any(display.array.dtype.kind not in "fiub" or not display.names for display in displays):
        return ""
    cells = [float(display.array[n, column.number]) for display, column in zip(displays, columns, strict=True)]
    names = [display.names[column.number] for display, column in zip(displays, columns, strict=True)]
    stem = len(_common_start(names))
    if not (stem or explanation.provenance.get("feature_names")) or sorted(cells) != [0.0] * (len(cells) - 1) + [1.0]:
        return ""
    return names[cells.index(1.0)][stem:].strip(" _-=:.[]") or names[cells.index(1.0)]


def _common_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a mark between words."""
    least, most = min(names), max(names)
    same = next((k for k, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(map(len, (least, most))))
    marks = [k + 1 for k in range(same) if least[k] in " _-=:.["]
    return least[: marks[-1]] if marks else ""
