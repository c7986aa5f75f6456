"""Read the samples of one file, for a model with any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xaionnx.data.files import Refusal
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document

# Longest side of the photo below a map; smaller photos keep their size.
_DISPLAY = 896
# Models whose input is smaller than this are shown in their own pixels.
_FINE = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: its feeds with a batch axis of 1, and for a picture the part that the model sees, (H, W, 3).

    ``provenance`` goes into its record. ``number`` is its position among the ``count`` samples known so far;
    ``several`` is whether its file or the command has more than one. ``place`` is its position in the results, ``file``
    the name of its files without a suffix, and ``request`` the hash of all that its result depends on.
    """

    name: str
    sha256: str | None
    feeds: dict[str, Array]
    display: Array | None
    provenance: Document
    number: int = 0
    count: int = 1
    several: bool = False
    place: int = 0
    file: str = ""
    request: str | None = None


Reading = tuple[list[Sample], tuple[Refusal, ...], tuple[str, ...]]
"""What a file holds: its samples, those that were refused, and notes on conversions."""


def read(path: Path, model: Model, exif: bool, drawn: bool) -> Reading:
    """Read a file: its samples, those that were refused, and notes on conversions.

    Pictures that are not ``drawn`` are displayed in the pixels that the model sees.

    Raises
    ------
    DataError
        The file cannot be read, or does not fit the model.
    """
    spec = model.input_spec
    # A map of few pixels is clearer over the pixels that the model sees than over the sharp photo.
    fine = spec.size is None or min(spec.size) >= _FINE
    found = model.read(path, partial=True, exif=exif, display_side=_DISPLAY if fine and drawn else None)
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
