"""One bad input: the files, the command, and the exit code that is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from PIL import Image

MODELS: Final = Path(__file__).resolve().parents[2] / "models"
USAGE, MODEL, DATA, RESOURCE = 2, 3, 4, 6
PIPE: Final = 141
REFUSED: Final = frozenset({USAGE, MODEL, DATA, RESOURCE})

Stdout = Literal["file", "full", "closed", "broken", "terminal", "no stderr", "full stderr"]
Build = Callable[[Path], object]

QUICK: Final = ("--window", "4", "--stride", "4", "--json")


@dataclass(frozen=True)
class Case:
    """A command over bad files in a folder of its own.

    Attributes
    ----------
    name : str
        The kind, and the case: ``models/truncated-3``.
    words : tuple of str
        The arguments; ``("load", "record", PATH)``, ``("load", "patterns", PATH)`` and ``("load", "frame", PATH)`` call
        the library instead.
    codes : collection of int
        The right exit codes.
    build : callable
        Makes the bad files in the folder, which already has ``model.onnx``, ``model.toml``, ``picture.png`` and
        ``array.npy``.
    stdout : str
        Where stdout goes: a file, a full device, nowhere, a pipe without a reader, or a terminal, with stderr. In the
        last two cases it is stderr that is closed, or goes to a full device.
    written : collection of str
        Files and folders that the command may leave.
    says : str
        A regular expression that the message has to match.
    """

    name: str
    words: tuple[str, ...]
    codes: Collection[int]
    build: Build = lambda folder: None
    stdout: Stdout = "file"
    written: Collection[str] = ()
    says: str = ""


def explain(*more: str, model: str = "model.onnx", x: str = "array.npy", method: str = "occlusion") -> tuple[str, ...]:
    """The words of a short explanation."""
    return ("explain", method, model, x, *(QUICK if method == "occlusion" else ("--json",)), *more)


def prepare(folder: Path) -> None:
    """Copy a good model with its spec, and make a picture and an array that fit it."""
    shutil.copy(MODELS / "digits_cnn.onnx", folder / "model.onnx")
    shutil.copy(MODELS / "digits_cnn.toml", folder / "model.toml")
    pixels = np.zeros((8, 8), np.uint8)
    pixels[1:7, 3:5] = 255
    Image.fromarray(pixels).save(folder / "picture.png")
    np.save(folder / "array.npy", (pixels[None, None] / 255).astype(np.float32))


def writes(name: str, content: bytes | Callable[[], bytes]) -> Build:
    """Make a builder that writes one file; a large content is given as a function."""
    return lambda folder: (folder / name).write_bytes(content() if callable(content) else content)


def all_cases() -> Iterator[Case]:
    """Yield the cases of all kinds; each name once."""
    from tests.corpus import (
        arrays,
        backgrounds,
        folders,
        graphs,
        models,
        names,
        options,
        outputs,
        parquet,
        pictures,
        records,
        rows,
        searches,
        several,
        specs,
        tables,
        tokenizers,
        trees,
    )

    first = (arrays, graphs, models, names, options, outputs, pictures, records, specs, tables)
    for module in (*first, backgrounds, parquet, rows, several, tokenizers, trees, folders, searches):
        yield from module.cases()
