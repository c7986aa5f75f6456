"""The numbers that charts of named features draw: one row with its errors, or all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Arrays, Explanation
from xaionnx.feature_names import numeric_values
from xaionnx.render.layers import layer_of, parts
from xaionnx.render.maps import one_sample
from xaionnx.typing import Array, Floats

TOP: Final = 20
"""How many features a chart shows if 'top' is not given; the rest is summed."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Row:
    """One row: P values with their standard errors, names, and values in the input."""

    one: Explanation
    values: Floats
    errors: Floats | None
    names: tuple[str, ...]
    shown: tuple[str, ...]
    parts: str = "features"
    note: str = ""

    @property
    def order(self) -> Array:
        """The features by size, the largest first; ties in their own order."""
        return np.argsort(-np.abs(self.values), kind="stable")


@final
@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """All N rows of one target.

    Attributes
    ----------
    values : array (N, P)
    names : tuple of P str
    numbers : array (K, P)
        The values of the features in the first K rows; NaN for words and where they are missing.
    prediction : array (N,)
    base : array (N,) or None
    targets : array of str (N,)
    """

    result: Explanation
    values: Floats
    names: tuple[str, ...]
    numbers: Floats
    prediction: Floats
    base: Floats | None
    targets: Array

    @property
    def importance(self) -> Floats:
        """The mean size of each feature's values."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    @property
    def order(self) -> Array:
        """The features by importance, the largest first."""
        return np.argsort(-self.importance, kind="stable")


def check_top(top: object, function: str) -> None:
    """Raise ParameterError unless ``top`` is a positive int."""
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise ParameterError(f"The 'top' parameter of {function} must be an int in [1, inf). Got {top!r} instead.")


def row_of(
    explanation: Explanation,
    sample: int,
    target: int,
    function: str,
    names: Sequence[str] | None = None,
    input: str | None = None,
) -> Row:
    """The values of one sample and target; of a layer the sums over its channels or tokens, or its units.

    Raises
    ------
    DataError
        There are no values, some are not finite, or there is another number of names.
    ParameterError
        There is no such sample, target or input.
    """
    one = one_sample(explanation, sample, target, function)
    values, errors, kept = _values(one, input)
    layer, note, kind = layer_of(one), "", "features"
    own, shown = _labels(one, input, kept, len(values))
    if layer is not None:
        values, found, note = parts(np.asarray(one.values)[0], layer)
        errors, kind, own, shown = None, f"{found[0].partition(' ')[0]}s", tuple(found), ("",) * len(values)
    if names is not None and len(names) != len(values):
        raise DataError(f"There are {len(names)} names for {len(values)} {kind}. Give one name to each.")
    return Row(one, values, errors, own if names is None else tuple(map(str, names)), shown, kind, note)


def _labels(one: Explanation, input: str | None, kept: Array, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and values in the input of those features that are drawn."""
    names, shown = one.feature_names, one.shown_values(0)
    if one.feature_values is None and isinstance(one.values, dict) and len(one.values) > 1:
        sizes = [int(np.prod(np.shape(array)[1:])) for array in one.values.values()]
        start = sum(sizes[: list(one.values).index(str(input))])
        return names[start : start + count], shown[start : start + count]
    places = np.flatnonzero(kept)
    unnamed = one.feature_values is None and "feature_names" not in one.provenance
    if unnamed and not isinstance(one.values, dict) and one.values.ndim > 2:
        # The place of an element in its array says more than its number.
        indices = np.stack(np.unravel_index(places, one.values.shape[1:]), axis=1).tolist()
        return tuple(f"element {index}" for index in indices), ("",) * count
    if len(names) == count != len(kept):
        return names, shown[:count] if len(shown) >= count else ("",) * count
    return tuple(names[place] for place in places), tuple(shown[place] for place in places)


