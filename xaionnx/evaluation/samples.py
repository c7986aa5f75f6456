"""The samples that are scored, in blocks: those of a data set one after another, or all that are in memory at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, TypeAlias, TypeVar, cast, final

from xaionnx.data.block import Block, Refused
from xaionnx.data.dataset import Dataset
from xaionnx.data.inputs import Inputs, is_stream
from xaionnx.data.listing import EMPTY, Labels
from xaionnx.errors import DataError, ParameterError
from xaionnx.evaluation.attempts import Attempts
from xaionnx.evaluation.metric import Metric
from xaionnx.explainer import Explainer
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, InputLike

NamedT = TypeVar("NamedT", bound=Explainer | Metric)
SamplesLike: TypeAlias = "InputLike | Inputs | Dataset | Iterable[InputLike]"

# Files that are scored at once; rows are small, and as many as make up this many bytes are, but no more than these:
# their neighbours and maps take a hundred times their memory.
_FILES: Final = 64
_BYTES: Final = 2**24
_ROWS: Final = 1024


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """The samples to score.

    Attributes
    ----------
    model : Model
    whole : Block or None
        All samples, if they are in memory.
    dataset : Dataset or None
        Otherwise where they are.
    """

    model: Model
    whole: Block | None
    dataset: Dataset | None = None

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, x: SamplesLike, masks: Array | None = None) -> Samples:
        """Return the samples of anything that can be scored.

        Raises
        ------
        ParameterError
            Masks are given beside a data set, which has its own.
        """
        found = in_parts(x)
        if isinstance(found, Dataset):
            if masks is not None:
                raise ParameterError("A data set has masks of its own. Give them to it: Dataset.of(x, masks=masks).")
            return cls._of_one_file(model, found) or cls(model, None, found)
        inputs = found if isinstance(found, Inputs) else model.read(found)
        block = numbered(Block(0, 0, inputs, masks=masks), inputs, model, len(model.samples(inputs.arrays)))
        return cls(model, block)

    @classmethod
    def _of_one_file(cls, model: Model, dataset: Dataset) -> Samples | None:
        """The samples of a single file, which is read at once; None if the data set is more, or some are left out."""
        if not dataset.units.alone or dataset.count != 1:
            return None
        blocks = dataset.read(model, 0, 1)
        inputs = blocks[0].inputs
        if len(blocks) > 1 or inputs is None or blocks[0].refused:
            return None
        return cls(model, numbered(blocks[0], inputs, model, len(model.samples(inputs.arrays))))

    @property
    def count(self) -> int | None:
        """The number of units; None for an iterable, whose end is not known."""
        return self.dataset.count if self.dataset is not None else self._block.stop

    @property
    def _block(self) -> Block:
        assert self.whole is not None  # either is given
        return self.whole

    def blocks(self, batch_size: int | None = None, start: int = 0, stop: int | None = None) -> Blocks:
        """Return the units from ``start`` to ``stop``, or all; at most ``batch_size`` of them are in memory at a time.

        Raises
        ------
        ParameterError
            The number is no int of at least 1.
        """
        if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
            raise ParameterError(
                f"The 'batch_size' parameter must be an int in [1, inf) or None. Got {batch_size!r} instead."
            )
        dataset, count = self.dataset, self.count
        end = count if stop is None else stop if count is None else min(stop, count)
        if dataset is None:
            assert end is not None  # what is in memory has an end
            block = self._block if (start, end) == (0, count) else self._block.within(start, end, self.model.shared)
            return Blocks(self, iter([block]), end - start, several=False, stop=end)
        size = batch_size or self._size(dataset)
        found = dataset.batches(self.model, size, start, end)
        first = [*islice(found, 2)]
        return Blocks(self, chain(first, found), size, several=len(first) > 1, stop=end)

    def _size(self, dataset: Dataset) -> int:
        """How many units are in memory at once, if nothing is said."""
        if dataset.units.alone or not dataset.count:
            return _FILES
        inputs = dataset.read(self.model, 0, 1)[0].inputs
        bytes_ = 0 if inputs is None else sum(array.nbytes for array in inputs.arrays.values())
        return max(1, min(_ROWS, _BYTES // max(1, bytes_)))


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of samples that follow each other, each read when it is needed.

    Attributes
    ----------
    samples : Samples
    found : iterator of Block
    size : int
        How many units a block has at most.
    several : bool
        Whether there is more than one block.
    stop : int or None
        The end of the last block; None for an iterable, whose end is not known.
    """

    samples: Samples
    found: Iterator[Block]
    size: int
    several: bool
    stop: int | None

    __repr__ = short_repr

    @property
    def model(self) -> Model:
        """The model."""
        return self.samples.model

    @property
    def has_masks(self) -> bool:
        """Whether there are ground-truth masks."""
        block, dataset = self.samples.whole, self.samples.dataset
        if dataset is not None:
            return dataset.masks_given is not None
        return block is not None and block.masks is not None

    @property
    def labels(self) -> Labels:
        """The labels of all samples, as far as they are known before these are read."""
        dataset = self.samples.dataset
        return () if dataset is None or dataset.labels_given is None else dataset.labels_given

    def attempts(self, together: bool = False) -> Attempts:
        """Return what leaves out the faulty samples of a data set; those in memory are a user's own to choose.

        Samples that are explained ``together`` have other values without the faulty ones, so that none is left out.
        """
        return Attempts(halves=self.samples.dataset is not None and not together, count=self.samples.count)

    def place(self, done: int) -> str:
        """Return which samples are scored after ``done`` others, in words; empty if these are all."""
        if not self.several:
            return ""
        count = self.samples.count
        return f", inputs from {done + 1:,} on" + ("" if count is None else f" of {count:,}")


