"""Some samples of a record, their mean, and the samples on the first axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.consistency import is_by_sample
from xaionnx.errors import ParameterError
from xaionnx.typing import Array, Document, Entry

if TYPE_CHECKING:
    from xaionnx.explanation import Arrays, Explanation

# The name of a mean shows at most this many targets.
_MOST_NAMES: Final = 3


def samples_first(explanation: Explanation) -> Explanation:
    """Return the record with the samples on the first axis of all arrays."""
    axes = explanation.provenance.get("sample_axes")
    if not axes:
        return explanation
    lead = int(explanation.several_targets)

    def moved(given: Arrays | None, lead: int) -> Arrays | None:
        if given is None:
            return None
        if isinstance(given, dict):
            return {name: _first(array, axes.get(name, 0), lead) for name, array in given.items()}
        return _first(given, next(iter(axes.values())), lead)

    values, errors = moved(explanation.values, lead), explanation.standard_error
    assert values is not None
    if errors is not None and explanation.feature_values is None:
        moved_errors = moved(errors, lead)
        errors = moved_errors if isinstance(moved_errors, np.ndarray) else None
    return dataclasses.replace(
        explanation,
        values=values,
        standard_error=errors,
        features=moved(explanation.features, 0),
        provenance={key: value for key, value in explanation.provenance.items() if key != "sample_axes"},
    )


def _first(array: Array, axis: int | None, lead: int) -> Array:
    """Move the samples of an array to the first axis after ``lead``; None adds it."""
    return np.expand_dims(array, lead) if axis is None else np.moveaxis(array, lead + axis, lead)


def some_samples(explanation: Explanation, which: slice | Array, target: int | None) -> Explanation:
    """Return the record of some samples, for one target or all."""
    explanation = samples_first(explanation)
    several = explanation.several_targets

    def pick(array: Array) -> Array:
        if not several:
            return array[which]
        return array[:, which] if target is None else array[target, which]

    def pick_labels(array: Array) -> Array:
        return array if array.shape[0] == 1 else array[which]

    numbers = range(explanation.samples)[which] if isinstance(which, slice) else which.tolist()
    return dataclasses.replace(
        explanation,
        values=_each(explanation.values, pick),
        target=pick(explanation.target),
        prediction=pick(explanation.prediction),
        baseline_prediction=_maybe(explanation.baseline_prediction, pick),
        feature_values=_maybe(explanation.feature_values, pick),
        features=None if explanation.features is None else _each(explanation.features, pick_labels),
        standard_error=_maybe(explanation.standard_error, pick),
        maps={name: pick(array) for name, array in explanation.maps.items()},
        diagnostics={
            key: _some_entries(explanation, value, numbers, target) for key, value in explanation.diagnostics.items()
        },
        provenance={
            key: [value[n] for n in numbers] if is_by_sample(key, value, explanation.samples) else value
            for key, value in explanation.provenance.items()
        },
        display={name: one.some(numbers) for name, one in explanation.display.items()},
    )


def _some_entries(explanation: Explanation, value: Entry, numbers: Sequence[int], target: int | None) -> Entry:
    """Return a diagnostic of some samples; also of one target if it is a list over targets."""
    if not isinstance(value, list) or len(value) != explanation.samples:
        return value

    def one(entry: Entry) -> Entry:
        by_target = explanation.several_targets and isinstance(entry, list) and len(entry) == len(explanation.target)
        return entry if target is None or not by_target else entry[target]

    return [one(value[n]) for n in numbers]


def mean(explanation: Explanation) -> Explanation:
    """Return the explanation of the mean over the samples: see :meth:`xaionnx.explanation.Explanation.mean`.

    Raises
    ------
    ParameterError
        The features differ between samples.
    """
    features = explanation.features
    label_maps = features.values() if isinstance(features, dict) else [features]
    if any(labels is not None and len(labels) > 1 for labels in label_maps):
        raise ParameterError(
            "The samples have different features, whose values have no mean. Give the same features to all, such "
            "as a grid or a label map."
        )
    axis, count = int(explanation.several_targets), explanation.samples

    def average(array: Array) -> Array:
        return np.asarray(array.mean(axis=axis, keepdims=True, dtype=np.float64)).astype(array.dtype)

    names = [f"mean of {' and '.join(row)} over {count} samples" for row in _target_rows(explanation)]
    return dataclasses.replace(
        explanation,
        values=_each(explanation.values, average),
        target=np.array(names)[:, None] if explanation.several_targets else np.array(names),
        prediction=average(explanation.prediction),
        baseline_prediction=_maybe(explanation.baseline_prediction, average),
        feature_values=_maybe(explanation.feature_values, average),
        standard_error=_maybe(explanation.standard_error, average),
        maps={name: average(array) for name, array in explanation.maps.items()},
        diagnostics=_mean_diagnostics(explanation),
        display={},
    )


def _target_rows(explanation: Explanation) -> list[list[str]]:
    """Return the different names of each target over the samples; one word for all if there are many."""
    rows = explanation.target if explanation.several_targets else explanation.target[None]
    shown = [list(dict.fromkeys(row.tolist())) for row in rows]
    return [names if len(names) <= _MOST_NAMES else ["the targets"] for names in shown]


def _mean_diagnostics(explanation: Explanation) -> Document:
    """Return counts added up and gaps averaged; other diagnostics of single samples have no mean and are left out."""
    kept: Document = {}
    for key, value in explanation.diagnostics.items():
        if not isinstance(value, list) or len(value) != explanation.samples:
            kept[key] = value
        elif key in ("evaluations", "gradients"):
            kept[key] = [int(np.sum(value))]
        elif key in ("completeness_gap", "conservation_gap", "relevance"):
            kept[key] = [np.mean(value, axis=0).tolist()]
    return kept


def _each(arrays: Arrays, of: Callable[[Array], Array]) -> Arrays:
    return {name: of(array) for name, array in arrays.items()} if isinstance(arrays, dict) else of(arrays)


def _maybe(array: Array | None, of: Callable[[Array], Array]) -> Array | None:
    return None if array is None else of(array)
