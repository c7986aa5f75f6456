"""Dataset: inputs that are read in parts, ahead of need and never as a whole, with labels and masks beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.block import Block, Reader, Refused, merged, samples_in
from xaionnx.data.column_order import ColumnOrder
from xaionnx.data.files import Refusal
from xaionnx.data.folders import is_folder
from xaionnx.data.frames import is_reordered, is_series
from xaionnx.data.inputs import Inputs
from xaionnx.data.listing import EMPTY, TABLES, Labels, check_labels, labels_from_file, units_of
from xaionnx.data.masks import mask_of
from xaionnx.data.texts import TextOptions
from xaionnx.data.units import ArrayUnits, FileUnits, IterableUnits, Label, SequenceUnits, Units
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import DataError, ParameterError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

T = TypeVar("T")

MASKS_INSTEAD: Final = "Give a folder with a picture of each, or the list of the files."
"""What to do in place of masks without names."""

# Blocks that are read but not yet used.
_AHEAD: Final = 2


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs of any kind, of which only the part in use is in memory.

    It consists of units: files, rows of a table, samples of an array, items of an iterable. Reading needs the model,
    which converts them as :func:`xaionnx.explain` does. What cannot be read is left out and listed.

    Attributes
    ----------
    units : Units
        What is read, one after another.
    labels_given : sequence or None
        One for each unit.
    masks_given : path, array or None
        Ground truth: True where the evidence is.
    exif : bool
        Whether pictures are turned as their EXIF orientation says.
    text : TextOptions or None
        How texts are read.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> digits = xaionnx.Dataset.of(np.zeros((100, 1, 28, 28), np.float32), labels=[n % 10 for n in range(100)])
    >>> model = xaionnx.Model.load("models/mnist_cnn.onnx")
    >>> [(len(block.units), block.labels[0]) for block in digits.batches(model, 64)]
    [(64, 0), (36, 4)]
    """

    units: Units
    labels_given: Labels | None = None
    masks_given: Path | Array | None = None
    exif: bool = False
    text: TextOptions | None = None
    _order: ColumnOrder = field(default_factory=ColumnOrder, init=False, repr=False)

    __repr__ = short_repr

    @classmethod
    def of(
        cls,
        x: Any,  # Any: users may pass anything
        *,
        labels: str | os.PathLike[str] | Sequence[Label | None] | Array | None = None,
        masks: str | os.PathLike[str] | Array | None = None,
        array: str | None = None,
        exif: bool = False,
        text: TextOptions | None = None,
    ) -> Dataset:
        """Return the data set of anything that has samples.

        Parameters
        ----------
        x : path, frame, array, mapping of arrays by input name, sequence or iterable
            A folder stands for its files and those of its subfolders, sorted by name; hidden ones are left out. A CSV
            or Parquet file, a frame and an array (N, ...) are read in blocks of rows. Items of a sequence or iterable
            are single samples, arrays without the batch axis, pictures, paths or texts, or pairs of these with a label.
            What :meth:`Model.read` returns has been read.
        labels : str, path, sequence or array, optional
            One for each unit; the column of a table or the array of an .npz file that holds them, which the model then
            does not see; or, for files, a CSV file with a column of their names and one called ``label``, or no
            other. The subfolders of a folder are its labels if this is None.
        masks : path or array of bool (N, ...), optional
            Ground truth: for files a folder with a picture of the same name for each, which is black, and of any one
            other colour where the evidence is.
        array : str, optional
            The array of an .npz file that holds the samples, if it has others.
        exif : bool
            Apply the EXIF orientation of pictures.
        text : TextOptions, optional
            How texts are read.

        Raises
        ------
        DataError
            There is nothing to read.
        ParameterError, UnknownNameError
            Labels or masks do not fit.
        """
        if isinstance(x, Dataset):
            return x
        beside = _is_label_file(labels)
        named = os.fspath(labels) if isinstance(labels, str | os.PathLike) and not beside else None
        units, own = units_of(x, named, array)
        if named is not None and (own is None or units.alone):
            wrong = f"'{named}' is no CSV file" if Path(named).is_file() else f"There is no file '{named}'"
            raise ParameterError(
                f"{wrong}, and these samples have neither columns nor named arrays. Labels are in a CSV file beside "
                "files, a column of a table, or an array of an .npz file."
            )
        if beside:
            if not isinstance(units, FileUnits):
                raise ParameterError("A CSV file of labels belongs to a folder of files. Name the column instead.")
            path = Path(os.fspath(labels))  # type: ignore[arg-type]  # as beside says
            units = units.without(path)
            own = labels_from_file(path, units.files)
        elif labels is not None and named is None:
            own = check_labels(labels, units.count)
            if is_series(labels) and is_reordered(labels, x):
                raise ParameterError(
                    "The labels have the index of the frame in another order, so that they may belong to other rows. "
                    "Give labels[frame.index] or, if they are in the order of the rows, labels.to_numpy()."
                )
            units.check_order("Labels", "Give a CSV file of the columns file and label, or the list of the files.")
        places = Path(masks) if isinstance(masks, str | os.PathLike) else masks if masks is None else whole_array(masks)
        if isinstance(places, np.ndarray) and units.count is not None and len(places) != units.count:
            raise ParameterError(
                f"The data set has {counted(units.count, 'unit')}, and "
                f"{counted(len(places), 'mask is', 'masks are')} given."
            )
        if isinstance(places, np.ndarray):
            units.check_order("Masks", MASKS_INSTEAD)
        if isinstance(places, np.ndarray) and places.dtype.kind != "b":
            raise ParameterError(f"Masks are an array of bool, such as masks > 0. Got {places.dtype} instead.")
        if isinstance(places, Path) and not (places.is_dir() and isinstance(units, FileUnits)):
            raise ParameterError(
                f"Masks are an array (N, ...), or for files a folder with a picture of each. Got '{places}' instead."
            )
        if units.count == 0:
            raise DataError(EMPTY)
        return cls(units, own, places, exif, text)

    @property
    def count(self) -> int | None:
        """The number of units; None for an iterable, whose end is not known."""
        return self.units.count

    @property
    def labels_sha256(self) -> str | None:
        """A hash of the labels, unless there are none, or each is beside its item."""
        if self.labels_given is None:
            return None
        return hashlib.sha256(repr([*self.labels_given]).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        if self.units.count is None:
            raise TypeError("the length of an iterable is not known")
        return self.units.count

    def read(self, model: Reader, start: int, stop: int) -> list[Block]:
        """Return the units from ``start`` to ``stop`` in blocks of samples of one shape.

        Fewer units, or none, are those at the end of an iterable.

        Raises
        ------
        DataError
            All units from ``start`` to ``stop`` are refused for the same reason, which is that of a table.
        """
        if self.units.alone or model.pads_texts:
            blocks = merged(self._each(model, start, stop), model.shared)
        else:
            read = self._rows(model, start, stop)
            if _have_one_reason(read):
                # Of all rows together, whose shape is that of what was given.
                self._inputs(model, start, stop)
            blocks = merged(read, model.shared)
        return [self._beside(block, model) for block in blocks]

    def batches(self, model: Reader, size: int = 64, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield the units from ``start`` to ``stop``, or all, in blocks of at most ``size``, reading ahead of need."""
        end = self.count if stop is None else self._stop(stop)
        starts: Iterable[int] = itertools.count(start, size) if end is None else range(start, end, size)

        def read(at: int) -> list[Block]:
            return self.read(model, at, at + size if end is None else min(at + size, end))

        for blocks in ahead(read, starts):
            if not blocks:
                return
            yield from blocks

    def picture(self, model: Reader, unit: int) -> Array | None:
        """Return a unit as the model sees it, uint8 (H, W, 3); None if it is no picture, or cannot be read."""
        inputs = self._one(model, unit).inputs
        return inputs.displays[0] if inputs is not None and inputs.displays else None

    def _stop(self, stop: int) -> int:
        return stop if self.count is None else min(stop, self.count)

    def _each(self, model: Reader, start: int, stop: int) -> Iterator[Block]:
        """Each unit by itself."""
        for unit in range(start, stop):
            try:
                yield self._one(model, unit)
            except StopIteration:
                return

    def _one(self, model: Reader, unit: int) -> Block:
        try:
            inputs = self._inputs(model, unit, unit + 1)
            self._check_order(model, unit, inputs)
        except (DataError, MemoryError, OSError) as error:
            (name,) = self.units.names(unit, unit + 1)
            return Block(unit, unit + 1, refused=(Refused(unit, name, str(error)),))
        refused = tuple(Refused(unit, _row_name(one), str(one)) for one in inputs.refused)
        units = (unit,) * samples_in(inputs, model.shared)
        return Block(unit, unit + 1, self._named(inputs, units), units, refused)

    def _check_order(self, model: Reader, unit: int, inputs: Inputs) -> None:
        """Check that a table has the columns of the first table that can be read, whoever reads this one."""
        units = self.units
        if not isinstance(units, FileUnits) or not inputs.by_place:
            return
        for first in range(unit):
            if self._order.known:
                break
            if Path(units.files[first]).suffix.lower() in TABLES:
                with contextlib.suppress(DataError, MemoryError, OSError):
                    self._order.check(units.files[first], self._inputs(model, first, first + 1).by_place)
        self._order.check(units.files[unit], inputs.by_place)

    def _inputs(self, model: Reader, start: int, stop: int) -> Inputs:
        given = self.units.given(start, stop, model.shared)
        if isinstance(given, tuple) and model.input_spec.kind == "picture":
            raise DataError(
                "An item of several texts is no picture. If it is a file and its label, give Path(file) in place of "
                "the text."
            )
        return given if isinstance(given, Inputs) else model.read(given, partial=True, exif=self.exif, text=self.text)

    def _rows(self, model: Reader, start: int, stop: int) -> list[Block]:
        """Rows that are read together; halved where none of them can be read."""
        if stop == start + 1:
            return [self._one(model, start)]
        try:
            inputs = self._inputs(model, start, stop)
        except (DataError, MemoryError):
            middle = (start + stop) // 2
            return [*self._rows(model, start, middle), *self._rows(model, middle, stop)]
        left = {one.row for one in inputs.refused}
        units = tuple(unit for unit in range(start, stop) if unit not in left)
        if len(units) != samples_in(inputs, model.shared):
            (name,) = self.units.names(start, start + 1)
            raise DataError(
                f"'{name}' and the rows after it make {samples_in(inputs, model.shared)} samples for the model, not "
                "one each. Save an array (N, ...) of samples."
            )
        refused = tuple(Refused(one.row or 0, _row_name(one), str(one)) for one in inputs.refused)
        return [Block(start, stop, self._named(inputs, units), units, refused)]

    def _named(self, inputs: Inputs, units: Sequence[int]) -> Inputs:
        """The samples with the names of their units, where they are given without, or each as the first of a list."""
        if inputs.names and not self._in_memory:
            return inputs
        names = tuple(self.units.names(unit, unit + 1)[0] for unit in units)
        return dataclasses.replace(inputs, names=names, sha256s=(None,) * len(names))

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.units, ArrayUnits | SequenceUnits | IterableUnits)

    def _beside(self, block: Block, model: Reader) -> Block:
        """The block with the labels and masks of its samples."""
        given = self.labels_given
        own = self.units.labels(block.start, block.stop) if given is None else None
        if block.inputs is None:
            return block
        labels = [
            own[unit - block.start] if own is not None else None if given is None else given[unit]
            for unit in block.units
        ]
        block = dataclasses.replace(block, labels=tuple(labels) if any(one is not None for one in labels) else ())
        if isinstance(self.masks_given, np.ndarray):
            return dataclasses.replace(block, masks=self.masks_given[list(block.units)])
        if isinstance(self.masks_given, Path):
            return self._with_masks(block, self.masks_given, model)
        return block

    def _with_masks(self, block: Block, folder: Path, model: Reader) -> Block:
        """The block with masks from pictures that have the names of its files; samples without one are refused."""
        units = self.units
        assert isinstance(units, FileUnits)  # checked when the data set was made
        found: list[Array] = []
        kept: list[int] = []
        refused = [*block.refused]
        for place, unit in enumerate(block.units):
            file = Path(units.files[unit])
            inside = file.relative_to(units.root) if units.root else Path(file.name)
            try:
                found.append(mask_of(file, folder, inside.with_suffix(""), model.input_spec, self.exif))
                kept.append(place)
            except DataError as error:
                refused.append(Refused(unit, str(file), str(error)))
        block = dataclasses.replace(block, refused=tuple(sorted(refused, key=lambda one: one.unit)))
        if not kept:
            return Block(block.start, block.stop, refused=block.refused)
        return dataclasses.replace(block.some(kept, model.shared), masks=np.stack(found))


def _row_name(refusal: Refusal) -> str:
    return str(refusal.path) if refusal.row is None else f"{refusal.path}[{refusal.row}]"


def _have_one_reason(blocks: Sequence[Block]) -> bool:
    """Whether rows were all refused, for a reason that is none of their own, such as a column that the table lacks."""
    reasons = {one.reason for block in blocks for one in block.refused}
    return len(blocks) > 1 and len(reasons) == 1 and all(block.inputs is None for block in blocks)


def order_check(x: object) -> Callable[[str, str], None]:
    """Return what checks that inputs have one order; see :meth:`xaionnx.data.units.Units.check_order`."""
    if isinstance(x, Dataset):
        return x.units.check_order
    if is_folder(x):
        return units_of(x, None, None)[0].check_order
    return lambda what, instead: None


def _is_label_file(labels: object) -> bool:
    return isinstance(labels, str | os.PathLike) and Path(labels).suffix.lower() in TABLES and Path(labels).is_file()


def ahead(make: Callable[[int], T], numbers: Iterable[int]) -> Iterator[T]:
    """Yield what ``make`` returns or raises for each number, in order; the next ones are made in a thread meanwhile.

    Examples
    --------
    >>> list(ahead(lambda number: number**2, range(4)))
    [0, 1, 4, 9]
    """
    maker = ThreadPoolExecutor(1, thread_name_prefix="reading")
    waiting: deque[Future[T]] = deque()
    try:
        for number in numbers:
            waiting.append(maker.submit(make, number))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Ctrl-C does not wait for blocks that nobody needs any more.
        maker.shutdown(wait=False, cancel_futures=True)
