"""The entries of the JSON document, encoded while the next samples are explained.

An entry of a row of a table is a few numbers in kilobytes that are the same for all rows. What is the same is encoded
and kept once for a batch, and the rest is compressed, so that the document of any number of rows is printed at once.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias, final

from xaionnx.caveats import warnings_of_each
from xaionnx.consistency import is_by_sample
from xaionnx.explanation import Arrays, Explanation
from xaionnx.explanation_file import as_json
from xaionnx.typing import Document, Entry
from xaionnx_cli import _report
from xaionnx_cli._explained import Explained
from xaionnx_cli._samples import provenance

_LEVEL: Final = 1
# The fields of an explanation with one number or name for each target.
_BY_TARGET: Final = ("target", "prediction", "baseline_prediction")
_encode: Final = json.JSONEncoder(allow_nan=False).encode


class Mark(Enum):
    """What is filled in when an entry is printed.

    The files of the sample; the values, which the file of all inputs may have instead, and the further arrays.
    """

    FILES = auto()
    VALUES = auto()
    ARRAYS = auto()


Part: TypeAlias = str | list[str] | bytes | Mark


@final
@dataclass(frozen=True, eq=False)
class EntryTexts:
    """A JSON text for each of N samples.

    Attributes
    ----------
    count : int
        N.
    parts : tuple
        What follows each other in the text: what is equal for all, a list of one for each, the same compressed, or a
        mark.
    """

    count: int
    parts: tuple[Part, ...]

    @classmethod
    def members(cls, count: int, members: Mapping[str, EntryTexts | str | Mark]) -> EntryTexts:
        """Return ``"name": value, `` of each member after the other; a text is that of all."""
        parts: list[Part] = []
        for name, value in members.items():
            parts += [f"{_encode(name)}: ", *(value.parts if isinstance(value, EntryTexts) else (value,)), ", "]
        return cls(count, tuple(parts))

    @classmethod
    def document(cls, count: int, *members: EntryTexts | Mark) -> EntryTexts:
        """Return an object of members, of which the last is known; a mark stands for further ones."""
        parts: list[Part] = ["{"]
        for one in members:
            parts += [one] if isinstance(one, Mark) else one.parts
        last = parts.pop()
        assert isinstance(last, str)  # what follows the last member
        return cls(count, (*parts, "{}" if not parts else last.removesuffix(", ") + "}"))

    @property
    def marks(self) -> set[Mark]:
        """What is to be filled in."""
        return {part for part in self.parts if isinstance(part, Mark)}

    def compressed(self) -> EntryTexts:
        """Return the same in less memory."""
        parts: list[Part] = []
        for part in self.parts:
            one = [part] if self.count == 1 and isinstance(part, str) else part
            if isinstance(one, list) and self.count == 1 and parts and isinstance(parts[-1], list):
                parts[-1] = [parts[-1][0] + one[0]]
            elif isinstance(one, str) and parts and isinstance(parts[-1], str):
                parts[-1] += one
            else:
                parts.append(one)
        return EntryTexts(self.count, tuple(_compressed(part) if isinstance(part, list) else part for part in parts))

    def texts(self, marks: Mapping[Mark, EntryTexts]) -> Iterator[str]:
        """Yield the text of each sample, with what the marks stand for; nothing for those that are not given."""
        columns: list[str | list[str]] = []
        for part in self.parts:
            filled = marks[part].parts if isinstance(part, Mark) and part in marks else (part,)
            known = (one for one in filled if not isinstance(one, Mark))
            columns.extend(_decompressed(one) if isinstance(one, bytes) else one for one in known)
        for n in range(self.count):
            yield "".join([column if isinstance(column, str) else column[n] for column in columns])


def _compressed(texts: list[str]) -> bytes:
    return zlib.compress("\n".join(texts).encode("ascii"), _LEVEL)


def _decompressed(data: bytes) -> list[str]:
    return zlib.decompress(data).decode("ascii").split("\n")


def entry_texts(explained: Explained, files: Sequence[str] | None, *, arrays: bool) -> EntryTexts:
    """Return the entries of samples in the JSON document, without the arrays if ``arrays`` is False.

    Marks stand for what is not known yet.
    """
    samples, count = explained.samples, len(explained.samples)
    names = {
        "input": _each([sample.name for sample in samples]),
        "input_sha256": _each([sample.sha256 for sample in samples]),
        "top": _each([[vars(score) for score in top] for top in explained.tops]),
        "files": Mark.FILES if files is None else _dump(list(files)),
        "explanation": _explanation(explained, arrays=arrays),
    }
    return EntryTexts.document(count, EntryTexts.members(count, names)).compressed()


def array_texts(record: Explanation) -> dict[Mark, EntryTexts]:
    """Return what :attr:`Mark.VALUES` and :attr:`Mark.ARRAYS` stand for."""
    record = record.samples_first()
    count, several = record.samples, record.several_targets
    further = {
        "feature_values": _of_arrays(record.feature_values, count, several),
        "features": _of_labels(record.features, count),
        "standard_error": _of_arrays(record.standard_error, count, several),
        "maps": _of_arrays(record.maps, count, several),
    }
    values = _of_arrays(record.values, count, several)
    return {
        Mark.VALUES: EntryTexts.members(count, {"values": values}),
        Mark.ARRAYS: EntryTexts.members(count, further),
    }


def _explanation(explained: Explained, *, arrays: bool) -> EntryTexts:
    """The records of the samples, each alone, as `Explanation.to_dict` and `Explained.single` have them."""
    record = explained.record.samples_first()
    count, several = record.samples, record.several_targets
    filled: Mapping[Mark, EntryTexts] = array_texts(record) if arrays else {}
    scalars = {name: _of_arrays(getattr(record, name), count, several) for name in _BY_TARGET}
    diagnostics: dict[str, EntryTexts | str | Mark] = {
        name: _each([[one] for one in as_json(value)]) if _is_list(value, count) else _dump(value)
        for name, value in record.diagnostics.items()
    }
    diagnostics["seconds"] = _dump(explained.seconds)
    rest = {
        "diagnostics": EntryTexts.document(count, EntryTexts.members(count, diagnostics)),
        "provenance": _provenance(explained, record),
        "warnings": _each(warnings_of_each(record)),
    }
    return EntryTexts.document(
        count,
        EntryTexts.members(count, {"method": _dump(record.method)}),
        filled.get(Mark.VALUES, Mark.VALUES),
        EntryTexts.members(count, scalars),
        filled.get(Mark.ARRAYS, Mark.ARRAYS),
        EntryTexts.members(count, rest),
    )


def _provenance(explained: Explained, record: Explanation) -> EntryTexts:
    """Where the values are from; what is the same for all samples of a file stands once."""
    samples, count = explained.samples, len(explained.samples)
    if any(sample.origin is not samples[0].origin for sample in samples):
        return _each([explained.single(n).record.provenance for n in range(count)])
    whole = record.provenance | provenance(samples)
    own: Document = record.provenance | provenance(samples[:1])
    members = {
        name: _each([[one] for one in whole[name]]) if is_by_sample(name, whole[name], count) else _dump(value)
        for name, value in own.items()
    }
    return EntryTexts.document(count, EntryTexts.members(count, members))


def _is_list(value: Entry, count: int) -> bool:
    return isinstance(value, list) and len(value) == count


def _of_labels(labels: Arrays | None, count: int) -> EntryTexts | str:
    """The texts of label maps, each of one sample or of all."""
    if isinstance(labels, dict):
        each = {name: _of_labels(one, count) for name, one in labels.items()}
        return EntryTexts.document(count, EntryTexts.members(count, each))
    return _dump(labels) if labels is None or len(labels) == 1 else _of_arrays(labels, count, several=False)


def _of_arrays(arrays: Arrays | None, count: int, several: bool) -> EntryTexts | str:
    """The texts of arrays (N, ...) or (T, N, ...), for each sample with an axis of length 1 in place of N."""
    if arrays is None:
        return "null"
    if isinstance(arrays, dict):
        each = {name: _of_arrays(one, count, several) for name, one in arrays.items()}
        return EntryTexts.document(count, EntryTexts.members(count, each))
    if not several:
        return _each([[row] for row in as_json(arrays)])
    return _each([[[row] for row in rows] for rows in as_json(arrays.swapaxes(0, 1))])


def _each(values: Sequence[Entry]) -> EntryTexts:
    """The text of a value for each sample."""
    texts = list(map(_dump, values))
    same = all(text == texts[0] for text in texts)
    return EntryTexts(len(texts), (texts[0] if same else texts,))


def _dump(value: Entry) -> str:
    try:
        return _encode(value)
    except (ValueError, TypeError):
        # Infinite numbers, and those of numpy.
        return _report.dump_json(value)