def in_parts(x: SamplesLike) -> InputLike | Inputs | Dataset:
    """Return the data set of samples that have no length, as those of a generator; ``x`` itself otherwise."""
    return Dataset.of(x) if is_stream(x) else cast("InputLike", x)


def check_listed(given: object, parameter: str) -> None:
    """Check that names are in a list, and not a single one, whose letters are no names.

    Raises
    ------
    ParameterError
        They are not.
    """
    if isinstance(given, str):
        raise ParameterError(
            f"The '{parameter}' parameter must be a list of names. Got {given!r} instead; [{given!r}] is a list of one."
        )


def by_name(ones: Iterable[NamedT]) -> dict[str, NamedT]:
    """Return methods or metrics by their names, in order.

    Raises
    ------
    ParameterError
        Two have the same name, so that the scores of one would stand for those of both.
    """
    found = dict[str, NamedT]()
    for one in ones:
        if one.name() in found:
            raise ParameterError(
                f"'{one.name()}' is named twice, and a table has one row or column for a name. Score each in a table "
                "of its own."
            )
        found[one.name()] = one
    return found


def nothing_read(refused: Sequence[Refused]) -> DataError:
    """Return the error of samples of which none could be read."""
    return DataError(refused[0].reason if refused else EMPTY)


def refused_in_parts(ones: Sequence[Explainer | Metric], blocks: Blocks) -> dict[str, str]:
    """Return the methods and metrics that cannot score some samples without all the others, and why."""
    found = {
        one.name(): f"{one.name()} compares all samples with each other, and they are scored in parts of "
        f"{blocks.size:,}. Score fewer, or in Python raise batch_size to their number."
        for one in ones
        if blocks.several and one.compares_samples
    }
    return found | explained_together(ones)


def explained_together(ones: Sequence[object]) -> dict[str, str]:
    """Return the methods that explain all samples together, in one record, and why metrics cannot judge them."""
    return {
        one.name(): f"{one.name()} explains all samples together, and a metric judges the values of each. Choose a "
        "method that explains samples one by one."
        for one in ones
        if isinstance(one, Explainer) and one.explains_together
    }


def name_of(block: Block, n: int) -> str:
    """Return the name of a sample."""
    names = () if block.inputs is None else block.inputs.names
    return names[n] if names else f"x[{block.units[n]}]"


def numbered(block: Block, inputs: Inputs, model: Model, count: int) -> Block:
    """Return a block of these inputs whose units are its ``count`` samples, from 0 on."""
    rows = max((len(array) for name, array in inputs.arrays.items() if name not in model.shared), default=count)
    # All rows may be one sample together.
    units = tuple(range(count)) if rows == count else (0,) * rows
    return dataclasses.replace(block, start=0, stop=count, inputs=inputs, units=units, refused=())
