"""Compaction: many small parts of a run become few large ones, of the same rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from xaionnx.consistency import is_by_sample
from xaionnx.data.block import Block
from xaionnx.explanation import Explanation
from xaionnx.record_joining import join_records
from xaionnx.runs.part import ENTRY, Part
from xaionnx.typing import Array, Entry

# Size of a file. Larger ones are few enough for any file system, but a single row is read with all of its part.
_BYTES: Final = 2**26
# Files of a folder.
_FILES: Final = 1000
_NAME: Final = "merged"
# Entries of the provenance that a joined record has of all rows.
_JOINED: Final = ("conversions", "feature_names")


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
        first, last = group[0], group[-1]
        block = Block(
            first.start,
            last.stop,
            None,
            tuple(unit for part in group for unit in part.units),
            tuple(one for part in group for one in part.refused),
            _labels(group),
        )
        records = [record for part in group if (record := part.load()) is not None]
        Part.write(place, block, join_records(records) if records else None, fingerprint)
        for part in group:
            part.path.unlink()
            # The folder of a group that is empty now.
            with contextlib.suppress(OSError):
                part.path.parent.rmdir()


def _labels(parts: Sequence[Part]) -> tuple[str | int | float | None, ...]:
    if not any(part.labels for part in parts):
        return ()
    return tuple(label for part in parts for label in part.labels or (None,) * len(part.units))


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts that follow each other, whose records have one form, up to the size of a file."""
    group: list[Part] = []
    size, form = 0, None
    for part in parts:
        own, bytes_ = _form(part), part.path.stat().st_size
        fits = form is None or own is None or own == form
        if group and (not fits or size + bytes_ > _BYTES or part.start != group[-1].stop):
            yield group
            group, size, form = [], 0, None
        group.append(part)
        size, form = size + bytes_, form or own
    if group:
        yield group


def _form(part: Part) -> Entry:
    """What records have in common that can be joined without a change of any row; None if there is no row."""
    record = part.load()
    if record is None:
        return None
    several, players = record.several_targets, record.feature_values is not None

    def of(arrays: Array | dict[str, Array] | None) -> Entry:
        named = arrays if isinstance(arrays, dict) else {} if arrays is None else {"": arrays}
        return {name: (str(one.dtype), one.shape[2 if several else 1 :]) for name, one in named.items()}

    return {
        "targets": record.target.shape[:-1],
        "values": of(record.values),
        "maps": of(record.maps),
        "base": record.baseline_prediction is None,
        # Of players, further ones of other rows are NaN.
        "error": (record.standard_error is None, None if players else of(record.standard_error)),
        "players": players,
        "features": None if record.features is None else _label_form(record),
        "diagnostics": sorted(record.diagnostics),
        "provenance": _common_provenance(record),
    }


def _common_provenance(record: Explanation) -> Entry:
    """The provenance that all rows of a joined record share, such as the provider; lists by sample are None."""
    return {
        name: None if name in _JOINED or is_by_sample(name, value, record.samples) else value
        for name, value in record.provenance.items()
        if name != ENTRY
    }


def _label_form(record: Explanation) -> Entry:
    named = record.features if isinstance(record.features, dict) else {"": np.asarray(record.features)}
    return {name: (str(one.dtype), one.shape[1:], len(one) == 1) for name, one in named.items()}
