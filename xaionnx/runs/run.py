"""Run: the results of a data set in a folder of parts, read as they are needed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.block import Refused
from xaionnx.data.storage import write_whole
from xaionnx.errors import StorageError, UsageError
from xaionnx.explanation import Explanation
from xaionnx.runs import table
from xaionnx.runs.compaction import compact
from xaionnx.runs.document import PARTS, RUN, read_run
from xaionnx.runs.part import Part, gaps, parts_in
from xaionnx.runs.settings import differences
from xaionnx.typing import Array, Document, Facts


@final
@dataclass(frozen=True, eq=False)
class Run:
    """The results of a data set, of which only the part in use is in memory.

    ``run[i]`` is the :class:`xaionnx.Explanation` of row i, and iteration yields all of them in the order of the data
    set. Rows that were refused are not among them.

    Attributes
    ----------
    folder : Path
    model : str
        The name of the model's file.
    settings : dict
        All that the results depend on: the model's hash, versions, method with its parameters, target, and ``data``.
    fingerprint : str
        Their hash.
    parts : tuple of Part
        The files, in the order of the rows.

    Examples
    --------
    >>> import tempfile, numpy as np, xaionnx
    >>> digits = np.zeros((20, 1, 28, 28), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = xaionnx.explain_all("models/mnist_cnn.onnx", digits, "saliency", 3, to=folder)
    ...     run = xaionnx.Run.open(folder)
    ...     [str(row.target[0]) for row in run][:2], run.refused
    (['3 (3)', '3 (3)'], ())
    """

    folder: Path
    model: str
    settings: Facts
    fingerprint: str
    parts: tuple[Part, ...]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Return the run in a folder.

        Raises
        ------
        DataError
            There is none, or it is damaged.
        """
        folder = Path(folder)
        document = read_run(folder)
        return run_of(folder, document, parts_in(folder / PARTS, document["fingerprint"]))

    def __repr__(self) -> str:
        """What was explained by what, and how much of it is done."""
        return (
            f"Run {self.folder}: {self.settings['method']} of {self.model}, {counted(len(self), 'row')} in "
            f"{counted(len(self.parts), 'part')}\n  {self.coverage}"
        )

    def __len__(self) -> int:
        """The number of rows that were explained."""
        return self._ends[-1] if self.parts else 0

    @cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = np.cumsum([len(part.units) for part in self.parts]).tolist()
        return ends

    @property
    def refused(self) -> tuple[Refused, ...]:
        """What was left out, with reasons."""
        return tuple(one for part in self.parts for one in part.refused)

    @property
    def units(self) -> Array:
        """The number of each row in the data set: (N,)."""
        return np.array([unit for part in self.parts for unit in part.units], dtype=np.int64)

    @cached_property
    def labels(self) -> tuple[str | int | float | None, ...]:
        """The label of each row; empty if the data set has none."""
        each = [part.labels or (None,) * len(part.units) for part in self.parts]
        found = tuple(label for labels in each for label in labels)
        return found if any(label is not None for label in found) else ()

    @property
    def missing(self) -> int | None:
        """How many units are not done yet; None for an iterable, whose end is not known."""
        count = self.settings["data"]["count"]
        return None if count is None else sum(map(len, gaps(self.parts, [range(count)])))

    @property
    def complete(self) -> bool:
        """Whether all units are done; of an iterable all that were read are."""
        return not self.missing

    @property
    def coverage(self) -> str:
        """How much is done, in words.

        Examples
        --------
        ``9,998 rows of 10,000; 2 refused``
        """
        count = self.settings["data"]["count"]
        # A file may hold several rows.
        things = " inputs" if len(self) > len({*self.units.tolist()}) else ""
        whole = "" if count is None else f" of {count:,}{things}"
        refused, missing = len(self.refused), self.missing
        words = [f"{counted(len(self), 'row')}{whole}", f"{refused:,} refused" if refused else ""]
        return "; ".join(filter(None, [*words, f"{missing:,} not done yet" if missing else ""]))

    def records(self) -> Iterator[Explanation]:
        """Yield the records of the parts, each of several rows that follow each other.

        Raises
        ------
        DataError
            A part is damaged.
        """
        for part in self.parts:
            record = part.load()
            if record is not None:
                yield record

    def __iter__(self) -> Iterator[Explanation]:
        for record in self.records():
            for n in range(record.samples):
                yield record.sample(n)

    def __getitem__(self, row: int) -> Explanation:
        """The record of one row.

        Raises
        ------
        IndexError
            There is no such row.
        TypeError
            ``row`` is no int: several rows may not fit in memory.
        """
        if not isinstance(row, int | np.integer):
            raise TypeError(
                f"a row of a run is chosen by an int, as in run[3], and got {row!r}; for several rows iterate over the "
                "run, or over its records()"
            )
        if not -len(self) <= row < len(self):
            raise IndexError(f"no row {row} in a run of {len(self):,}")
        row = int(row) % len(self)
        number = int(np.searchsorted(self._ends, row, side="right"))
        record = self._record(number)
        return record.sample(row - self._ends[number] + record.samples)

    def _record(self, number: int) -> Explanation:
        """The record of a part; the last one is kept, as rows are often read in order."""
        if self._last.get("number") != number:
            self._last["number"], self._last["record"] = number, self.parts[number].load()
        record: Explanation = self._last["record"]
        return record

    @cached_property
    def _last(self) -> dict[str, Any]:  # Any: a number and a record
        return {}

    def frame(self, backend: str | None = None, *, values: bool = True) -> Any:  # Any: a frame of any library
        """All rows as a frame: sample, unit, label if there are any, target, prediction, base value, values.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            As in :meth:`xaionnx.Explanation.to_frame`.
        values : bool
            A column for each feature. Leave them out for pictures, which have too many.

        Raises
        ------
        ParameterError
            The library is not installed, rows have different features, or too many.
        """
        return table.frame_of(self, backend, values=values)

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Write all rows as a Parquet file, part by part: values as a list with its shape. It needs pyarrow.

        Raises
        ------
        InstallationError
            pyarrow is not installed.
        StorageError
            The file cannot be written.
        """
        return table.write_parquet(self, Path(path))

    def digest(self) -> str:
        """A hash of all rows, bit for bit: equal for two runs however their data set was cut and whoever did it."""
        whole = hashlib.sha256()
        for part in self.parts:
            record = part.load()
            if record is not None:
                for n, unit in enumerate(part.units):
                    whole.update(f"{unit}\n".encode())
                    _add(whole, record.sample(n))
        for one in self.refused:
            whole.update(f"{one.unit} refused: {one.reason}\n".encode())
        return whole.hexdigest()

    @classmethod
    def merge(cls, folder: str | os.PathLike[str], runs: Sequence[str | os.PathLike[str]]) -> Run:
        """Join runs over shares of one data set into one folder, and return it.

        Files are linked where possible. When all shares are there, small ones become files of up to 64 MB, of the same
        rows.

        Raises
        ------
        UsageError
            They are of different settings or data; the message says what differs.
        DataError
            A folder holds no run, or a damaged one.
        StorageError
            The folder cannot be written.
        """
        folder = Path(folder)
        given = [cls.open(run) for run in runs]
        if not given:
            raise UsageError("There are no runs to merge. Name their folders.")
        first = cls.open(folder) if os.path.lexists(folder / RUN) else given[0]
        for one in given:
            if one.fingerprint != first.fingerprint:
                said = differences(first.settings, one.settings)
                raise UsageError(f"The runs in {first.folder} and {one.folder} are different ones: {said}.")
        text = (first.folder / RUN).read_bytes()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for one in given:
                for part in one.parts:
                    _copy(part.path, folder / PARTS / part.path.parent.name / part.path.name)
        except OSError as error:
            raise StorageError(f"Cannot write into {folder}: {error.strerror}. Choose another folder.") from error
        if not os.path.lexists(folder / RUN):
            write_whole(folder / RUN, lambda stream: stream.write(text))
        merged = cls.open(folder)
        if merged.missing != 0:
            return merged
        compact(folder / PARTS, merged.parts, merged.fingerprint)
        return cls.open(folder)


def run_of(folder: Path, document: Document, parts: Sequence[Part]) -> Run:
    """Return the run of a document and of the sound parts in its folder."""
    return Run(folder, document["model"], document["settings"], document["fingerprint"], tuple(_apart(parts)))


def _apart(parts: Sequence[Part]) -> Iterator[Part]:
    """Parts of which none covers units of another: what two workers did is equal, and taken once."""
    at = 0
    for part in parts:
        if part.start < at:
            # Cut to the units that no earlier part covers; the rows in its file stay.
            yield part.from_unit(at)
        else:
            yield part
        at = part.stop


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        with source.open("rb") as file:
            write_whole(target, lambda stream: shutil.copyfileobj(file, stream))


def _add(digest: Any, row: Explanation) -> None:  # Any: hashlib names no type
    """Add a row to a hash: its arrays, without those that depend on the rows that were explained with it."""
    arrays: dict[str, Array | Mapping[str, Array] | None] = {
        "values": row.values,
        "prediction": row.prediction,
        "baseline_prediction": row.baseline_prediction,
        "feature_values": _without_padding(row.feature_values),
        "standard_error": _without_padding(row.standard_error),
        "features": row.features,
        "maps": row.maps,
    }
    digest.update(f"{row.method} {row.target.tolist()} {row.provenance['input_sha256']}\n".encode())
    for name, given in arrays.items():
        for key, array in (given if isinstance(given, Mapping) else {} if given is None else {"": given}).items():
            digest.update(f"{name} {key} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())


def _without_padding(array: Array | None) -> Array | None:
    """The values of players, without the NaN that stand for those that only other rows have."""
    if array is None:
        return None
    known = np.flatnonzero(~np.isnan(array).reshape(-1, array.shape[-1]).all(axis=0))
    return array[..., : known[-1] + 1 if len(known) else 0]
