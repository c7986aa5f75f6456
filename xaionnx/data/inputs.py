"""Inputs in any form that users have them in, as arrays of a model: the one place for Python and the command line."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from xaionnx.data.arrays import read_array
from xaionnx.data.batch import read_inputs
from xaionnx.data.files import Refusal
from xaionnx.data.pixels import are_pixels, pictures_in
from xaionnx.data.spec import InputSpec
from xaionnx.errors import InputMismatchError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document, DType, Facts

# One sample or several: ready arrays, a file or folder, a picture in memory, or a list of files and pictures.
Convertible = str | os.PathLike[str] | Image.Image | Sequence[str | os.PathLike[str] | Image.Image | Array]
# Of a mapping the arrays of other inputs are taken as they are: anything that numpy makes an array of.
Given = Array | Facts | Convertible


class Declared(Protocol):
    """An input as the model declares it; a TensorInfo is one."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int | str | None, ...]: ...


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples as arrays, and where they come from.

    Attributes
    ----------
    arrays : dict of arrays by input name
    names : tuple of str
        One a sample, as in `InputBatch`; empty where arrays were given, which need no conversion.
    sha256s : tuple of str or None
        One a sample: the hash of the file it came from; None in memory.
    displays : list of uint8 array (H, W, 3), or None
        What the model sees of each picture.
    notes : tuple of str
        What was converted or left undone, and the spec where it was guessed.
    refused : tuple of Refusal
        Files and rows that were left out.
    conversion : str or None
        As in `InputBatch`.
    guessed : bool
        Whether they were converted by a spec that was guessed from the model's shapes; the first note says so.
    """

    arrays: dict[str, Array]
    names: tuple[str, ...] = ()
    sha256s: tuple[str | None, ...] = ()
    displays: list[Array] | None = None
    notes: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    conversion: str | None = None
    guessed: bool = False

    __repr__ = short_repr

    def provenance(self) -> Document:
        """The samples' files and what was converted, for a record; empty where arrays were given."""
        if not self.names:
            return {}
        told: Document = {
            "inputs": list(self.names),
            "file_sha256": list(self.sha256s),
            "conversions": [*filter(None, [self.conversion]), *self.notes],
        }
        return told | {"guessed_spec": True} if self.guessed else told


def convert(
    given: Given,
    spec: InputSpec,
    main: Declared,
    others: Sequence[str] = (),
    exif: bool = False,
    display_side: int | None = None,
    model: str = "the model",
) -> Inputs:
    """Make arrays of what a user gives.

    Arrays that the model may take are left as they are. Files, folders, pictures that are open in Pillow, and uint8
    pixels (N, H, W, C), (H, W, C), (N, H, W) or (H, W), with 1, 3 or 4 channels C, for a model that does not take them
    as they are, are converted as the spec says: see `read_inputs`. What numpy can make an array of, such as a tensor of
    another library, counts as that array.

    Parameters
    ----------
    given : array, mapping of arrays by input name, path, PIL image, or list of paths and pictures
        In a mapping the input ``main`` may be in any of these forms.
    spec : InputSpec
        What the input ``main`` takes.
    main : Declared
        The input that is explained.
    others : sequence of str
        Names of the model's other inputs. A file is then a .npz file with an array for each.
    exif, display_side
        See `read_inputs`.
    model : str
        How messages call the model.

    Returns
    -------
    Inputs
        With arrays that have not been checked against the model.

    Raises
    ------
    DataError
        Nothing can be read at all.

    Examples
    --------
    >>> from xaionnx.runtime.tensors import TensorInfo
    >>> pixels = TensorInfo("pixels", np.dtype(np.float32), ("N", 3, 8, 8))
    >>> found = convert(Image.new("L", (16, 16)), InputSpec(size=(8, 8)), pixels)
    >>> found.arrays["pixels"].shape, found.notes
    ((1, 3, 8, 8), ('x[0]: gray is repeated to RGB',))
    """
    given = _as_array(given)
    if isinstance(given, Mapping):
        arrays = dict(given)
        if main.name not in arrays or not _is_convertible(arrays[main.name], spec, main):
            own = {name: _own_form(array, main, model) for name, array in arrays.items() if name == main.name}
            return Inputs({name: np.asarray(array) for name, array in arrays.items()} | own)
        found = convert(arrays[main.name], spec, main, (), exif, display_side, model)
        return dataclasses.replace(found, arrays={**arrays, **found.arrays})
    if not _is_convertible(given, spec, main):
        return Inputs({main.name: _own_form(given, main, model)})
    if others:
        return _named_arrays(given, [main.name, *others], model)
    sources = _sources(given, spec)
    paths = [Path(source) if isinstance(source, os.PathLike) else source for source in sources]
    batch, refused = read_inputs(paths, spec, main.dtype, exif, display_side)
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
    )


