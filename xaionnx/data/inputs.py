"""What users give to a model: the forms that are understood, how they are read, and the arrays that they become."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, final

import numpy as np
from PIL import Image

from xaionnx.data.array_rows import ArraySlice
from xaionnx.data.byte_files import ByteReading
from xaionnx.data.files import Refusal
from xaionnx.data.frames import Frame
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.series_files import SeriesLayout
from xaionnx.data.text import Text
from xaionnx.data.texts import TextReading
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document, Facts

T = TypeVar("T")

# One sample or several: a file or folder, a picture in memory, or a list of files, pictures and arrays.
One = str | os.PathLike[str] | Image.Image | Array | ArraySlice
Convertible = str | os.PathLike[str] | Image.Image | ArraySlice | Sequence[One]
# In a mapping, other inputs may be anything that numpy converts to an array.
Given = Array | Facts | Convertible | Frame | bytes | Sequence[bytes]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples as arrays, and their origin.

    Attributes
    ----------
    arrays : dict of arrays by input name
    names : tuple of str
        One per sample: the path with the number of its row, the index of a frame, or ``x[n]``; empty if arrays were
        given, which need no conversion.
    sha256s : tuple of str or None
        One per sample: the hash of its file; None in memory.
    displays : list of uint8 array (H, W, 3), or None
        The part of each picture that the model sees.
    notes : tuple of str
        Conversions that were made or skipped, and the spec if it was guessed.
    refused : tuple of Refusal
        Files and rows left out.
    conversion : str or None
        As in `InputBatch`.
    guessed : bool
        Whether they were converted with a spec guessed from the model's shapes; the first note says so.
    rate : float or None
        Steps per second of series, if files of sound state it.
    texts : tuple of Text
        One per sample, if they are text.
    columns : dict of tuple of str by input name
        The columns of a table that each input took, in its order.
    by_place : tuple of str
        Those that the explained input took in the order of the file, as neither the model nor a spec names them.
    left : dict of arrays (N,) by column name
        The columns of a table that no input takes.
    samples_first : frozenset of str
        Inputs that were read with the samples on their first axis, wherever the file has them.
    """

    arrays: dict[str, Array]
    names: tuple[str, ...] = ()
    sha256s: tuple[str | None, ...] = ()
    displays: list[Array] | None = None
    notes: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    conversion: str | None = None
    guessed: bool = False
    rate: float | None = None
    texts: tuple[Text, ...] = ()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_place: tuple[str, ...] = ()
    left: Facts = field(default_factory=dict)
    samples_first: frozenset[str] = frozenset()

    __repr__ = short_repr

    def some(self, kept: Sequence[int], shared: frozenset[str]) -> Inputs:
        """Return some of the samples, by their indices; inputs ``shared`` by all samples are kept."""

        def pick(values: Sequence[T]) -> tuple[T, ...]:
            return tuple(values[n] for n in kept) if values else ()

        return dataclasses.replace(
            self,
            arrays={name: array if name in shared else array[list(kept)] for name, array in self.arrays.items()},
            names=pick(self.names),
            sha256s=pick(self.sha256s),
            displays=None if self.displays is None else [self.displays[n] for n in kept],
            texts=pick(self.texts),
            left={name: np.asarray(cells)[list(kept)] for name, cells in self.left.items()},
        )

    def provenance(self) -> Document:
        """Return the samples' files and conversions for a record; empty if arrays were given."""
        if not self.names:
            return {}
        record: Document = {
            "inputs": list(self.names),
            "file_sha256": list(self.sha256s),
            "conversions": [*filter(None, [self.conversion]), *self.notes],
        }
        if self.rate is not None:
            record["rate"] = self.rate
        return record | {"guessed_spec": True} if self.guessed else record


def is_stream(x: object) -> bool:
    """Return whether ``x`` gives its items one after another, and has no length, as a generator.

    Examples
    --------
    >>> is_stream(number for number in range(3)), is_stream([0, 1, 2])
    (True, False)
    """
    return isinstance(x, Iterable) and not hasattr(x, "__len__") and not hasattr(x, "__array__")


def _not_known(_: str) -> None:
    return None


@final
@dataclass(frozen=True)
class Reading:
    """How files and pictures are read.

    Attributes
    ----------
    exif, display_side
        See `read_inputs`.
    nan : callable
        Returns what the model does with NaN in an input, as in `read_inputs`.
    batch_first : callable
        Moves the samples of an array of the explained input that is read from a file to the first axis.
    series : SeriesLayout or None
        How a sample of the explained input lies, if it is a series.
    text : TextReading, ByteReading or None
        How text or bytes become the inputs of the model; None for a model that reads neither.
    chosen : RowNumbers or None
        The rows of tables and arrays to read; all if None.
    """

    exif: bool = False
    display_side: int | None = None
    nan: Callable[[str], str | None] = _not_known
    batch_first: Callable[[Array], Array] = np.asarray
    series: SeriesLayout | None = None
    text: TextReading | ByteReading | None = None
    chosen: RowNumbers | None = None

    __repr__ = short_repr
