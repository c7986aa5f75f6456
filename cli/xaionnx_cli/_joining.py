"""Records of single samples put together into one of N samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xaionnx.data.display import MOST_BYTES, Display
from xaionnx.explanation import Arrays, Explanation
from xaionnx.typing import Array, Document


def joined(parts: Sequence[Explanation], names: Sequence[str]) -> Explanation:
    """One record of N samples from N records of one sample, by the same method of the same model.

    ``provenance`` is that of the first, with ``input_sha256`` and ``file_sha256`` lists, ``inputs`` the samples' names,
    and the ``conversions`` of all; the numbers in ``diagnostics`` are listed sample by sample, and ``seconds`` is their
    sum.
    """
    first = parts[0]
    axis = 1 if first.several_targets else 0
    by_player = first.feature_values is not None

    def along(arrays: Sequence[Array]) -> Array:
        return np.concatenate(arrays, axis=axis)

    def of(field: str, join: Callable[[Sequence[Array]], Array]) -> Any:
        """A field of all parts, joined by input name where it is held so; None where a part lacks it."""
        found = [getattr(part, field) for part in parts]
        if any(one is None for one in found):
            return None
        return _by_name(found, join)

    return dataclasses.replace(
        first,
        values=of("values", along),
        target=along([part.target for part in parts]),
        prediction=along([part.prediction for part in parts]),
        baseline_prediction=of("baseline_prediction", along),
        feature_values=of("feature_values", lambda arrays: along(_padded(arrays))),
        features=of("features", _places),
        standard_error=of("standard_error", lambda arrays: along(_padded(arrays) if by_player else arrays)),
        maps={key: along([part.maps[key] for part in parts]) for key in first.maps},
        diagnostics=_diagnostics([part.diagnostics for part in parts]),
        display=_displays([part.display for part in parts]),
        provenance={
            **first.provenance,
            "input_sha256": [digest for part in parts for digest in part.provenance.get("input_sha256", [None])],
            "inputs": list(names),
            "file_sha256": [digest for part in parts for digest in part.provenance.get("file_sha256", [None])],
            "conversions": list(
                dict.fromkeys(note for part in parts for note in part.provenance.get("conversions", ()))
            ),
        },
    )


def _by_name(found: Sequence[Arrays], join: Callable[[Sequence[Array]], Array]) -> Arrays:
    if isinstance(found[0], dict):
        return {name: join([one[name] for one in found if isinstance(one, dict)]) for name in found[0]}
    return join([one for one in found if not isinstance(one, dict)])


def _padded(arrays: Sequence[Array]) -> list[Array]:
    """Samples with fewer players get NaN."""
    most = max(array.shape[-1] for array in arrays)
    return [
        np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, most - array.shape[-1])], constant_values=np.nan)
        for array in arrays
    ]


def _places(maps: Sequence[Array]) -> Array:
    """Label maps: one for all where they are equal."""
    alike = all(np.array_equal(one, maps[0]) for one in maps[1:])
    return maps[0] if alike else np.concatenate(maps)


def _displays(each: Sequence[dict[str, Display]]) -> dict[str, Display]:
    """What the samples look like; of an input whose samples differ in shape nothing, since one array holds all."""
    joined = {}
    for name, first in each[0].items():
        found = [one[name] for one in each]
        if all(one.array.shape == first.array.shape and one.size == first.size for one in found):
            kept = found[: max(1, MOST_BYTES // max(1, first.array.nbytes))]
            joined[name] = dataclasses.replace(first, array=np.concatenate([one.array for one in kept]))
    return joined


def _diagnostics(each: Sequence[Document]) -> Document:
    joined: Document = {}
    for key, value in each[0].items():
        values = [one.get(key) for one in each]
        joined[key] = [item for one in values for item in one or ()] if isinstance(value, list) else values
    if "seconds" in joined:
        joined["seconds"] = round(sum(joined["seconds"]), 6)
    return joined
