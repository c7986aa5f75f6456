"""Convert inputs of any supported form to arrays for a model, for Python and the command line."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from xaionnx.data.array_rows import ArraySlice
from xaionnx.data.arrays import read_array
from xaionnx.data.batch import read_inputs
from xaionnx.data.byte_files import ByteReading, read_files
from xaionnx.data.column_order import by_place
from xaionnx.data.files import Refusal
from xaionnx.data.frames import Frame, is_frame, is_series, series_cells
from xaionnx.data.inputs import Convertible, Given, Inputs, One, Reading, is_stream
from xaionnx.data.pixels import are_pixels, pictures_in
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_inputs import Declared, cells_of, is_column, is_row, is_table_file, table_parts, takes_columns
from xaionnx.data.tables import convert_cells
from xaionnx.data.texts import TextBatch, TextReading, read_texts
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import DataError, InputMismatchError
from xaionnx.typing import Array

# Reasons that a message lists.
_SHOWN_REASONS: Final = 3


def convert(
    given: Given,
    spec: InputSpec,
    main: Declared,
    others: Sequence[Declared] = (),
    reading: Reading | None = None,
    model: str = "the model",
) -> Inputs:
    """Convert the inputs that a user gives to arrays.

    Arrays that the model may accept are not changed. Files, folders, images of Pillow, and uint8 pixels (N, H, W, C),
    (H, W, C), (N, H, W) or (H, W), with 1, 3 or 4 channels C, that the model does not accept directly are converted
    according to the spec: see `read_inputs`. Frames of pandas, polars and pyarrow, CSV and Parquet files are converted
    column by column, by name, to the inputs of the model: see `xaionnx.data.table_inputs.table_parts`. Objects that
    numpy converts to an array, such as tensors of another library, are treated as that array.

    Parameters
    ----------
    given : array, mapping of arrays by input name, frame, path, PIL image, or list of paths and pictures
        In a mapping, the input ``main`` may have any of these forms, and the others may be frames and their columns. A
        mapping of single values by column is one row of a frame.
    spec : InputSpec
        Describes the input ``main``.
    main : Declared
        The input that is explained.
    others : sequence of Declared
        The model's other inputs. If there are any, a file must be a table with their columns, or a .npz file with an
        array for each.
    reading : Reading, optional
        How files and pictures are read.
    model : str
        Name of the model in messages.

    Returns
    -------
    Inputs
        The arrays are not checked against the model. Those read from files have the samples first.

    Raises
    ------
    DataError
        Nothing can be read.

    Examples
    --------
    >>> from xaionnx.runtime.tensors import TensorInfo
    >>> pixels = TensorInfo("pixels", np.dtype(np.float32), ("N", 3, 8, 8))
    >>> inputs = convert(Image.new("L", (16, 16)), InputSpec(size=(8, 8)), pixels)
    >>> inputs.arrays["pixels"].shape, inputs.notes
    ((1, 3, 8, 8), ('x[0]: gray is repeated to RGB',))
    """
    reading = reading or Reading()
    texts = _texts(given, spec, reading.text, model)
    if texts is not None:
        return Inputs(
            texts.arrays,
            texts.names,
            texts.sha256s,
            notes=texts.notes,
            refused=texts.refused,
            conversion=texts.conversion,
            texts=texts.texts,
            samples_first=frozenset(texts.arrays),
        )
    if is_series(given) and not is_frame(given):
        _check_is_column(main, others, model)
        given = {main.name: given}
    if _is_table(given, main, others):
        return _read_table([main, *others], given, spec, reading, model)
    given = _as_array(given, {one.name: one for one in (main, *others)}, spec, reading, model)
    if isinstance(given, Mapping):
        arrays = dict(given)
        if main.name not in arrays or not _is_convertible(arrays[main.name], spec, main):
            main_array = {name: _unconverted(array, main, model) for name, array in arrays.items() if name == main.name}
            return Inputs({name: np.asarray(array) for name, array in arrays.items()} | main_array)
        converted = convert(arrays[main.name], spec, main, (), reading, model)
        return dataclasses.replace(converted, arrays={**arrays, **converted.arrays})
    if not _is_convertible(given, spec, main):
        return Inputs({main.name: _unconverted(given, main, model)})
    if others:
        return _read_all_inputs(given, [main.name, *(one.name for one in others)], model, reading)
    return _read_files(given, spec, main, reading)


# Any: users may pass anything.
def _texts(given: Any, spec: InputSpec, reading: TextReading | ByteReading | None, model: str) -> TextBatch | None:
    """Read texts or the bytes of files; None if these are neither."""
    if reading is None:
        return None
    if isinstance(reading, ByteReading):
        return read_files(given, reading, model)
    return read_texts(given, spec, reading, model)


def _check_is_column(main: Declared, others: Sequence[Declared], model: str) -> None:
    """Check that a column of a frame can be the input.

    Raises
    ------
    InputMismatchError
        It takes several.
    """
    if others or not is_column(main):
        raise InputMismatchError(
            f"A column of a frame is not a row for {model}. Pass the frame, some of its rows, or a row with the names "
            "of its columns, as frame.iloc[3] of pandas is."
        )


def _read_files(given: Array | Convertible, spec: InputSpec, main: Declared, reading: Reading) -> Inputs:
    """Read files and pictures, each with samples of the only input."""
    sources = _sources(given, spec)
    paths = [Path(source) if isinstance(source, os.PathLike) else source for source in sources]
    if takes_columns(spec, main) and all(is_table_file(path) for path in paths):
        spec = dataclasses.replace(spec, kind="table")
    batch, refused = read_inputs(
        paths,
        spec,
        main.dtype,
        reading.exif,
        reading.display_side,
        reading.nan(main.name),
        reading.batch_first,
        reading.series,
        reading.chosen,
    )
    displays: list[Array] | None = batch.displays and list(batch.displays)
    return Inputs(
        {main.name: batch.x},
        batch.names,
        batch.sha256s,
        displays,
        batch.notes,
        tuple(refused),
        batch.conversion,
        spec.guessed and batch.conversion is not None,
        rate=batch.rate,
        columns={main.name: batch.columns} if batch.columns else {},
        by_place=batch.by_place,
        left=batch.left,
        samples_first=frozenset({main.name}),
    )


def _is_table(given: object, main: Declared, others: Sequence[Declared]) -> bool:
    """Whether the columns of what is given are divided among the inputs here."""
    if isinstance(given, Mapping):
        return is_row(given, [main, *others])
    return is_frame(given) or (bool(others) and is_table_file(given))


def _read_table(
    inputs: Sequence[Declared], given: Frame | str | os.PathLike[str], spec: InputSpec, reading: Reading, model: str
) -> Inputs:
    """Read a frame, or a file with columns for all inputs; the first input is the explained one."""
    main = inputs[0]
    if len(inputs) == 1 and not takes_columns(spec, main):
        raise InputMismatchError(
            f"Input '{main.name}' of {model} has the kind '{spec.kind}', which rows of a table are not. Pass an array."
        )
    cells = cells_of(given, reading.chosen)
    parts = table_parts(cells, inputs, main, spec, model)
    rows = convert_cells(cells, parts, spec, reading.nan)
    if not rows.kept:
        raise _nothing_left(rows.refused)
    wide = [part for part in parts if len(part.columns) > 1]
    unnamed = [part.columns for part in wide if not spec.columns]
    notes = [by_place(columns) for columns in unnamed]
    each = "a column each by its name" if len(parts) > len(wide) else ""
    whole = " and ".join(f"'{part.input}' takes {len(part.columns)} columns by name" for part in wide if spec.columns)
    return Inputs(
        rows.arrays,
        tuple(cells.names[row] for row in rows.kept),
        (cells.sha256,) * len(rows.kept),
        notes=(*notes, *rows.notes),
        refused=tuple(rows.refused),
        conversion="; ".join(filter(None, [f"inputs take {each}" if each else "", whole])) or None,
        guessed=bool(unnamed),
        # Numbers of columns are no names.
        columns={p.input: p.columns for p in parts if not all(name.isdecimal() for name in p.columns)},
        by_place=unnamed[0] if unnamed else (),
        left=rows.left,
        samples_first=frozenset(rows.arrays),
    )


def _nothing_left(refused: Sequence[Refusal]) -> DataError:
    if len(refused) == 1:
        return refused[0].error
    reasons = " ".join(str(refusal) for refusal in refused[:_SHOWN_REASONS])
    more = f" ... and {len(refused) - _SHOWN_REASONS} more." if len(refused) > _SHOWN_REASONS else ""
    return DataError(f"Nothing could be read. {reasons}{more}")


def _as_array(
    # Any: users may pass anything.
    given: Any,
    inputs: Mapping[str, Declared],
    spec: InputSpec,
    reading: Reading,
    model: str,
) -> Any:  # Any: users may pass anything
    """Convert objects with ``__array__`` to arrays, also in lists and mappings; return anything else unchanged.

    Frames and columns of frames, by the name of an input, are converted to its type.
    """
    if isinstance(given, Mapping):
        return {
            name: _columns_of_input(one, inputs[name], spec, reading, model)
            if name in inputs and (is_frame(one) or is_series(one))
            else _as_array(one, {}, spec, reading, model)
            for name, one in given.items()
        }
    if isinstance(given, list | tuple):
        return [whole_array(one) if hasattr(one, "__array__") else one for one in given]
    if isinstance(given, np.generic | Image.Image) or not hasattr(given, "__array__"):
        return given
    return whole_array(given)


def _columns_of_input(given: Frame, one: Declared, spec: InputSpec, reading: Reading, model: str) -> Array:
    """The array of an input that is given as a frame or as one column of a frame."""
    cells = series_cells(given, one.name) if is_series(given) else cells_of(given)
    own = spec if spec.name in (None, one.name) else InputSpec(kind="table")
    rows = convert_cells(cells, table_parts(cells, [one], one, own, model), own, reading.nan)
    if rows.refused:
        raise rows.refused[0].error
    return rows.arrays[one.name]


def _unconverted(given: object, main: Declared, model: str) -> Array:
    """Return an input for the model as an array, without conversion."""
    if is_stream(given):
        raise InputMismatchError(
            f"Input '{main.name}' of {model} must be given as a whole, and this {type(given).__name__} gives samples "
            "one by one. Pass a list of them, or explain them in parts with xaionnx.explain_all."
        )
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise InputMismatchError(
            f"Input '{main.name}' of {model} must be an array, and the items of this {type(given).__name__} make none: "
            "they differ in shape. Pass samples of one shape, without their labels."
        ) from error
    if array.dtype == object and main.dtype.kind != "U":
        raise InputMismatchError(
            f"Input '{main.name}' of {model} must be an array, a path, a PIL image, or a list of paths and pictures. "
            f"Got {_objects(given, main)}."
        )
    return array


def _objects(given: object, main: Declared) -> str:
    """What is no array of numbers, for a message."""
    if isinstance(given, np.ndarray):
        return (
            "an array of the type object instead, as frame.to_numpy() makes of columns of several types. Pass the "
            f"frame or, if all are numbers, convert it with astype('{main.dtype}')"
        )
    kind = "None" if given is None else f"a {type(given).__name__}"
    return f"{kind} instead, which numpy cannot convert to numbers"


def _is_convertible(given: object, spec: InputSpec, main: Declared) -> bool:
    if main.dtype.kind == "U":
        # Strings are data for such a model, not paths.
        return isinstance(given, os.PathLike) or is_table_file(given)
    if isinstance(given, list | tuple):
        if any(isinstance(item, str | os.PathLike | Image.Image) for item in given):
            return True
        pixels = len(given) > 0 and spec.kind == "picture" and all(are_pixels(i) and i.ndim < 4 for i in given)
        return pixels and not _accepts_uint8(main, given[0].shape)
    if isinstance(given, str | os.PathLike | Image.Image | ArraySlice):
        return True
    return spec.kind == "picture" and are_pixels(given) and not _accepts_uint8(main, given.shape[1:])


def _accepts_uint8(main: Declared, shape: Sequence[int]) -> bool:
    """Whether the model accepts uint8 samples of this shape directly."""
    declared = main.shape[1:]
    fits = len(declared) == len(shape) and all(
        not isinstance(size, int) or size == given for size, given in zip(declared, shape, strict=True)
    )
    return main.dtype.kind == "u" and fits


def _sources(given: Array | Convertible, spec: InputSpec) -> list[One]:
    """Return a list of files and pictures: the items of a list, the pictures of an array, or the single one."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        for number, item in enumerate(given):
            if not (isinstance(item, str | os.PathLike | Image.Image | ArraySlice) or are_pixels(item)):
                raise InputMismatchError(
                    f"The list holds files and pictures, but its item {number} is of the type {type(item).__name__}. "
                    "Leave out what is none; a data set takes pairs of a sample and its label."
                )
        return list(given)
    return list(pictures_in(given, spec.color, "x")) if isinstance(given, np.ndarray) else [given]


def _read_all_inputs(given: object, names: Sequence[str], model: str, reading: Reading) -> Inputs:
    """Read the arrays of all inputs by name from one .npz file; the first name is that of the explained input."""
    needed = f"an array for each by name: {', '.join(names)}"
    if not isinstance(given, str | os.PathLike):
        raise InputMismatchError(f"{model} has {len(names)} inputs. Pass a dict with {needed}.")
    path = Path(given)
    if path.suffix.lower() != ".npz":
        raise InputMismatchError(f"'{path}': {model} has {len(names)} inputs. Pass a .npz file with {needed}.")
    # Which of them may be a single number is checked against the model.
    files = {name: read_array(path, name, single=name != names[0]) for name in names}
    main = files[names[0]]
    count = len(reading.batch_first(main.array))
    notes = dict.fromkeys(f"{path.name}: {note}" for file in files.values() for note in file.notes)
    return Inputs(
        {name: file.array for name, file in files.items()},
        tuple(f"{path}[{n}]" for n in range(count)),
        (main.sha256,) * count,
        notes=tuple(notes),
    )
