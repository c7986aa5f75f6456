"""Whether the parts of a record that was read from a file fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, get_args

import numpy as np

from xaionnx.data.arrays import NUMBERS
from xaionnx.data.display import Display, DisplayKind
from xaionnx.typing import Array, Entry

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

BY_SAMPLE: Final = ("input_sha256", "inputs", "file_sha256", "request_sha256", "spans", "seen", "file_sizes")
"""Entries of the provenance that are lists with one entry a sample."""


def is_by_sample(key: str, value: Entry, samples: int) -> bool:
    """Return whether an entry of the provenance is a list with one entry a sample; names may be those of all."""
    if key == "feature_names":
        return bool(value) and isinstance(value[0], list)
    return key in BY_SAMPLE and len(value) == samples


def misfit(e: Explanation) -> str:
    """Return what of a record does not fit the rest, in words; empty if all does.

    Raises
    ------
    AttributeError, TypeError, ValueError
        A part is of another type than that of its field.
    """
    return next((problem for problem in _problems(e) if problem), "")


def _problems(e: Explanation) -> Iterator[str]:
    """What does not fit; each problem may rely on those before it."""
    if not isinstance(e.method, str) or not isinstance(e.diagnostics, dict) or not isinstance(e.provenance, dict):
        yield "it has no method, diagnostics or provenance"
    if e.target.dtype.kind != "U" or e.target.ndim not in (1, 2) or not e.target.size:
        yield f"its targets are {e.target.dtype} {e.target.shape}"
    if not all(isinstance(e.provenance[key], list) for key in BY_SAMPLE if key in e.provenance):
        yield "its provenance does not have one entry a sample"
    for name in ("prediction", "baseline_prediction"):
        yield _prediction(name, getattr(e, name), e.target)
    values = _each(e.values)
    numbers = [*values, *_each(e.feature_values), *_each(e.standard_error)]
    if not values or any(array.dtype.kind not in NUMBERS for array in numbers):
        yield "its values are not numbers"
    whole = e.target.shape
    for array in (*_each(e.samples_first().values), *_each(e.feature_values), *e.maps.values()):
        if array.shape[: len(whole)] != whole:
            yield f"an array {array.shape} does not fit the targets {whole}"
    explained = e.values if e.feature_values is None else e.feature_values
    errors = e.standard_error
    if errors is not None and isinstance(explained, np.ndarray) and errors.shape != explained.shape:
        yield f"standard_error is {errors.shape} for values {explained.shape}"
    yield _features(e)
    yield _feature_names(e)
    yield from (_display(one, e.samples) for one in e.display.values())


def _prediction(name: str, array: Array | None, target: Array) -> str:
    if array is None or (array.dtype.kind in NUMBERS and array.shape == target.shape):
        return ""
    return f"{name} is {array.dtype} {array.shape} for the targets {target.shape}"


def _features(e: Explanation) -> str:
    players = None if e.feature_values is None else e.feature_values.shape[-1]
    for labels in _each(e.features):
        if labels.dtype.kind not in "iu":
            return f"features are {labels.dtype}"
        if labels.size and (labels.min() < -1 or (players is not None and labels.max() >= players)):
            return f"features are numbered {labels.min()} to {labels.max()} for {players} values"
    if isinstance(e.features, np.ndarray) and isinstance(e.values, np.ndarray) and "layer" not in e.provenance:
        shape = e.values.shape[int(e.several_targets) :]
        if np.broadcast_shapes(e.features.shape, shape) != shape:
            return f"features {e.features.shape} do not fit the values {shape}"
    return ""


def _feature_names(e: Explanation) -> str:
    """The names of players are those of all samples, or those of each."""
    given = e.provenance.get("feature_names", [])
    if not isinstance(given, list) or e.feature_values is None:
        return "its names of features have no features" if given else ""
    players, each = e.feature_values.shape[-1], [names for names in given if isinstance(names, list)]
    if each and (len(each) != len(given) or len(each) != e.samples):
        return "its names of features are not those of each sample"
    if given and not each and len(given) != players:
        return f"it has {len(given)} names for {players} features"
    if any(len(names) > players for names in each):
        return f"it has more names than {players} features"
    if not all(isinstance(name, str) for names in each or [given] for name in names):
        return "its names of features are not text"
    return ""


def _display(one: Display, samples: int) -> str:
    sides = () if one.size is None else one.size
    lines = (one.names, one.units, one.texts, *one.words.values())
    named = all(isinstance(name, str) for line in lines for name in line)
    whole = all(type(number) is int for number in (one.channel, *sides))
    if one.kind not in get_args(DisplayKind) or not whole or not named or any(side < 1 for side in sides):
        return "a display is damaged"
    if one.array.ndim < 2 or len(one.array) > samples:
        return f"a display {one.array.shape} does not fit {samples} samples"
    if not isinstance(one.unit, str) or not 0 < one.step < np.inf or not isinstance(one.start, str | int | float):
        return "the time of a display is damaged"
    if one.kind in ("text", "bytes") and len(one.texts) != len(one.array):
        return "a display has not one text for each sample"
    if one.kind == "row" and not _labelled(one):
        return f"the names of a display do not fit its columns {one.array.shape}"
    return ""


def _labelled(one: Display) -> bool:
    """Whether names, units and words of a row are those of its columns."""
    columns = one.array.shape[-1]
    whole = all(len(line) in (0, columns) for line in (one.names, one.units))
    return whole and all(0 <= column < columns for column in one.words)


def _each(arrays: Array | dict[str, Array] | None) -> list[Array]:
    if arrays is None:
        return []
    return list(arrays.values()) if isinstance(arrays, dict) else [arrays]
