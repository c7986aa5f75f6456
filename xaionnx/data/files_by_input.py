"""Read the inputs of a model from a file each: a picture and a row, two pictures, sound and a table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from xaionnx.data.batch import read_inputs
from xaionnx.data.files import is_file
from xaionnx.data.series_files import SeriesLayout
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError
from xaionnx.typing import Array, Document, DType

_ROWS_RANK = 2


class Declared(Protocol):
    """An input as the model declares it, such as a TensorInfo."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int | str | None, ...]: ...


class Beside(NamedTuple):
    """What files of single inputs contain.

    Attributes
    ----------
    arrays : dict by input name
        With what was not a file as it was given.
    notes : tuple of str
        What was read and how.
    columns : dict of tuple of str by input name
        The columns of tables.
    """

    arrays: Document
    notes: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]


def read_beside(
    given: Mapping[str, object],
    main: Declared,
    others: Sequence[Declared],
    spec: InputSpec,
    layout: Callable[[str], SeriesLayout | None],
    exif: bool = False,
) -> Beside:
    """Return a mapping with arrays in place of files, pictures and numbers in text, except for the explained input.

    A picture of the size of the explained one is converted as that; the form of any other input is guessed from its
    shape.

    Parameters
    ----------
    given : mapping by input name
    main : Declared
        The explained input, whose files are left to :func:`xaionnx.data.conversion.convert`.
    others : sequence of Declared
    spec : InputSpec
        That of the explained input.
    layout : callable
        Returns how a sample of an input lies, if it is a series.
    exif : bool
        As in :func:`xaionnx.data.batch.read_inputs`.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    arrays, notes, columns = Document(given), list[str](), dict[str, tuple[str, ...]]()
    for info in others:
        value = given.get(info.name)
        if info.name == main.name or not _is_read(value, info):
            continue
        if isinstance(value, str) and not is_file(value) and (number := _number(value, info)) is not None:
            arrays[info.name] = number
            continue
        paths = [Path(one) if isinstance(one, str | os.PathLike) else one for one in _sources(value)]
        own = _spec_of(info, main, spec, paths)
        batch, refused = read_inputs(paths, own, info.dtype, exif, series=layout(info.name))
        if refused:
            raise refused[0].error
        arrays[info.name] = batch.x
        if batch.columns:
            columns[info.name] = batch.columns
        notes += [f"{info.name}: {text}" for text in (*filter(None, [batch.conversion]), *batch.notes)]
    return Beside(arrays, tuple(notes), columns)


def _sources(value: object) -> list[str | os.PathLike[str] | Image.Image]:
    listed = value if isinstance(value, list | tuple) else [value]
    return [one for one in listed if isinstance(one, str | os.PathLike | Image.Image)]


def _is_read(value: object, info: Declared) -> bool:
    if info.dtype.kind in "OU":
        # Strings are data.
        return isinstance(value, os.PathLike)
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, str | os.PathLike | Image.Image) for one in value)
    return isinstance(value, str | os.PathLike | Image.Image)


def _number(text: str, info: Declared) -> Array | None:
    """The number in a text, for an input of a single number a sample; None if it is not a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    if any(size != 1 for size in info.shape[1:]):
        raise DataError(
            f"Input '{info.name}' takes {('N', *info.shape[1:])}, not the single number {text}. Give a file."
        )
    return np.full((1,) * len(info.shape), value).astype(info.dtype)


def _spec_of(info: Declared, main: Declared, spec: InputSpec, paths: Sequence[object]) -> InputSpec:
    if info.shape[1:] == main.shape[1:] and spec.kind == "picture":
        return dataclasses.replace(spec, name=info.name)
    guess = dataclasses.replace(InputSpec.guess(info.shape, info.dtype), name=info.name)
    tables = all(isinstance(path, Path) and path.suffix.lower() == ".csv" for path in paths)
    if tables and len(info.shape) == _ROWS_RANK:
        return dataclasses.replace(guess, kind="table")
    return guess
