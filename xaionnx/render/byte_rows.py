"""The bytes of a file in rows of sixteen, as in a hexadecimal dump, with the values of their runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

import numpy as np

from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale
from xaionnx.render.text_parts import Part, strengths
from xaionnx.typing import Array

WIDTH: Final = 16
"""Bytes of a row."""

_PRINTABLE: Final = range(32, 127)


@final
@dataclass(frozen=True)
class Byte:
    """A byte of a file and the run it belongs to: its name and value, and its strength in the colour scale."""

    value: int
    run: Part

    @property
    def hexadecimal(self) -> str:
        """Two digits."""
        return f"{self.value:02x}"

    @property
    def character(self) -> str:
        """The ASCII character, a middle dot for those that are not printed."""
        return chr(self.value) if self.value in _PRINTABLE else "·"


@final
@dataclass(frozen=True)
class ByteRow:
    """A row: the place of its first byte, a multiple of 16, and its bytes; None where the model sees none."""

    start: int
    bytes: tuple[Byte | None, ...]


@final
@dataclass(frozen=True)
class Gap:
    """Bytes between two rows that are not shown: the model does not see them, or they are weaker than those shown."""

    count: int
    seen: bool

    @property
    def words(self) -> str:
        """What is left out."""
        bytes_ = "1 byte" if self.count == 1 else f"{self.count:,} bytes"
        return f"{bytes_}, weaker than those shown" if self.seen else f"{bytes_} that the model does not see"


def runs(one: Explanation, scale: Scale, top: int | None = None) -> list[Part]:
    """Return the runs of bytes of one sample by number, with their names, values and strengths."""
    values = np.asarray(one.feature_values)[0]
    errors = None if one.standard_error is None else np.asarray(one.standard_error)[0]
    found = strengths(values, scale, top)
    names = one.feature_names
    return [
        Part(
            names[number],
            float(values[number]),
            None if errors is None or errors.shape != values.shape else float(errors[number]),
            float(found[number]),
        )
        for number in range(len(one.provenance["spans"][0]))
    ]


def byte_rows(one: Explanation, scale: Scale, top: int | None, most: int) -> list[ByteRow | Gap]:
    """Return at most ``most`` rows of one sample in the order of the file, and what is left out between them.

    If there are more, those with the strongest bytes are kept.
    """
    every = runs(one, scale, top)
    places, numbers = _seen(one)
    owner = dict[int, Part]()
    for number, spans in enumerate(one.provenance["spans"][0]):
        for start, stop in zip(spans[::2], spans[1::2], strict=True):
            owner.update(dict.fromkeys(range(start, stop), every[number]))
    nobody = Part("")
    bytes_ = {place: Byte(value, owner.get(place, nobody)) for place, value in zip(places, numbers, strict=True)}
    starts = sorted({place - place % WIDTH for place in places})
    rows = [ByteRow(start, tuple(bytes_.get(start + place) for place in range(WIDTH))) for start in starts]
    size = (one.provenance.get("file_sizes") or [places[-1] + 1])[0]
    return _with_gaps(_strongest(rows, most), np.array(places), size)


def _seen(one: Explanation) -> tuple[list[int], list[int]]:
    """The places of the bytes that the model sees, and the bytes."""
    text: str = next(iter(one.display.values())).texts[0]
    places = [place for start, stop in one.provenance["seen"][0] for place in range(start, stop)]
    return places, [ord(character) for character in text]


def _strongest(rows: list[ByteRow], most: int) -> list[ByteRow]:
    if len(rows) <= most:
        return rows
    sizes = [max(abs(byte.run.strength) for byte in row.bytes if byte is not None) for row in rows]
    kept = sorted(np.argsort(-np.array(sizes), kind="stable")[:most].tolist())
    return [rows[number] for number in kept]


def _with_gaps(rows: list[ByteRow], places: Array, size: int) -> list[ByteRow | Gap]:
    edges = [
        (0, rows[0].start),
        *((a.start + WIDTH, b.start) for a, b in pairwise(rows)),
        (rows[-1].start + WIDTH, size),
    ]
    found = list[ByteRow | Gap]()
    for number, (start, stop) in enumerate(edges):
        known = int(np.searchsorted(places, stop) - np.searchsorted(places, start)) if stop > start else 0
        found += [gap for gap in (Gap(known, True), Gap(stop - start - known, False)) if gap.count > 0]
        found += rows[number : number + 1]
    return found
