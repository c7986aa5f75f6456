"""The samples of one file, for a model with any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xaionnx.data.arrays import read_array
from xaionnx.data.batch import read_inputs
from xaionnx.data.files import Refusal
from xaionnx.data.spec import InputSpec
from xaionnx.errors import InputMismatchError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Longest side of what is drawn over: pictures smaller than this keep their size.
_DISPLAY = 896
_FINE = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: its feeds with a batch axis of 1, and for a picture what the model sees of it, (H, W, 3)."""

    name: str
    sha256: str
    feeds: dict[str, Array]
    display: Array | None


def spec_of(model: Model) -> InputSpec:
    """The model's own spec, or one guessed from its shapes."""
    info = model.input()
    return model.spec or InputSpec.guess(info.shape, info.dtype if info.dtype.kind != "U" else np.int64)


def read(path: Path, model: Model, spec: InputSpec, exif: bool) -> tuple[list[Sample], list[Refusal], tuple[str, ...]]:
    """The samples of a file, those left out, and what was converted.

    Raises
    ------
    DataError
        Nothing in the file can be read, or it does not fit the model.
    """
    if len(model.inputs) > 1:
        return _several(path, model), [], ()
    main = model.input()
    # What a model sees in few pixels is shown in these; of others the photo is shown as sharp as it is.
    fine = spec.size is None or min(spec.size) >= _FINE
    batch, refused = read_inputs([path], spec, main.dtype, exif, _DISPLAY if fine else None)
    feeds = _checked(path, batch.x, model)[main.name]
    displays: Sequence[Array | None] = batch.displays or [None] * len(feeds)
    samples = [
        Sample(name, digest, {main.name: row[None]}, display)
        for name, digest, row, display in zip(batch.names, batch.sha256s, feeds, displays, strict=True)
    ]
    return samples, refused, batch.notes


def _several(path: Path, model: Model) -> list[Sample]:
    """The arrays of all inputs, by name, from one .npz file."""
    names = [info.name for info in model.inputs]
    if path.suffix.lower() != ".npz":
        raise InputMismatchError(
            f"'{path}': {model.name} has {len(names)} inputs. Pass a .npz file that holds an array for each by name: "
            f"{', '.join(names)}."
        )
    files = {name: read_array(path, name) for name in names}
    feeds = _checked(path, {name: file.array for name, file in files.items()}, model)
    count = next(len(array) for name, array in feeds.items() if name not in model.shared)
    digest = next(iter(files.values())).sha256
    return [
        Sample(
            f"{path}[{n}]",
            digest,
            {name: array if name in model.shared else array[n : n + 1] for name, array in feeds.items()},
            None,
        )
        for n in range(count)
    ]


def _checked(path: Path, x: Array | dict[str, Array], model: Model) -> dict[str, Array]:
    try:
        return model.check(x)
    except InputMismatchError as error:
        raise InputMismatchError(f"'{path}': {error}") from error
