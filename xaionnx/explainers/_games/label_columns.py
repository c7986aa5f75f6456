"""The labels of samples: an array, a file, or a column of the table that is explained."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from xaionnx.data.arrays import WORDS_TOO, read_array
from xaionnx.data.files import read_text
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.request import Request
from xaionnx.typing import Array, LabelsLike

_SUFFIXES: Final = (".npy", ".npz")


def check_labels(given: LabelsLike) -> object:
    """The labels as an array; a path of a file and the name of a column as they are.

    Raises
    ------
    ParameterError
        They are neither.
    """
    if given is None or isinstance(given, str | Path):
        return given
    array = np.asarray(given)
    if array.dtype.kind not in "fiubUO" or array.ndim != 1:
        raise ParameterError(
            "The 'labels' parameter of FeaturePermutation must be an array (N,) with the label of each sample, a file, "
            f"or a column of the table. Got {array.dtype} of shape {array.shape} instead."
        )
    return array


def is_label_file(given: LabelsLike) -> bool:
    """Whether the labels are those of a file."""
    return isinstance(given, Path) or (isinstance(given, str) and (".csv:" in given or given.endswith(_SUFFIXES)))


def read_label_file(given: str | Path) -> Array:
    """The labels of a .npy file, or of a column of a CSV file: FILE.csv:COLUMN.

    Raises
    ------
    DataError, ParameterError
        The file cannot be read, or has no such column.
    """
    path, _, column = str(given).partition(".csv:")
    if not column:
        if Path(given).suffix not in _SUFFIXES:
            raise ParameterError(
                "The 'labels' parameter of FeaturePermutation must be a .npy file, or a column of a CSV file, as "
                f"FILE.csv:COLUMN. Got '{given}' instead."
            )
        return np.asarray(check_labels(read_array(given, kinds=WORDS_TOO).array))
    text = read_text(Path(f"{path}.csv"), f"The labels '{path}.csv'", f"There is no file '{path}.csv' with labels.")
    rows = [*csv.reader(text.splitlines())]
    header = rows[0] if rows else []
    if column not in header:
        raise UnknownNameError.among(f"column of {path}.csv", column, header)
    return as_labels([row[header.index(column)] for row in rows[1:] if row])


def labels_of(given: LabelsLike, request: Request) -> Array:
    """The labels of the samples of a request, which may be a column of its table that the model does not read.

    Raises
    ------
    UnknownNameError
        There is no such column.
    """
    if not isinstance(given, str):
        return np.asarray(given)
    left = request.inputs.left
    if given not in left:
        raise UnknownNameError.among("column of the table that the model does not read", given, sorted(left))
    return as_labels(left[given])


def as_labels(cells: Array | Sequence[str]) -> Array:
    """Return cells as whole numbers or numbers if all are, else as text.

    Examples
    --------
    >>> as_labels(["1", "0"]), as_labels(["1.5", "2"]), as_labels(["1", "good"])
    (array([1, 0]), array([1.5, 2. ]), array(['1', 'good'], dtype='<U4'))
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
        return cells
    words = [str(cell) for cell in cells]
    for number in (int, float):
        try:
            return np.array([number(word) for word in words])
        except ValueError:
            pass
    return np.array(words)