def _as_array(given: Any) -> Any:  # whatever a user gives
    """What numpy makes an array of by itself as that array, also in a list or a mapping; all else as it is."""
    if isinstance(given, Mapping):
        return {name: _as_array(one) for name, one in given.items()}
    if isinstance(given, list | tuple):
        return [_as_array(one) for one in given] if any(hasattr(one, "__array__") for one in given) else given
    if isinstance(given, np.ndarray | np.generic | Image.Image) or not hasattr(given, "__array__"):
        return given
    return np.asarray(given)


def _own_form(given: Any, main: Declared, model: str) -> Array:
    """What is given as an array in the model's own form."""
    array = np.asarray(given)
    if array.dtype == object and main.dtype.kind != "U":
        kind = "None" if given is None else f"a {type(given).__name__}"
        raise InputMismatchError(
            f"Input '{main.name}' of {model} takes an array, a path, a PIL image, or a list of paths and pictures. "
            f"Got {kind} instead, of which numpy makes no array of numbers."
        )
    return array


def _is_convertible(given: Any, spec: InputSpec, main: Declared) -> bool:  # whatever a user gives
    if main.dtype.kind == "U":
        # Strings are the data of such a model, and no paths.
        return isinstance(given, os.PathLike)
    if isinstance(given, list | tuple):
        if any(isinstance(item, str | os.PathLike | Image.Image) for item in given):
            return True
        pixels = len(given) > 0 and spec.kind == "picture" and all(are_pixels(i) and i.ndim < 4 for i in given)
        return pixels and not _takes(main, given[0].shape)
    if isinstance(given, str | os.PathLike | Image.Image):
        return True
    return spec.kind == "picture" and are_pixels(given) and not _takes(main, given.shape[1:])


def _takes(main: Declared, shape: Sequence[int]) -> bool:
    """Whether the model itself takes uint8 samples of this shape."""
    declared = main.shape[1:]
    fits = len(declared) == len(shape) and all(
        not isinstance(size, int) or size == given for size, given in zip(declared, shape, strict=True)
    )
    return main.dtype.kind == "u" and fits


def _sources(given: Any, spec: InputSpec) -> list[Any]:
    """What is given as a list: its items, the pictures of an array, or the one file or picture that it is."""
    if isinstance(given, list | tuple):
        return list(given)
    return pictures_in(given, spec.color, "x") if isinstance(given, np.ndarray) else [given]


def _named_arrays(given: Any, names: Sequence[str], model: str) -> Inputs:
    """The arrays of all inputs, by name, from one .npz file; the first name is that of the explained one."""
    needed = f"an array for each by name: {', '.join(names)}"
    if not isinstance(given, str | os.PathLike):
        raise InputMismatchError(f"{model} has {len(names)} inputs. Pass a dict that holds {needed}.")
    path = Path(given)
    if path.suffix.lower() != ".npz":
        raise InputMismatchError(f"'{path}': {model} has {len(names)} inputs. Pass a .npz file that holds {needed}.")
    files = {name: read_array(path, name) for name in names}
    main = files[names[0]]
    notes = dict.fromkeys(f"{path.name}: {note}" for file in files.values() for note in file.notes)
    return Inputs(
        {name: file.array for name, file in files.items()},
        tuple(f"{path}[{n}]" for n in range(len(main.array))),
        (main.sha256,) * len(main.array),
        notes=tuple(notes),
    )
