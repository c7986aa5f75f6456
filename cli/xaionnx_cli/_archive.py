"""The records of a run on disk: written as they are finished, and found again by a later run of the same request.

A folder has one record an input. The file of all inputs is written at the end, so until then its records are kept as
parts in a hidden folder beside it, which only a killed run leaves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from xaionnx.data.storage import locked
from xaionnx.errors import DataError, StorageError
from xaionnx.explanation import Explanation
from xaionnx.typing import Array, Document
from xaionnx_cli._destination import RECORD, Destination
from xaionnx_cli._samples import REQUEST, Sample, provenance

_PARTS: Final = ".xaionnx-parts-"


class Requests:
    """The hashes of all that the results of a run depend on.

    Parameters
    ----------
    run : dict
        What is the same for all inputs: the model, the method, its parameters, the target.
    """

    def __init__(self, run: Document) -> None:
        self._run = hashlib.sha256(json.dumps(run, sort_keys=True, default=str).encode())

    def sha256(self, feeds: Mapping[str, Array]) -> str:
        """Return the hash for the feeds of one sample."""
        digest = self._run.copy()
        for name in sorted(feeds):
            array = feeds[name]
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
        return digest.hexdigest()


class Archive:
    """The records of a run.

    Parameters
    ----------
    destination : Destination
    resume : bool
        Whether earlier records of the same request are used.
    """

    def __init__(self, destination: Destination, resume: bool) -> None:
        self._destination, self._resume = destination, resume
        self._held = contextlib.ExitStack()
        self._parts: Path | None = None
        self._earlier: dict[str, tuple[Explanation, int]] = {}
        if destination.kind == "record":
            self._open_parts()

    def _open_parts(self) -> None:
        path = self._destination.path
        name = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        folder = path.with_name(f"{_PARTS}{name}")
        if folder.is_dir() and not self._held.enter_context(locked(folder)):
            # Another run writes the same file; the last one to end has it.
            return
        self._parts = folder
        if self._resume:
            for file in [path, *sorted(folder.glob(f"[!.]*{RECORD}"))]:
                with contextlib.suppress(DataError):
                    whole = Explanation.load(file)
                    self._earlier |= {digest: (whole, n) for n, digest in enumerate(whole.provenance.get(REQUEST, ()))}
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def find(self, sample: Sample) -> tuple[Explanation, int] | None:
        """Return an earlier record with the same request, and the number of its sample; None if there is none."""
        if not self._resume or sample.request is None:
            return None
        if self._destination.kind == "folder":
            found = self._load(sample)
            return None if found is None else (found, 0)
        return self._earlier.get(sample.request) if sample.several else None

    @staticmethod
    def record_of(samples: Sequence[Sample], whole: Explanation, numbers: Sequence[int]) -> Explanation:
        """Return the record of samples that were found in an earlier one, at these numbers."""
        seconds = whole.diagnostics.get("seconds", 0.0) * len(numbers) / whole.samples
        some = whole[list(numbers)]
        return dataclasses.replace(
            some,
            diagnostics=some.diagnostics | {"seconds": round(seconds, 6)},
            # The same input may now have another name.
            provenance=some.provenance | provenance(samples),
        )

    def path(self, sample: Sample) -> Path:
        """Return the path of the record of a sample in a folder."""
        return self._destination.path / f"{sample.file}{RECORD}"

    def _load(self, sample: Sample) -> Explanation | None:
        try:
            found = Explanation.load(self.path(sample))
        except DataError:
            return None
        return found if found.provenance.get(REQUEST) == [sample.request] else None

    def put(self, samples: Sequence[Sample], record: Explanation) -> list[str]:
        """Write the record of samples that are finished, and return the names of files that are results.

        Raises
        ------
        StorageError
            The records cannot be written. Parts may fail: what they hold is written at the end.
        """
        if self._destination.kind == "folder":
            (sample,) = samples
            return [str(record.save(self._destination.record(sample.file)))]
        # A single sample is saved at once.
        if self._parts is not None and samples[0].several:
            with contextlib.suppress(StorageError):
                record.save(self._make_parts(self._parts) / f"{secrets.token_hex(8)}{RECORD}")
        return []

    def _make_parts(self, folder: Path) -> Path:
        if not folder.is_dir():
            with contextlib.suppress(OSError):
                folder.mkdir()
                self._held.enter_context(locked(folder))
        return folder

    def close(self) -> None:
        """Remove the parts: the file has them all."""
        if self._parts is not None:
            shutil.rmtree(self._parts, ignore_errors=True)
        self._held.close()
