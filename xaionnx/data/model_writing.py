"""Write a model whose weights lie in files beside it, whole or not at all.

Two files cannot be renamed at once. So a file of weights that an earlier model of the same name still reads is left
until the new model has taken that name, and the new weights get another name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from onnx import numpy_helper

from xaionnx.data.storage import removed_on_failure, write_whole
from xaionnx.errors import UnsupportedModelError
from xaionnx.loading.external_data import tensors
from xaionnx.loading.read_file import sha256_of_file
from xaionnx.loading.serialized import serialized

# Smaller tensors, among them shapes that are read while a model is opened, stay in the model.
_SMALLEST: Final = 1024
# Of a page, so that a file can be mapped into memory.
_ALIGNED: Final = 4096


def write_model(
    path: Path,
    model: onnx.ModelProto,
    weights: Mapping[str, Callable[[BinaryIO], object]],
    sources: Collection[Path] = (),
    replace: bool = False,
) -> tuple[Path, ...]:
    """Write a model and its files of weights, and return their paths.

    Parameters
    ----------
    path : Path
        The model.
    model : onnx.ModelProto
        Locations of its external data that are keys of ``weights`` are changed, in place, to the names of the files.
    weights : mapping of str to function
        Writes one file of weights each, named after the model: ``m.onnx.data``, or ``m.onnx.0.data`` and so on if
        there are several. If there is such a file with other content, which the earlier model at ``path`` reads, a
        part of the hash is added. It is removed once the model is written.
    sources : collection of Path, resolved
        Files that are not removed.
    replace : bool
        Whether other files of these names may be replaced; otherwise they count as those of an earlier model.

    Raises
    ------
    StorageError
        A file cannot be written. The earlier model and its weights are as they were.
    UnsupportedModelError
        The model without these weights is larger than 2 GiB.
    """
    read = locations(path)
    earlier = {path.parent / name for name in read}
    numbers = [""] if len(weights) == 1 else [f".{number}" for number in range(len(weights))]
    with removed_on_failure() as made:
        names: dict[str, str] = {}
        for (location, write), number in zip(weights.items(), numbers, strict=True):
            base = path.with_name(f"{path.name}{number}.data")
            file, is_new = _write_weights(base, write, replace and base not in earlier)
            made += [file] if is_new else []
            names[location] = file.name
        for entry in _entries(model):
            entry.value = names.get(entry.value, entry.value)
        content = serialized(model)
        if content is None:
            raise UnsupportedModelError(
                f"{path.name} would be larger than 2 GiB without its weights. Give fewer or smaller models."
            )
        write_whole(path, lambda stream: stream.write(content))
    kept = {path.parent / entry.value for entry in _entries(model)}
    for old in earlier - kept:
        if old.name.startswith(f"{path.name}.") and old.parent == path.parent and old.resolve() not in sources:
            with contextlib.suppress(OSError):
                old.unlink()
    return (path, *(path.parent / name for name in names.values()))


def locations(path: Path) -> set[str]:
    """Return the names of the external files of the model at ``path``; none if there is no model."""
    try:
        return {entry.value for entry in _entries(onnx.load(path, load_external_data=False))}
    except (OSError, DecodeError):
        return set()


def take_out_weights(model: onnx.ModelProto, location: str) -> Callable[[BinaryIO], None]:
    """Take the large tensors out of ``model``, in place, and return what writes them into a file of that location."""
    taken: list[bytes] = []
    size = 0
    for tensor in tensors(model):
        large = tensor.ByteSize() >= _SMALLEST and tensor.data_type != onnx.TensorProto.STRING
        if not large or tensor.data_location == onnx.TensorProto.EXTERNAL:
            continue
        data = tensor.raw_data or numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        gap = -size % _ALIGNED
        taken += [bytes(gap), data]
        size += gap
        facts = {"location": location, "offset": str(size), "length": str(len(data))}
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in facts.items())
        size += len(data)
    return lambda stream: stream.writelines(taken)


def _entries(model: onnx.ModelProto) -> Iterator[onnx.StringStringEntryProto]:
    """The entries of external data that hold a location."""
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry for entry in tensor.external_data if entry.key == "location")


def _write_weights(base: Path, write: Callable[[BinaryIO], object], replace: bool) -> tuple[Path, bool]:
    """Write a file of weights; return its path, and whether it is a new one."""
    is_new = True

    def name(temporary: Path, target: Path) -> Path:
        nonlocal is_new
        if replace:
            return temporary.replace(target)
        if _link(temporary, target):
            return target
        digest = sha256_of_file(temporary)
        for file in (target, *(target.with_name(f"{target.stem}.{digest[:size]}.data") for size in (8, 64))):
            if _link(temporary, file):
                return file
            if file.is_file() and file.stat().st_size == temporary.stat().st_size and sha256_of_file(file) == digest:
                is_new = False
                return file
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    return write_whole(base, write, name), is_new


def _link(temporary: Path, target: Path) -> bool:
    """Give a file another name unless there is one of this name; return whether it has it."""
    if os.path.lexists(target):
        return False
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links.
        temporary.replace(target)
    return True
