"""Rows of data that a user gives: for the explained input, by input name, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

RowsLike: TypeAlias = Array | Mapping[str, Array] | Path


def read_rows(rows: RowsLike, model: Model) -> RowsLike:
    """Return the rows of a file by input name, converted and checked as samples of a model; others unchanged.

    Raises
    ------
    DataError
        The file cannot be read.
    InputMismatchError
        The rows do not fit the model.
    """
    return (
        {n: a for n, a in model.read(rows).arrays.items() if n not in model.shared} if isinstance(rows, Path) else rows
    )


def rows_of(rows: RowsLike, sample: Sample, name: str) -> Array:
    """Return the rows of an input, (B, ...).

    Raises
    ------
    InputMismatchError
        They are not rows of this input.
    ParameterError
        They have not been read from their file.
    """
    if isinstance(rows, Path):
        raise ParameterError(f"'{rows}' has not been read. Bind the method to a model first: method.bind(model).")
    x = sample.x[name]
    if isinstance(rows, Mapping):
        if name not in rows:
            raise InputMismatchError(
                f"Rows of data are given for {', '.join(rows)}, but not for input '{name}'. Give them for each input "
                "that is explained."
            )
        rows = np.asarray(rows[name])
    if rows.ndim != x.ndim + 1:
        raise InputMismatchError(
            f"Background rows for input '{name}' must have the shape {('B', *x.shape)}. Got {rows.shape} instead."
        )
    return rows
