"""Read files of any kind for models of bytes: the numbers of bytes at the start and at the end of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from xaionnx.data.files import Refusal, read_bytes, sha256_of
from xaionnx.data.folders import expand
from xaionnx.data.spec import InputSpec
from xaionnx.data.text import FilePart, Text
from xaionnx.data.texts import TextBatch
from xaionnx.data.token_feeds import TokenInput
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.typing import Array

MAX_BYTES: Final = 2**30
"""Size of a file that is not refused."""

_WHITE_SPACE: Final = b" \t\n\r\x0b\x0c"


@final
@dataclass(frozen=True)
class ByteReading:
    """How the bytes of a file become the input of a model.

    Attributes
    ----------
    input : TokenInput
    head, tail : int or None
        How many bytes the model reads from the start and from the end of a file; all of it if both are None.
    padding : int or None
        The number that fills up what a shorter file leaves: behind its start, ahead of its end.
    shift : int
        The number of byte 0; that of byte 255 is 255 more.
    strip : int
        Only so many bytes at either end are looked at, without the white space at that end; 0 for all, as they are.
    """

    input: TokenInput
    head: int | None = None
    tail: int | None = None
    padding: int | None = None
    shift: int = 0
    strip: int = 0

    @classmethod
    def of(cls, spec: InputSpec, one: TokenInput, model: str) -> ByteReading:
        """Return how a spec reads files for an input.

        Raises
        ------
        ParameterError
            The numbers of bytes are not those of the input.
        """
        length = one.shape[1] if len(one.shape) > 1 else None
        head, tail = spec.head, spec.tail
        if isinstance(length, int):
            if head is None and tail is None:
                head = length
            if (head or 0) + (tail or 0) != length:
                raise ParameterError(
                    f"Input '{one.name}' of {model} takes {length} bytes, and the spec has head = {head or 0} and "
                    f"tail = {tail or 0}. Their sum must be {length}."
                )
        return cls(one, head, tail, spec.padding, spec.shift, spec.strip)

    def encode(self, data: bytes) -> Text:
        """Return the bytes of a file that the model reads.

        Raises
        ------
        DataError
            There is none, or there are too few and the spec has no padding.
        """
        places = np.concatenate(list(self._parts(data)))
        seen = np.unique(places[places >= 0])
        if not len(seen):
            raise DataError("The file holds nothing but white space. Give one with other bytes.")
        whole = np.frombuffer(data, np.uint8)
        missing = places < 0
        if missing.any() and self.padding is None:
            raise DataError(
                f"The file has {int((~missing).sum()):,} of the {len(places):,} bytes that the model reads. Write in "
                "the spec which number stands for none: [input] padding = 256, for example."
            )
        ids = whole[np.maximum(places, 0)].astype(np.int64) + self.shift
        ids[missing] = self.padding or 0
        starts = np.where(missing, 0, places)
        cuts = np.flatnonzero(np.diff(seen) > 1) + 1
        ranges = tuple((int(part[0]), int(part[-1]) + 1) for part in np.split(seen, cuts))
        return Text(
            whole[seen].tobytes().decode("latin-1"),
            ids,
            np.stack([starts, starts + ~missing], axis=1),
            missing,
            len(data) - len(seen),
            None,
            FilePart(ranges, len(data), self.padding),
        )

    def _parts(self, data: bytes) -> Iterator[Array]:
        """The place in the file of each number that is read, -1 for padding: of the start, then of the end."""
        size, block = len(data), self.strip or len(data)
        if self.head is not None or self.tail is None:
            first = data[:block]
            start = len(first) - len(first.lstrip(_WHITE_SPACE)) if self.strip else 0
            count = min(self.head or size, len(first) - start)
            yield _padded(np.arange(start, start + count), self.head or count, at_end=True)
        if self.tail is not None:
            last = data[max(0, size - block) :]
            stop = size - (len(last) - len(last.rstrip(_WHITE_SPACE)) if self.strip else 0)
            count = min(self.tail, stop - (size - len(last)))
            yield _padded(np.arange(stop - count, stop), self.tail, at_end=False)

    @property
    def words(self) -> str:
        """What is read, for reports."""
        ends = [
            "all bytes" if self.head is None and self.tail is None else "",
            "" if self.head is None else f"the first {self.head:,} bytes",
            "" if self.tail is None else f"the last {self.tail:,} bytes",
        ]
        stripped = " without the white space around them" if self.strip else ""
        return f"the model reads {' and '.join(filter(None, ends))} of a file{stripped}"


def _padded(places: Array, length: int, *, at_end: bool) -> Array:
    missing = length - len(places)
    return np.pad(places, (0, missing) if at_end else (missing, 0), constant_values=-1)


def read_files(given: Any, reading: ByteReading, model: str) -> TextBatch | None:  # Any: users may pass anything
    """Return files as texts of bytes with their array; None if ``given`` holds arrays for the model.

    A str or path is a file or folder, ``bytes`` are the bytes of one.

    Raises
    ------
    DataError
        Nothing can be read. A single refusal is raised unchanged.
    InputMismatchError
        The files have different lengths, and the spec has no padding.
    """
    several = given if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
    if not several or not all(isinstance(one, str | bytes | os.PathLike) for one in several):
        return None
    refused, found = list[Refusal](), list[tuple[str, str, Text]]()
    for number, one in enumerate(several):
        for source in [one] if isinstance(one, bytes) else expand([Path(one)]):
            name = f"x[{number}]" if isinstance(source, bytes) else str(source)
            try:
                data = source if isinstance(source, bytes) else read_bytes(source, "file", MAX_BYTES)
                found.append((name, sha256_of(data), _encoded(data, reading, name)))
            except DataError as error:
                refused.append(Refusal(Path(name), error))
    if not found:
        raise refused[0].error
    length = max(len(text.ids) for *_, text in found)
    if reading.padding is None and any(len(text.ids) < length for *_, text in found):
        raise InputMismatchError(
            f"The files have different lengths, and the spec has no padding for {model}. Write it there, [input] "
            "padding = 256 for example, or explain the files one by one."
        )
    texts = [text.padded(length) for *_, text in found]
    notes = [
        f"{Path(name).name}: the model sees {text.file.size - text.cut:,} of {text.file.size:,} bytes"
        for name, _, text in found
        if text.cut and text.file is not None
    ]
    return TextBatch(
        {reading.input.name: np.stack([text.ids for text in texts]).astype(reading.input.dtype)},
        tuple(texts),
        tuple(name for name, *_ in found),
        tuple(digest for _, digest, _ in found),
        tuple(notes),
        tuple(refused),
        reading.words,
    )


def _encoded(data: bytes, reading: ByteReading, name: str) -> Text:
    try:
        return reading.encode(data)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from error
