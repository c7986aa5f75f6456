"""Part: the results of some units that follow each other, one file, written whole and never changed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from xaionnx.data.block import Block, Refused
from xaionnx.data.files import is_file
from xaionnx.data.storage import write_whole
from xaionnx.errors import DataError
from xaionnx.explanation import Explanation
from xaionnx.explanation_file import read_words
from xaionnx.typing import Document

ENTRY: Final = "part"
"""The entry of a record's provenance that says which part of a run it is."""

# Both ends of the range of units, the latter not included.
_NAME: Final = re.compile(r"(\d{12})-(\d{12})\.(npz|json)")


@final
@dataclass(frozen=True)
class Part:
    """A part of a run, known by the head of its file.

    Attributes
    ----------
    path : Path
    start, stop : int
        The units that it covers, without the latter.
    units : tuple of int
        The unit of each row.
    refused : tuple of Refused
        The units and rows that were left out.
    labels : tuple
        One a row, if the data set has labels.
    """

    path: Path
    start: int
    stop: int
    units: tuple[int, ...]
    refused: tuple[Refused, ...] = ()
    labels: tuple[str | int | float | None, ...] = ()
    skipped: int = 0
    """Rows at the beginning of the file that another part has."""

    def from_unit(self, unit: int) -> Part:
        """Return the part without the units before one."""
        skipped = sum(one < unit for one in self.units)
        return dataclasses.replace(
            self,
            start=unit,
            units=self.units[skipped:],
            refused=tuple(one for one in self.refused if one.unit >= unit),
            labels=self.labels[skipped:],
            skipped=skipped,
        )

    @classmethod
    def write(cls, folder: Path, block: Block, record: Explanation | None, fingerprint: str) -> Path:
        """Write the results of a block, or that all of it was refused, and return the path.

        Raises
        ------
        StorageError
            They cannot be written; no partial file is left.
        """
        name = f"{block.start:012}-{block.stop:012}"
        head: Document = {
            "fingerprint": fingerprint,
            "start": block.start,
            "stop": block.stop,
            "units": list(block.units) if record is not None else [],
            "refused": [dataclasses.astuple(one) for one in block.refused],
            "labels": list(block.labels) if record is not None else [],
        }
        if record is None:
            text = json.dumps(head).encode()
            return write_whole(folder / f"{name}.json", lambda stream: stream.write(text))
        record = dataclasses.replace(record, provenance=record.provenance | {ENTRY: head})
        return record.save(folder / f"{name}.npz")

    @classmethod
    def read(cls, path: Path, fingerprint: str) -> Part | None:
        """Return the part in a file; None if the file is damaged, or is none of this run."""
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        try:
            head = json.loads(path.read_bytes()) if named[3] == "json" else read_words(path)["provenance"][ENTRY]
            found = cls(
                path,
                int(head["start"]),
                int(head["stop"]),
                tuple(map(int, head["units"])),
                tuple(Refused(*one) for one in head["refused"]),
                tuple(head["labels"]),
            )
            ours = head["fingerprint"] == fingerprint
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError, DataError):
            return None
        whole = (found.start, found.stop) == (int(named[1]), int(named[2])) and found.start < found.stop
        return found if ours and whole and set(found.units) <= set(range(found.start, found.stop)) else None

    def load(self) -> Explanation | None:
        """Return the record of its rows, without the entry on the part; None if all was refused.

        Raises
        ------
        DataError
            The file is damaged, or was removed.
        """
        if not self.units:
            return None
        record, count = Explanation.load(self.path), self.skipped + len(self.units)
        if record.samples != count:
            raise DataError(f"{self.path} has {record.samples} rows, not {count}. Remove it, and run again.")
        record = record[self.skipped :] if self.skipped else record
        return dataclasses.replace(
            record, provenance={key: value for key, value in record.provenance.items() if key != ENTRY}
        )


def parts_in(folder: Path, fingerprint: str) -> list[Part]:
    """Return the sound parts in a folder of groups, in the order of their units; none covers only units of others."""
    files = (file for group in sorted(folder.glob("[!.]*")) if group.is_dir() for file in group.iterdir())
    # Reading a pipe would never end.
    found = [part for part in (Part.read(file, fingerprint) for file in files if is_file(file)) if part is not None]
    found.sort(key=lambda part: (part.start, -part.stop))
    kept: list[Part] = []
    for part in found:
        if not kept or part.stop > kept[-1].stop:
            kept.append(part)
    return kept


def gaps(parts: Sequence[Part], ranges: Iterable[range]) -> Iterator[range]:
    """Yield the units in ``ranges`` that no part covers, as ranges.

    Examples
    --------
    >>> done = [Part(Path(), 2, 4, (2, 3)), Part(Path(), 7, 8, (7,))]
    >>> list(gaps(done, [range(0, 10)]))
    [range(0, 2), range(4, 7), range(8, 10)]
    """
    for one in ranges:
        at = one.start
        for part in parts:
            if part.stop <= at or part.start >= one.stop:
                continue
            if part.start > at:
                yield range(at, part.start)
            at = max(at, part.stop)
        if at < one.stop:
            yield range(at, one.stop)
