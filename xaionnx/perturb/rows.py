"""Rows of data that a user gives: for the explained input, by input name, or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from xaionnx.data.frames import is_frame
from xaionnx.data.sample import Sample
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

# Any: a frame of one of several libraries.
RowsLike: TypeAlias = Array | Mapping[str, Array] | Path | Any


def row_arrays(rows: object) -> RowsLike:
    """Return rows as arrays, those of a file as its path, and a frame as it is.

    Raises
    ------
    ParameterError
        The path of a file is empty.
    """
    if isinstance(rows, Mapping):
        return {name: whole_array(array) for name, array in rows.items()}
    if isinstance(rows, str | os.PathLike):
        if rows == "":
            raise ParameterError("The path of rows of data is empty. Give a file, such as rows.csv.")
        return Path(rows)
    return rows if is_frame(rows) else whole_array(rows)


def read_rows(rows: RowsLike, model: Model) -> RowsLike:
    """Return the rows of a file or a frame by input name, converted and checked as samples of a model.

    Arrays are unchanged.

    Raises
    ------
    DataError
        The file cannot be read.
    InputMismatchError
        The rows do not fit the model.
    """
    if not isinstance(rows, Path) and not is_frame(rows):
        return rows
    return {name: array for name, array in model.read(rows).arrays.items() if name not in model.shared}


def rows_of(rows: RowsLike, sample: Sample, name: str) -> Array:
    """Return the rows of an input, (B, ...).

    Raises
    ------
    InputMismatchError
        They are not rows of this input.
    ParameterError
        They have not been read from their file.
    """
    if isinstance(rows, Path) or is_frame(rows):
        raise ParameterError(f"{_words(rows)} has not been read. Bind the method to a model first: method.bind(model).")
    x = sample.x[name]
    if isinstance(rows, Mapping):
        if name not in rows:
            raise InputMismatchError(
                f"Rows of data are given for {', '.join(rows)}, but not for input '{name}'. Give them for each input "
                "that is explained."
            )
        rows = np.asarray(rows[name])
    if rows.ndim != x.ndim + 1:
        raise other_shape(rows, x, name)
    return rows


def other_shape(rows: Array, x: Array, name: str) -> InputMismatchError:
    """Return the error that rows do not have the shape of an input."""
    return InputMismatchError(
        f"Background rows for input '{name}' must have the shape {('B', *x.shape)}. Got {rows.shape} instead."
    )


def _words(rows: RowsLike) -> str:
    return f"'{rows}'" if isinstance(rows, Path) else "The frame of rows"
