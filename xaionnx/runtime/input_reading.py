"""What users give to a model, read as its inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from xaionnx.data.conversion import convert
from xaionnx.data.files_by_input import read_beside
from xaionnx.data.inputs import Given, Inputs, Reading
from xaionnx.data.row_numbers import RowNumbers
from xaionnx.data.series_files import SeriesLayout
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_inputs import is_row, takes_columns
from xaionnx.data.texts import TextOptions
from xaionnx.errors import InputMismatchError
from xaionnx.graph.missing_values import nan_handling
from xaionnx.runtime.axes import samples_first
from xaionnx.runtime.token_inputs import text_reading
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.runtime.model import Model
    from xaionnx.runtime.tensors import TensorInfo

_NAN_WORDS: Final[Mapping[str | None, str]] = {
    "routed": "which the model takes as a missing value",
    "compared": "which is on the side of false in each comparison of the model",
}


def read_inputs(  # noqa: PLR0913 - the options of Model.read
    model: Model,
    x: Given,
    partial: bool,
    exif: bool,
    display_side: int | None,
    text: TextOptions,
    rows: RowNumbers | None,
    ignore: Sequence[str] = (),
) -> Inputs:
    """Return the checked inputs that users give in one of many forms: see :meth:`xaionnx.runtime.model.Model.read`.

    Raises
    ------
    DataError
        Something cannot be read.
    InputMismatchError
        The data do not fit the model.
    """
    main = model.input()
    spec = _ignoring(model.input_spec, main, ignore)
    others = [info for info in model.inputs if info.name != main.name]
    axis = None if model.is_derived else model.axes.sample_axes().get(main.name, 0)

    def batch_first(array: Array) -> Array:
        return samples_first(array, axis, len(main.shape))

    def layout(name: str) -> SeriesLayout | None:
        return _series_layout(model, name)

    beside = None
    if isinstance(x, Mapping) and not is_row(x, model.inputs):
        beside = read_beside(x, main, model.inputs, spec, layout, exif)
        x = beside.arrays
    reading = Reading(
        exif, display_side, model.nan_words, batch_first, layout(main.name), text_reading(model, x, text, rows), rows
    )
    inputs = convert(x, spec, main, others, reading, model.name)
    if beside is not None:
        inputs = replace(inputs, notes=(*inputs.notes, *beside.notes), columns=inputs.columns | beside.columns)
    if inputs.refused and not partial:
        raise inputs.refused[0].error
    try:
        checked = replace(inputs, arrays=model.check(inputs.arrays, inputs.samples_first))
    except InputMismatchError as error:
        if not isinstance(x, str | os.PathLike):
            raise
        raise InputMismatchError(f"'{os.fspath(x)}': {error}") from error
    # The arrays of all inputs of one file are first checked against each other.
    return checked if rows is None or inputs.samples_first else _chosen(model, checked, rows)


def _ignoring(spec: InputSpec, main: TensorInfo, columns: Sequence[str]) -> InputSpec:
    """The spec, which also ignores ``columns`` of tables that it does not list as inputs."""
    more = [name for name in columns if name not in (*spec.columns, *spec.ignore)]
    if not more or not takes_columns(spec, main):
        return spec
    return replace(spec, kind="table", ignore=(*spec.ignore, *more))


def _chosen(model: Model, inputs: Inputs, rows: RowNumbers) -> Inputs:
    """Return the inputs of some of the samples."""
    count = len(inputs.arrays[model.input().name])
    kept = rows.of(count, "The file")
    arrays = {name: array if name in model.shared else array[kept] for name, array in inputs.arrays.items()}
    names, sha256s = inputs.names, inputs.sha256s
    return replace(inputs, arrays=arrays, names=tuple(names[n] for n in kept), sha256s=tuple(sha256s[n] for n in kept))


def _series_layout(model: Model, name: str) -> SeriesLayout | None:
    """Return how the time axis and channels of an input lie; None if a sample of it is no series."""
    sample_axis = model.axes.sample_axes().get(name, 0)
    shape = next(info.shape for info in model.inputs if info.name == name)
    sizes = [size for axis, size in enumerate(shape) if axis != sample_axis]
    return SeriesLayout.of(sizes, model.axes.of_sample(name))


def nan_words(model: Model, name: str) -> str:
    """Return what a model does with NaN in an input, in words; empty if it does not take missing values."""
    handling = nan_handling(model.view, name) if model.input(name).dtype.kind == "f" else None
    return _NAN_WORDS.get(handling, "")
