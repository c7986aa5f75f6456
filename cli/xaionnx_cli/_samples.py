"""The samples of one file, for a model with any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xaionnx.data.files import Refusal
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document

# Longest side of what is drawn over: pictures smaller than this keep their size.
_DISPLAY = 896
_FINE = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: its feeds with a batch axis of 1, and for a picture what the model sees of it, (H, W, 3).

    ``provenance`` is what its record says of the file. It is the one of that ``number`` among ``count`` that are known
    of so far; ``several`` tells whether its file, or the command, has others.
    """

    name: str
    sha256: str | None
    feeds: dict[str, Array]
    display: Array | None
    provenance: Document
    number: int = 0
    count: int = 1
    several: bool = False


def read(path: Path, model: Model, exif: bool) -> tuple[list[Sample], tuple[Refusal, ...], tuple[str, ...]]:
    """The samples of a file, those left out, and what was converted.

    Raises
    ------
    DataError
        Nothing in the file can be read, or it does not fit the model.
    """
    spec = model.input_spec
    # What a model sees in few pixels is shown in these; of others the photo is shown as sharp as it is.
    fine = spec.size is None or min(spec.size) >= _FINE
    found = model.read(path, partial=True, exif=exif, display_side=_DISPLAY if fine else None)
    displays: Sequence[Array | None] = found.displays or [None] * len(found.names)
    origin = found.provenance()
    samples = [
        Sample(
            name,
            digest,
            {key: array if key in model.shared else array[n : n + 1] for key, array in found.arrays.items()},
            display,
            {**origin, "inputs": [name], "file_sha256": [digest]},
        )
        for n, (name, digest, display) in enumerate(zip(found.names, found.sha256s, displays, strict=True))
    ]
    return samples, found.refused, found.notes
