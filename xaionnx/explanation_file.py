"""The file of an explanation: an ``.npz`` with exact arrays, the rest as JSON, and nothing pickled."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.consistency import misfit
from xaionnx.data.arrays import NUMBERS, archived, array_header, read_arrays
from xaionnx.data.display import Display
from xaionnx.data.encoded_list import EncodedList
from xaionnx.data.files import is_file
from xaionnx.data.repeats import unrepeated
from xaionnx.data.storage import ByteStream, write_npz
from xaionnx.errors import DataError
from xaionnx.typing import Array, Document, Entry

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

# Version of the file format, raised when the meaning of a field changes, and the versions that can be read. From 2 on,
# arrays that repeat along an axis are written once, with their shape.
_FORMAT: Final = 2
_READABLE: Final = (1, 2)
_RECORD: Final = "record"
# Element types of its arrays: numbers and text.
_KINDS: Final = f"{NUMBERS}U"
# Elements of an array that repeats along an axis; far above what a file of 4 GiB can need.
_MOST_ELEMENTS: Final = 2**36
# The fields that are saved as JSON.
_WORDS: Final = ("diagnostics", "provenance")


def write(explanation: Explanation, path: str | os.PathLike[str]) -> Path:
    """Write an explanation; see :meth:`Explanation.save`."""
    fields = ((item.name, getattr(explanation, item.name)) for item in dataclasses.fields(explanation))
    return write_fields(fields, path)


def write_fields(fields: Iterable[tuple[str, Entry]], path: str | os.PathLike[str]) -> Path:
    """Write the fields of an explanation by name, of which one is in memory at a time.

    The lists in ``diagnostics`` and ``provenance`` may be encoded.
    """
    return write_npz(path, _entries(fields))


def _entries(fields: Iterable[tuple[str, Entry]]) -> Iterator[tuple[str, Array | ByteStream]]:
    """Yield the arrays of a file by name, and then the record that names them."""
    record: Document = {"format": _FORMAT}
    number = 0
    for name, value in fields:
        arrays = None if name in _WORDS else _arrays_of(value)
        if arrays is None:
            record[name] = value
            continue
        placed: dict[str, Document] = {}
        for key, array in arrays.items():
            if array.dtype.hasobject:
                raise TypeError("an explanation contains numbers and text only; objects would have to be pickled")
            placed[key] = {"array": f"a{number}", "shape": array.shape}
            yield f"a{number}", unrepeated(array)
            number += 1
        if name == "display":
            record[name] = {key: {**vars(one), "array": placed[key]} for key, one in value.items()}
        else:
            record[name] = placed[""] if isinstance(value, np.ndarray) else {"arrays": placed}
        # Before the next field is made.
        del value, arrays
    yield _RECORD, _as_bytes(record)


def _arrays_of(value: Entry) -> dict[str, Array] | None:
    """The arrays of a field by name; None if it has none."""
    if isinstance(value, np.ndarray):
        return {"": value}
    if not isinstance(value, dict):
        return None
    return {key: one.array if isinstance(one, Display) else one for key, one in value.items()}


def _as_bytes(record: Document) -> ByteStream:
    """The JSON of a record, with the texts of its encoded lists."""
    lists: list[EncodedList] = []
    mark = secrets.token_hex(16)

    def default(value: object) -> Entry:
        if isinstance(value, EncodedList):
            lists.append(value)
            return f"{mark}{len(lists) - 1}"
        return numpy_as_python(value)

    text = json.dumps(record, sort_keys=True, default=default)
    parts = re.split(f'"{mark}([0-9]+)"', text)
    length = sum(map(len, parts[::2])) + sum(one.length for one in lists)

    def pieces() -> Iterator[bytes]:
        for place, part in enumerate(parts):
            yield from (piece.encode("ascii") for piece in (lists[int(part)].texts() if place % 2 else [part]))

    return ByteStream(length, pieces())


def read(of: type[Explanation], path: str | os.PathLike[str]) -> Explanation:
    """Read an explanation; see :meth:`Explanation.load`."""
    wrong = f"{os.fspath(path)} is not an explanation saved by xaionnx"
    try:
        arrays = read_arrays(path, _KINDS)
    except DataError as error:
        if not is_file(path):
            raise
        raise DataError(f"{wrong}. Save one with -o NAME.npz.") from error
    try:
        record = json.loads(arrays[_RECORD].tobytes())
        if record.pop("format") not in _READABLE:
            raise DataError(f"{os.fspath(path)} was written by another version of xaionnx. Make it again.")
        displays = record.pop("display", {})
        for name in record.keys() - set(_WORDS):
            value = record[name]
            if isinstance(value, dict) and "array" in value:
                record[name] = _array(value, arrays)
            elif isinstance(value, dict) and "arrays" in value:
                record[name] = {key: _array(entry, arrays) for key, entry in value["arrays"].items()}
        loaded = of(**record, display={key: _display(one, arrays) for key, one in displays.items()})
        problem = misfit(loaded)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise DataError(f"{wrong}. Save one with -o NAME.npz.") from error
    if problem:
        raise DataError(f"{wrong}: {problem}. Make it again, and save it with -o NAME.npz.")
    return loaded


def read_words(path: str | os.PathLike[str]) -> Document:
    """Return what a file says in words, without reading its arrays.

    Raises
    ------
    DataError
        It is no explanation saved by this version, or cut off.
    """
    try:
        with archived(Path(path)) as archive:
            record: Document = json.loads(_words_of(archive.read(f"{_RECORD}.npy")))
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{os.fspath(path)} is not an explanation saved by xaionnx.") from error
    if record.get("format") not in _READABLE:
        raise DataError(f"{os.fspath(path)} was written by another version of xaionnx. Make it again.")
    return record


def _words_of(member: bytes) -> bytes:
    *_, offset = array_header("the record", member)
    return member[offset:]


def _array(entry: Document, archive: Mapping[str, Array]) -> Array:
    """An array of a file, broadcast to its shape; files of version 1 do not tell the shape."""
    array = archive[entry["array"]]
    shape = tuple(entry.get("shape", array.shape))
    if math.prod(shape) > _MOST_ELEMENTS:
        raise ValueError("too large")
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _display(record: Document, archive: Mapping[str, Array]) -> Display:
    size = None if record["size"] is None else (record["size"][0], record["size"][1])
    array = _array(record["array"], archive)
    # Earlier files have no units, words and times; the columns of words are numbers, which JSON writes as text.
    words = {int(column): tuple(given) for column, given in record.get("words", {}).items()}
    return Display(
        record["kind"],
        array,
        tuple(record["names"]),
        record["channel"],
        size,
        tuple(record.get("units", ())),
        words,
        texts=tuple(record.get("texts", ())),
        **{key: record[key] for key in ("step", "unit", "start") if key in record},
    )


def as_json(value: Entry) -> Entry:
    """Return a value for JSON: arrays as lists, numpy scalars as Python numbers, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
        finite = value.astype(object)
        finite[~np.isfinite(value)] = None
        return finite.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numpy_as_python(value: object) -> Entry:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"a record cannot contain a {type(value).__name__}")
