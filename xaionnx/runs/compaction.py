"""Compaction: many small parts of a run become few large ones, of the same rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from xaionnx.data.block import Block
from xaionnx.runs.joining import form_of, joined, of_one_form
from xaionnx.runs.part import Part

# Size of a file. Larger ones are few enough for any file system, but a single row is read with all of its part.
_BYTES: Final = 2**26
# Files of a folder.
_FILES: Final = 1000
_NAME: Final = "merged"


def compact(folder: Path, parts: Sequence[Part], fingerprint: str) -> None:
    """Join parts that follow each other into files of up to 64 MB; what was joined is removed.

    A joined part is written whole before those that it covers are removed, so that whatever stops this, all rows are
    there, and none twice.

    Parameters
    ----------
    folder : Path
        That of the groups of parts.
    parts : sequence of Part
        All parts of a complete run, in order.
    fingerprint : str

    Raises
    ------
    StorageError
        A part cannot be written.
    """
    for number, group in enumerate(one for one in _groups(parts) if len(one) > 1):
        place = folder / f"{_NAME}{number // _FILES:04}"
        place.mkdir(exist_ok=True)
        Part.write(place, *joined([(_block(part), part.load()) for part in group]), fingerprint)
        for part in group:
            part.path.unlink()
            # The folder of a group that is empty now.
            with contextlib.suppress(OSError):
                part.path.parent.rmdir()


def _block(part: Part) -> Block:
    return Block(part.start, part.stop, None, part.units, part.refused, part.labels)


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts that follow each other, whose records have one form, up to the size of a file."""
    for alike in of_one_form(parts, lambda part: form_of(part.load())):
        group, size = alike[:1], alike[0].path.stat().st_size
        for part in alike[1:]:
            own = part.path.stat().st_size
            if size + own > _BYTES or part.start != group[-1].stop:
                yield group
                group, size = [], 0
            group.append(part)
            size += own
        yield group
