"""Join records of some samples each into one record of N samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from xaionnx.consistency import BY_SAMPLE
from xaionnx.data.display import MOST_BYTES, Display
from xaionnx.data.repeats import concatenate
from xaionnx.explanation import Arrays, Explanation
from xaionnx.typing import Array, Document


def join_records(parts: Sequence[Explanation], names: Sequence[str]) -> Explanation:
    """Join records of N samples in all, made by the same method for the same model, into one record.

    ``provenance`` is taken from the first record, but lists what it has by sample, such as ``input_sha256`` and the
    names of the samples (``inputs``), and has the ``conversions`` of all. Values in ``diagnostics`` are listed by
    sample, except for ``seconds``, which are added up.
    """
    parts = _of_one_length(parts)
    first = parts[0]
    axis = 1 if first.several_targets else 0
    features = [part.features for part in parts if part.features is not None]

    def along(arrays: Sequence[Array]) -> Array:
        return concatenate(arrays, axis)

    def along_players(arrays: Sequence[Array]) -> Array:
        return along(_pad_players(arrays))

    along_errors = along if first.feature_values is None else along_players

    def of(arrays: Sequence[Array | None], join: Callable[[Sequence[Array]], Array] = along) -> Array | None:
        """The arrays of all parts, joined; None if any part lacks it."""
        found = [array for array in arrays if array is not None]
        return join(found) if len(found) == len(arrays) else None

    return dataclasses.replace(
        first,
        values=_join_by_name([part.values for part in parts], along),
        target=along([part.target for part in parts]),
        prediction=along([part.prediction for part in parts]),
        baseline_prediction=of([part.baseline_prediction for part in parts]),
        feature_values=of([part.feature_values for part in parts], along_players),
        features=None if len(features) < len(parts) else _join_by_name(features, partial(_join_label_maps, parts)),
        standard_error=of([part.standard_error for part in parts], along_errors),
        maps={key: along([part.maps[key] for part in parts]) for key in first.maps},
        diagnostics=_join_diagnostics(parts),
        display=_join_displays(parts),
        provenance={
            **first.provenance,
            **{
                key: [one for part in parts for one in part.provenance.get(key, [None] * part.samples)]
                for key in BY_SAMPLE
                if key in first.provenance
            },
            **_join_names(parts),
            "inputs": list(names),
            "conversions": list(
                dict.fromkeys(note for part in parts for note in part.provenance.get("conversions", ()))
            ),
        },
    )


def _of_one_length(parts: Sequence[Explanation]) -> Sequence[Explanation]:
    """Records of texts, all of as many tokens as the longest: the values of further ones are 0, and of no player."""
    shown = [next(iter(part.display.values()), None) for part in parts]
    lengths = [one.array.shape[1] if one is not None and one.kind in ("text", "bytes") else 0 for one in shown]
    if min(lengths) == 0 or len(set(lengths)) == 1:
        return parts
    most = max(lengths)
    return [_lengthened(part, length, most) for part, length in zip(parts, lengths, strict=True)]


def _lengthened(part: Explanation, length: int, most: int) -> Explanation:
    leading = 2 if part.several_targets else 1

    def longer(array: Array, axes: int, filling: int) -> Array:
        along = next((axis for axis in range(axes, array.ndim) if array.shape[axis] == length), None)
        widths = [(0, most - length if axis == along else 0) for axis in range(array.ndim)]
        return np.pad(array, widths, constant_values=filling)

    def of(arrays: Arrays, axes: int, filling: int) -> Arrays:
        if isinstance(arrays, dict):
            return {name: longer(array, axes, filling) for name, array in arrays.items()}
        return longer(arrays, axes, filling)

    return dataclasses.replace(
        part,
        values=of(part.values, leading, 0),
        features=None if part.features is None else of(part.features, 1, -1),
        maps={name: longer(array, leading, 0) for name, array in part.maps.items()},
        display={name: dataclasses.replace(one, array=longer(one.array, 1, 0)) for name, one in part.display.items()},
    )


def _join_by_name(found: Sequence[Arrays], join: Callable[[Sequence[Array]], Array]) -> Arrays:
    if isinstance(found[0], dict):
        return {name: join([one[name] for one in found if isinstance(one, dict)]) for name in found[0]}
    return join([one for one in found if not isinstance(one, dict)])


def _pad_players(arrays: Sequence[Array]) -> list[Array]:
    """Pad samples that have fewer players with NaN."""
    most = max(array.shape[-1] for array in arrays)
    return [
        np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, most - array.shape[-1])], constant_values=np.nan)
        for array in arrays
    ]


def _join_label_maps(parts: Sequence[Explanation], maps: Sequence[Array]) -> Array:
    """Join label maps of each part; equal ones become a single map."""
    if all(len(one) == 1 and np.array_equal(one, maps[0]) for one in maps):
        return maps[0]
    each = [np.broadcast_to(one, (part.samples, *one.shape[1:])) for one, part in zip(maps, parts, strict=True)]
    return np.concatenate(each)


def _join_names(parts: Sequence[Explanation]) -> Document:
    """The names of features: one list, or one a sample if these differ."""
    each = [part.provenance.get("feature_names", []) for part in parts]
    if all(names == each[0] for names in each) and not (each[0] and isinstance(each[0][0], list)):
        return {}
    by_sample = [
        names if names and isinstance(names[0], list) else [names] * part.samples
        for names, part in zip(each, parts, strict=True)
    ]
    return {"feature_names": [names for some in by_sample for names in some]}


def _join_displays(parts: Sequence[Explanation]) -> dict[str, Display]:
    """Join displays into one array an input; an input whose samples differ in shape is left out."""
    joined = {}
    for name, first in parts[0].display.items():
        found = [part.display[name] for part in parts if name in part.display]
        if len(found) == len(parts) and all(_alike(one, first) for one in found):
            whole = [len(one.array) == part.samples for one, part in zip(found, parts, strict=True)]
            # Only the first samples are stored, so that those after one that is not are left out.
            stored = found[: whole.index(False) + 1] if False in whole else found
            most = max(1, MOST_BYTES // max(1, first.array[:1].nbytes))
            array = np.concatenate([one.array for one in stored])[:most]
            texts = tuple(text for one in stored for text in one.texts)[:most]
            joined[name] = dataclasses.replace(first, array=array, texts=texts)
    return joined


def _alike(one: Display, other: Display) -> bool:
    """Whether displays can be joined; only the first samples of a joined record may be stored."""
    return one.array.shape[1:] == other.array.shape[1:] and one.size == other.size


def _join_diagnostics(parts: Sequence[Explanation]) -> Document:
    joined: Document = {}
    for key in parts[0].diagnostics:
        values = [part.diagnostics.get(key) for part in parts]
        if any(isinstance(value, list) for value in values):
            # What holds for all samples of a part stands once in it.
            each = [
                value if isinstance(value, list) else [value] * part.samples
                for value, part in zip(values, parts, strict=True)
                if value is not None
            ]
            values = [item for some in each for item in some]
        elif key != "seconds":
            values = [value for value, part in zip(values, parts, strict=True) for _ in range(part.samples)]
        joined[key] = values
    if "seconds" in joined:
        joined["seconds"] = round(sum(joined["seconds"]), 6)
    return joined
