"""Join records of some samples each into one record of N samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from xaionnx.consistency import BY_SAMPLE, is_by_sample
from xaionnx.data.display import MOST_BYTES, Display
from xaionnx.data.encoded_list import EncodedList
from xaionnx.data.repeats import concatenate
from xaionnx.explanation import Arrays, Explanation
from xaionnx.explanation_file import numpy_as_python
from xaionnx.typing import Array, Document, Entry


def join_records(parts: Sequence[Explanation], names: Sequence[str] | None = None) -> Explanation:
    """Join records of N samples in all, made by the same method for the same model, into one record.

    ``provenance`` is taken from the first record, but lists what it has by sample, such as ``input_sha256`` and the
    names of the samples (``inputs``), and has the ``conversions`` of all. Values in ``diagnostics`` are listed by
    sample, except for ``seconds``, which are added up.
    """
    return Explanation(**dict(Joined(parts, names).fields()))


def encode_lists(record: Explanation) -> Explanation:
    """Return a record whose lists by sample are encoded, to be joined and written later."""
    own = {name: value for name, value in record.provenance.items() if is_by_sample(name, value, record.samples)}
    lists = {name: value for name, value in record.diagnostics.items() if isinstance(value, list)}

    def encoded(values: Document) -> Document:
        return {name: EncodedList.of(value, numpy_as_python) for name, value in values.items()}

    return dataclasses.replace(
        record, diagnostics=record.diagnostics | encoded(lists), provenance=record.provenance | encoded(own)
    )


def decode_lists(record: Explanation) -> Explanation:
    """Return a record with the lists that :func:`encode_lists` encoded."""

    def decoded(values: Document) -> Document:
        return {name: value.items() if isinstance(value, EncodedList) else value for name, value in values.items()}

    return dataclasses.replace(record, diagnostics=decoded(record.diagnostics), provenance=decoded(record.provenance))


class Joined:
    """Records as one, each field of which is joined when it is asked for.

    Parameters
    ----------
    parts : sequence of Explanation
        Made by the same method for the same model; their lists by sample may be encoded.
    names : sequence of str, optional
        The names of all samples; those in ``provenance["inputs"]`` if not given.
    """

    def __init__(self, parts: Sequence[Explanation], names: Sequence[str] | None = None) -> None:
        self._parts = parts = _of_one_length(parts)
        self._names = names
        self._axis = 1 if parts[0].several_targets else 0

    def fields(self) -> Iterator[tuple[str, Entry]]:
        """Yield the fields of the record by name, of which one is in memory at a time."""
        for item in dataclasses.fields(Explanation):
            yield item.name, self.field(item.name)

    def field(self, name: str) -> Entry:
        """Return one field."""
        parts = self._parts
        values = [getattr(part, name) for part in parts]
        if name == "method":
            return values[0]
        if name == "diagnostics":
            return _join_diagnostics(parts)
        if name == "provenance":
            return self._provenance()
        if name == "display":
            return _join_displays(parts)
        if any(value is None for value in values):
            return None
        if name == "features":
            return _join_by_name(values, partial(_join_label_maps, parts))
        if name == "feature_values" or (name == "standard_error" and parts[0].feature_values is not None):
            return self._along(_pad_players(values))
        return _join_by_name(values, self._along)

    def _along(self, arrays: Sequence[Array]) -> Array:
        return concatenate(arrays, self._axis)

    def _provenance(self) -> Document:
        parts, first = self._parts, self._parts[0]
        by_sample: Document = {
            key: _chain([part.provenance.get(key, [None] * part.samples) for part in parts])
            for key in BY_SAMPLE
            if key in first.provenance
        }
        if self._names is not None:
            by_sample["inputs"] = list(self._names)
        conversions = dict.fromkeys(note for part in parts for note in part.provenance.get("conversions", ()))
        return {**first.provenance, **by_sample, **_join_names(parts), "conversions": list(conversions)}


def _chain(lists: Sequence[list[Entry] | EncodedList]) -> list[Entry] | EncodedList:
    """All items of lists in a row, encoded if one of them is."""
    plain = [one for one in lists if isinstance(one, list)]
    if len(plain) == len(lists):
        return [item for one in plain for item in one]
    encoded = [one if isinstance(one, EncodedList) else EncodedList.of(one, numpy_as_python) for one in lists]
    return EncodedList.joined(encoded)


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
    by_sample = [isinstance(names, EncodedList) or bool(names and isinstance(names[0], list)) for names in each]
    if not any(by_sample) and all(names == each[0] for names in each):
        return {}
    lists = [
        names if several else [names] * part.samples
        for names, several, part in zip(each, by_sample, parts, strict=True)
    ]
    return {"feature_names": _chain(lists)}


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
        if key == "seconds" and not any(isinstance(value, list | EncodedList) for value in values):
            joined[key] = round(sum(value or 0.0 for value in values), 6)
            continue
        # What holds for all samples of a part stands once in it.
        joined[key] = _chain(
            [
                value if isinstance(value, list | EncodedList) else [value] * part.samples
                for value, part in zip(values, parts, strict=True)
            ]
        )
    return joined