def _values(one: Explanation, input: str | None) -> tuple[Floats, Floats | None, Array]:
    """The values (P,), their standard errors, and which of the record's features they are."""
    if one.feature_values is not None:
        source: Arrays = one.feature_values
        is_value = ~np.isnan(np.asarray(source)[0])  # padding of samples with fewer features
    else:
        source = one.values
        if isinstance(source, dict):
            if input is None and len(source) == 1:
                input = next(iter(source))
            if input is None or input not in source:
                raise ParameterError(
                    f"The explanation has values for {', '.join(source)}. Name the one to draw with 'input'."
                )
            source = source[input]
        is_value = np.ones(np.asarray(source)[0].shape, bool)
    values = np.asarray(source)[0][is_value].reshape(-1).astype(np.float64)
    # What a sum of all of them would lose is rounding error.
    values[np.abs(values) < np.finfo(np.float64).eps * np.abs(values).sum()] = 0.0
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"The {one.method} values hold NaN or infinity, or nothing, and cannot be drawn.")
    errors, kept = one.standard_error, is_value.reshape(-1)
    if errors is None or np.shape(errors)[1:] != is_value.shape:
        return values, None, kept
    return values, np.nan_to_num(np.asarray(errors, dtype=np.float64)[0][is_value].reshape(-1)), kept


def has_rows(result: Explanation) -> bool:
    """Whether the samples have the same named features, so that they can be drawn together."""
    if layer_of(result) is not None:
        return False
    if result.feature_values is not None:
        each = result.features.values() if isinstance(result.features, dict) else [result.features]
        return not any(labels is not None and len(labels) > 1 for labels in each) and (
            bool(result.provenance.get("feature_names")) or is_tabular(result)
        )
    arrays = result.values.values() if isinstance(result.values, dict) else [result.values]
    return all(array.ndim == 2 + result.several_targets for array in arrays)


def is_tabular(result: Explanation) -> bool:
    """Whether the input is rows of a table, or not known and a row by the shape of its values."""
    if layer_of(result) is not None:
        return False
    if result.display:
        return all(display.kind == "row" for display in result.display.values())
    arrays = result.values.values() if isinstance(result.values, dict) else [result.values]
    return all(array.ndim == 2 + result.several_targets for array in arrays)


def table_of(result: Explanation, target: int) -> Table:
    """The values of all samples for one target.

    Raises
    ------
    DataError
        Some are not finite.
    """

    def of(array: Array) -> Array:
        return array[target] if result.several_targets else array

    if result.feature_values is not None:
        values = np.asarray(of(result.feature_values), np.float64)
    else:
        arrays = result.values.values() if isinstance(result.values, dict) else [result.values]
        values = np.concatenate([np.asarray(of(array), np.float64) for array in arrays], axis=1)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad) or not values.size:
        where = f" in {len(bad)} rows, such as row {bad[0]}" if len(bad) else ""
        raise DataError(f"The {result.method} values hold NaN or infinity, or nothing{where}, and cannot be drawn.")
    base = None if result.baseline_prediction is None else np.asarray(of(result.baseline_prediction), np.float64)
    return Table(
        result,
        values,
        result.feature_names,
        numeric_values(result),
        np.asarray(of(result.prediction), np.float64),
        base,
        of(result.target),
    )


def subsample(count: int, most: int) -> Array:
    """The numbers of at most ``most`` of ``count`` rows, drawn at random with a fixed seed, in ascending order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def name_with_unit(result: Explanation, name: str, feature: int, joint: str = ", ") -> str:
    """The name of a feature and its unit, unless the name says it already, as ``age in years`` does.

    Examples
    --------
    >>> from xaionnx.data.display import Display
    >>> shown = {"x": Display("row", np.ones((1, 2)), ("rent", "duration in month"), units=("DM", "months"))}
    >>> one = Explanation("lime", np.ones((1, 2)), np.array(["good"]), np.ones(1), display=shown)
    >>> name_with_unit(one, "rent", 0), name_with_unit(one, "duration in month", 1)
    ('rent, DM', 'duration in month')
    """
    units = next((display.units for display in result.display.values() if display.kind == "row" and display.units), ())
    unit = units[feature] if len(units) == len(result.feature_names) else ""
    last = name.split(" ")[-1]
    return name if not unit or last.rstrip("s") == unit.rstrip("s") or name.endswith(unit) else f"{name}{joint}{unit}"
