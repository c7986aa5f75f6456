"""The units of a data set: files, rows of a table, samples of an array, items of a sequence or of any iterable."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, final

import numpy as np

from xaionnx.data.array_rows import ArrayRows
from xaionnx.data.csv_rows import CsvRows
from xaionnx.data.folders import check_order, size_of
from xaionnx.data.frames import frame_cells, is_frame
from xaionnx.data.inputs import Inputs
from xaionnx.data.tables import Cells
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import DataError, ParameterError
from xaionnx.hooks import hook
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Items of a sequence that its key hashes: the first ones, since making them may take long.
_HASHED: Final = 8
# Files that a key hashes at once.
_KEYED: Final = 1000
_PAIR: Final = 2

Label = str | int | float
"""What a data set says of a sample beside it, such as its class."""


class Units(ABC):
    """Things that follow each other, each with one sample or, as a file may have, several."""

    alone: ClassVar[bool] = False
    """Whether each is read by itself, since they may differ in shape."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """How many there are; None for an iterable, whose end is not known."""

    @property
    @abstractmethod
    def key(self) -> str:
        """A hash of what is listed: names and sizes of files, the content of a table or an array."""

    @abstractmethod
    def given(self, start: int, stop: int, shared: frozenset[str]) -> Any:  # Any: whatever a model reads
        """The units from ``start`` to ``stop`` as a model reads them, whose inputs ``shared`` have no samples.

        Raises
        ------
        StopIteration
            An iterable has ended.
        """

    @hook
    def labels(self, start: int, stop: int) -> list[Label | None]:
        """What is said of the units beside them."""
        return [None] * (stop - start)

    @hook
    def check_order(self, what: str, instead: str) -> None:
        """Check that the units have one order, as what is given for each without a name is read in it.

        Raises
        ------
        ParameterError
            They are files of a folder that have several.
        """
        del what, instead

    @hook
    def names(self, start: int, stop: int) -> tuple[str, ...]:
        """Names of the units, for samples that are given without any."""
        return tuple(f"x[{unit}]" for unit in range(start, stop))


@final
@dataclass(frozen=True)
class FileUnits(Units):
    """Files; ``root`` is the folder to which the listing is relative.

    They are ``listed`` if a folder was given in place of their names.
    """

    files: tuple[str, ...]
    root: str = ""
    listed: bool = False

    alone: ClassVar[bool] = True
    __repr__ = short_repr

    @property
    def count(self) -> int:
        return len(self.files)

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(b"files\n")
        for start in range(0, self.count, _KEYED):
            # A folder that was moved is still the same.
            some = self.files[start : start + _KEYED]
            lines = [f"{file.removeprefix(self.root)}\0{size_of(file)}\n" for file in some]
            digest.update("".join(lines).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def check_order(self, what: str, instead: str) -> None:
        if self.listed:
            check_order(self.files, what, instead)

    def without(self, path: Path) -> FileUnits:
        """Return the files but one, which says something of them, if it lies beside them."""
        places = [
            at
            for at, file in enumerate(self.files)
            if file.endswith(path.name) and Path(file).resolve() == path.resolve()
        ]
        if not places:
            return self
        return replace(self, files=tuple(file for at, file in enumerate(self.files) if at not in places))

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Path:
        assert stop == start + 1  # each is read by itself
        return Path(self.files[start])

    def names(self, start: int, stop: int) -> tuple[str, ...]:
        return self.files[start:stop]


@final
@dataclass(frozen=True, eq=False)
class CsvUnits(Units):
    """The rows of a CSV file."""

    rows: CsvRows
    without: str | None = None

    @property
    def count(self) -> int:
        return self.rows.count

    @property
    def key(self) -> str:
        return self.rows.sha256

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Cells:
        return without_column(self.rows.cells(start, stop), self.without)

    def names(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(f"{self.rows.path}[{row}]" for row in range(start, stop))


@final
@dataclass(frozen=True, eq=False)
class CellUnits(Units):
    """The rows of a frame, or of a Parquet file where nothing is installed that reads it in parts."""

    cells: Cells
    without: str | None = None

    @property
    def count(self) -> int:
        return len(self.cells.numbers)

    @cached_property
    def key(self) -> str:
        if self.cells.sha256 is not None:
            return self.cells.sha256
        digest = hashlib.sha256(b"cells\n")
        for name, column in self.cells.columns.items():
            digest.update(f"{name} {column.kind}\n".encode())
            digest.update(_bytes(column.values))
            digest.update(column.missing.tobytes())
        return digest.hexdigest()

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Cells:
        return without_column(self.cells.at(range(start, stop)), self.without)

    def names(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(self.cells.names[start:stop])


@final
@dataclass(frozen=True, eq=False)
class ParquetUnits(Units):
    """The rows of a Parquet file, of which only some row groups are in memory at a time."""

    path: Path
    starts: tuple[int, ...]
    sha256: str
    without: str | None = None

    @property
    def count(self) -> int:
        return self.starts[-1]

    @property
    def key(self) -> str:
        return self.sha256

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Cells:
        import pyarrow.parquet as pq

        groups = [n for n, first in enumerate(self.starts[:-1]) if first < stop and self.starts[n + 1] > start]
        try:
            with pq.ParquetFile(self.path) as file:
                table = file.read_row_groups(groups)
        except (OSError, ValueError) as error:
            raise DataError(f"'{self.path}' was changed or is damaged ({error}). Save it again.") from error
        first = self.starts[groups[0]]
        cells = frame_cells(table.slice(start - first, stop - start), f"'{self.path}'")
        named = cells.of_file(self.path, self.sha256)
        numbers = tuple(range(start, stop))
        names = self.names(start, stop)
        return without_column(
            Cells(self.path, named.shown, named.columns, numbers, names, sha256=self.sha256), self.without
        )

    def names(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(f"{self.path}[{row}]" for row in range(start, stop))


@final
@dataclass(frozen=True, eq=False)
class ArrayFileUnits(Units):
    """The samples of an array in a file."""

    rows: ArrayRows

    __repr__ = short_repr

    @property
    def count(self) -> int:
        return self.rows.shape[0]

    @property
    def key(self) -> str:
        return self.rows.sha256

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Any:  # Any: as the class says
        return self.rows.read(start, stop)

    def names(self, start: int, stop: int) -> tuple[str, ...]:
        return tuple(f"{self.rows.path}[{row}]" for row in range(start, stop))


@final
@dataclass(frozen=True, eq=False)
class ArrayUnits(Units):
    """The samples of an array, whose name is empty, or of arrays by input name."""

    arrays: Mapping[str, Array]

    __repr__ = short_repr

    @property
    def count(self) -> int:
        return max(len(array) for array in self.arrays.values() if array.ndim)

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(b"arrays\n")
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(_bytes(array))
        return digest.hexdigest()

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Any:  # Any: as the class says
        if "" in self.arrays:
            return self.arrays[""][start:stop]
        return {
            name: array if name in shared or not array.ndim else array[start:stop]
            for name, array in self.arrays.items()
        }


@final
@dataclass(frozen=True, eq=False)
class InputUnits(Units):
    """Samples that were read by a model before."""

    inputs: Inputs

    __repr__ = short_repr

    @property
    def count(self) -> int:
        return len(self.inputs.names) or self._arrays.count

    @property
    def key(self) -> str:
        return self._arrays.key

    @property
    def _arrays(self) -> ArrayUnits:
        return ArrayUnits(self.inputs.arrays)

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Inputs:
        return self.inputs.some(range(start, stop), shared)


@final
@dataclass(frozen=True, eq=False)
class SequenceUnits(Units):
    """The items of a sequence, each what a model reads: an array of one sample, a picture, a path, a text.

    A pair is a sample and its label, unless both are texts.
    """

    items: Sequence[Any]  # Any: as the class says

    __repr__ = short_repr

    alone: ClassVar[bool] = True

    @property
    def count(self) -> int:
        return len(self.items)

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(f"sequence {len(self.items)}\n".encode())
        for number in range(min(_HASHED, len(self.items))):
            digest.update(item_bytes(self.items[number]))
        return digest.hexdigest()

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Any:  # Any: as the class says
        assert stop == start + 1  # each is read by itself
        return as_sample(sample_of(self.items[start])[0])

    def labels(self, start: int, stop: int) -> list[Label | None]:
        return [sample_of(self.items[unit])[1] for unit in range(start, stop)]


@final
@dataclass(eq=False)
class IterableUnits(Units):
    """The items of an iterable, in order only: what was passed is gone, unless it can be begun anew."""

    items: Iterable[Any]  # Any: as the class says
    _source: Iterator[Any] | None = field(default=None, repr=False)  # Any: as the class says
    _next: int = 0
    _labels: dict[int, Label | None] = field(default_factory=dict, repr=False)

    alone: ClassVar[bool] = True

    @property
    def count(self) -> None:
        return None

    @property
    def key(self) -> str:
        return "iterable"

    def given(self, start: int, stop: int, shared: frozenset[str]) -> Any:  # Any: as the class says
        assert stop == start + 1  # each is read by itself
        if self._source is None or start < self._next:
            if self._source is not None and iter(self.items) is self.items:
                raise ParameterError(
                    "An iterator gives its items once, and this one is past some of them. Pass a new one, or a list."
                )
            self._source, self._next = iter(self.items), 0
        while True:
            item = next(self._source)  # StopIteration is the end of the data set
            self._next += 1
            if self._next > start:
                sample, self._labels[start] = sample_of(item)
                return as_sample(sample)

    def labels(self, start: int, stop: int) -> list[Label | None]:
        return [self._labels.pop(unit, None) for unit in range(start, stop)]


def sample_of(item: Any) -> tuple[Any, Label | None]:  # Any: users may pass anything
    """Return an item's sample and its label, None if it is a sample alone.

    Examples
    --------
    >>> sample_of(("cat.png", 3)), sample_of(("A question?", "Its context."))
    (('cat.png', 3), (('A question?', 'Its context.'), None))
    """
    if isinstance(item, tuple) and len(item) == _PAIR and not all(isinstance(part, str) for part in item):
        return item[0], label_of(item[1])
    return item, None


def label_of(given: Any) -> Label | None:  # Any: users may pass anything
    """Return a label as a value of Python; None if there is none, as NaN or an empty text says.

    Raises
    ------
    ParameterError
        It is more than one value.

    Examples
    --------
    >>> label_of(np.int64(3)), label_of(np.array([3])), label_of(float("nan")), label_of("")
    (3, 3, None, None)
    """
    if np.size(given) != 1:
        raise ParameterError(
            f"A label is one value, such as the number of a class. Got {np.size(given)} values instead; of one-hot "
            "labels, labels.argmax(axis=-1) takes the class."
        )
    label: Label | None = given.item() if hasattr(given, "item") else given
    return None if label != label or label == "" else label


def as_sample(item: Any) -> Any:  # Any: users may pass anything
    """Return an item as a batch of one sample: arrays get an axis of samples, anything else is one, such as a row."""
    if is_frame(item):
        return item
    if isinstance(item, Mapping):
        return {name: whole_array(value)[None] for name, value in item.items()}
    if isinstance(item, np.ndarray) or hasattr(item, "__array__"):
        array = whole_array(item)
        return array if array.dtype.kind in "UO" else array[None]
    return item


def item_bytes(item: Any) -> bytes:  # Any: users may pass anything
    """Return bytes that tell an item from others."""
    if isinstance(item, Mapping):
        return b"".join(f"{name}\n".encode() + item_bytes(value) for name, value in sorted(item.items()))
    if isinstance(item, np.ndarray) or hasattr(item, "__array__"):
        array = np.asarray(item)
        return f"{array.dtype} {array.shape}\n".encode() + _bytes(array)
    if hasattr(item, "tobytes"):
        return bytes(item.tobytes())
    return f"{item}\n".encode("utf-8", "surrogateescape")


def without_column(cells: Cells, name: str | None) -> Cells:
    """Return the cells without the column of labels, unless there is none."""
    if name is None:
        return cells
    return replace(cells, columns={title: column for title, column in cells.columns.items() if title != name})


def _bytes(array: Array) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
