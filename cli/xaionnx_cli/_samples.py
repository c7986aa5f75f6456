"""Read the samples of one file, for a model with any number of inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, final

from xaionnx.data.files import Refusal, is_file
from xaionnx.data.inputs import Inputs
from xaionnx.data.text import Text
from xaionnx.errors import UnknownNameError, UsageError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document, Facts
from xaionnx_cli._options import Options

REQUEST: Final = "request_sha256"
"""The entry of a record's provenance that two runs of the same request have in common, one a sample."""

# The file of one input. A path may contain the sign too, but hardly before its folders.
_PAIR = re.compile(r"([^=/\\]+)=(.+)")
# Longest side of the photo below a map; smaller photos keep their size.
_DISPLAY = 896
# Models whose input is smaller than this are shown in their own pixels.
_FINE = 64


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A file that has been read, whose samples are made one by one as they are asked for.

    Attributes
    ----------
    found : Inputs
        What it holds.
    shared : frozenset of str
        Inputs without a batch axis.
    origin : dict
        What the records of all its samples say of them.
    """

    found: Inputs
    shared: frozenset[str]
    origin: Document

    def __len__(self) -> int:
        return len(self.found.names)

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(self, row) for row in range(len(self)))

    def first(self, count: int) -> list[Sample]:
        """Return the first samples."""
        return list(islice(self, count))


@final
@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One sample: the ``row`` of its ``source``, counted from 0.

    ``number`` is its position among the ``count`` samples known so far; ``several`` is whether its file or the command
    has more than one. ``place`` is its position in the results, ``file`` the name of its files without a suffix,
    ``request`` the hash of all that its result depends on, and ``title`` its name if it is not that of its row.
    """

    source: Source
    row: int
    number: int = 0
    count: int = 1
    several: bool = False
    place: int = 0
    file: str = ""
    request: str | None = None
    title: str = ""

    @property
    def name(self) -> str:
        """What it is called in messages and results."""
        return self.title or self.source.found.names[self.row]

    @property
    def sha256(self) -> str | None:
        """The hash of its file."""
        return self.source.found.sha256s[self.row]

    @property
    def feeds(self) -> dict[str, Array]:
        """Its inputs, with a batch axis of 1."""
        row, shared = self.row, self.source.shared
        return {name: x if name in shared else x[row : row + 1] for name, x in self.source.found.arrays.items()}

    @property
    def display(self) -> Array | None:
        """The part of a picture that the model sees, (H, W, 3); None for anything else."""
        return self.source.found.displays[self.row] if self.source.found.displays else None

    @property
    def text(self) -> Text | None:
        """What it was made of, if it is text."""
        return self.source.found.texts[self.row] if self.source.found.texts else None

    @property
    def left(self) -> Facts:
        """The cells of the columns that the model does not read."""
        return {column: cells[self.row] for column, cells in self.source.found.left.items()}

    @property
    def origin(self) -> Document:
        """What its record says of all samples of its file."""
        return self.source.origin


def provenance(samples: Sequence[Sample]) -> Document:
    """Return where samples are from, for their record: what their files have in common, and an entry for each."""
    origins = list({id(sample.origin): sample.origin for sample in samples}.values())
    conversions = dict.fromkeys(note for origin in origins for note in origin.get("conversions", ()))
    requests = [sample.request for sample in samples]
    return {
        **origins[0],
        **({"conversions": list(conversions)} if "conversions" in origins[0] else {}),
        "inputs": [sample.name for sample in samples],
        "file_sha256": [sample.sha256 for sample in samples],
        **({REQUEST: requests} if None not in requests else {}),
    }


def is_row(sample: Sample, model: Model) -> bool:
    """Return whether a sample is one of several rows of a table."""
    own = [array for name, array in sample.feeds.items() if name not in model.shared]
    # A row has one axis beside that of the samples.
    alike = all(array.ndim == 2 for array in own)
    return alike and sample.several and sample.text is None and sample.display is None and model.axes.rows != "joint"


Reading = tuple[Source, tuple[Refusal, ...], tuple[str, ...]]
"""What a file holds: its samples, those that were refused, and notes on conversions."""


def by_name(inputs: Sequence[str]) -> dict[str, Path]:
    """Return the files of several inputs, written as NAME=FILE each; empty if they are written otherwise.

    Raises
    ------
    UsageError
        Only some are written so, or a name is given twice.
    """
    pairs = [None if is_file(text) else _PAIR.fullmatch(text) for text in inputs]
    named = [pair for pair in pairs if pair is not None]
    if not named:
        return {}
    if len(named) < len(pairs):
        other = next(text for text, pair in zip(inputs, pairs, strict=True) if pair is None)
        raise UsageError(f"Either all files are given by the names of their inputs, NAME=FILE, or none. Got {other!r}.")
    files = {pair[1]: Path(pair[2]) for pair in named}
    if len(files) < len(named):
        raise UsageError("An input has two files. Give one, or a folder.")
    return files


def check_names(files: Mapping[str, Path], model: Model) -> None:
    """Check that each input of the model has a file.

    Raises
    ------
    UnknownNameError
        A name is none of an input.
    UsageError
        An input has no file.
    """
    names = [info.name for info in model.inputs]
    for name in files:
        if name not in names:
            raise UnknownNameError.among("input", name, names)
    if missing := [name for name in names if name not in files]:
        raise UsageError(f"Input '{missing[0]}' has no file. Add {missing[0]}=FILE.")


def read(
    path: Path,
    model: Model,
    options: Options,
    drawn: bool,
    files: Mapping[str, Path] | None = None,
    ignore: Sequence[str] = (),
) -> Reading:
    """Read a file: its samples, those that were refused, and notes on conversions.

    ``files`` are those of all inputs by name, if each has its own; ``path`` is then that of the explained one. Pictures
    that are not ``drawn`` are displayed in the pixels that the model sees. ``ignore`` are the columns of tables that
    are no inputs.

    Raises
    ------
    DataError
        The file cannot be read, or does not fit the model.
    """
    spec = model.input_spec
    # A map of few pixels is clearer over the pixels that the model sees than over the sharp photo.
    fine = spec.size is None or min(spec.size) >= _FINE
    given = {name: str(one) for name, one in files.items()} if files else path
    side = _DISPLAY if fine and drawn else None
    found = model.read(
        given,
        partial=True,
        exif=options.exif,
        display_side=side,
        text=options.text,
        rows=options.rows,
        ignore=ignore,
    )
    return Source(found, model.shared, found.provenance()), found.refused, found.notes
