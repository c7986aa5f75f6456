"""External data of an ONNX file: the location of its weights, and whether they may be read.

A location comes from the file, so it is untrusted: it could name ``/etc/passwd``. onnx and onnxruntime have followed
such names before (CVE-2024-27318), so each one is checked here before anything opens it.
"""

from __future__ import annotations

import math
import ntpath
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.numpy_helper

from xaionnx.loading.refusal import refusal

if TYPE_CHECKING:
    from xaionnx.typing import Array

_BITS_OF_TYPES = {
    2: "UINT2 INT2",
    4: "UINT4 INT4 FLOAT4E2M1",
    8: "UINT8 INT8 BOOL FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0",
    16: "UINT16 INT16 FLOAT16 BFLOAT16",
    32: "UINT32 INT32 FLOAT",
    64: "UINT64 INT64 DOUBLE COMPLEX64",
    128: "COMPLEX128",
}
_BITS: dict[int, int] = {
    onnx.TensorProto.DataType.Value(name): bits for bits, names in _BITS_OF_TYPES.items() for name in names.split()
}

# onnxruntime interprets this location as an address in its memory.
_MEMORY_ADDRESS = "_ORT_MEM_ADDR_"


@dataclass(frozen=True)
class ExternalFile:
    """A checked file: its location as written in the model, and its path."""

    location: str
    path: Path


def external_files(shown: str, proto: onnx.ModelProto, folder: Path) -> tuple[ExternalFile, ...]:
    """Return the external files of the model's tensors, each checked, sorted by location.

    Parameters
    ----------
    shown : str
        The model's path as its user wrote it, for messages.
    proto : onnx.ModelProto
    folder : Path
        The model's folder, resolved.

    Raises
    ------
    ModelFileError
        A location is absolute, leaves the folder, or is not a regular file with one hard link; or a tensor's bytes
        lie beyond its end.
    """
    sizes: dict[str, int] = {}
    files: dict[str, ExternalFile] = {}
    for tensor in tensors(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = _read_entries(shown, tensor)
        location = entries["location"]
        if location not in files:
            files[location], sizes[location] = _check_location(shown, location, folder)
        _check_extent(shown, tensor, entries, files[location], sizes[location])
    return tuple(files[location] for location in sorted(files))


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor stored in the model: weights and attributes, nested graphs and functions included."""
    graphs = [proto.graph]
    for training in proto.training_info:
        graphs += [training.initialization, training.algorithm]
    nodes = [node for function in proto.functions for node in function.node]
    for function in proto.functions:
        for attribute in function.attribute_proto:
            yield from _attribute_tensors(attribute, graphs)
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield sparse.values
                yield sparse.indices
            nodes.extend(graph.node)
        while nodes:
            for attribute in nodes.pop().attribute:
                yield from _attribute_tensors(attribute, graphs)


def _attribute_tensors(attribute: onnx.AttributeProto, graphs: list[onnx.GraphProto]) -> Iterator[onnx.TensorProto]:
    # Check each field, since the declared type may be wrong.
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else attribute.sparse_tensors:
        yield sparse.values
        yield sparse.indices
    if attribute.HasField("g"):
        graphs.append(attribute.g)
    graphs.extend(attribute.graphs)


def _read_entries(shown: str, tensor: onnx.TensorProto) -> dict[str, str]:
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if not isinstance(entry.key, str) or not isinstance(entry.value, str):  # bytes if it is not UTF-8
            raise refusal(
                f"{shown}: the external data of tensor '{tensor.name}' contain text that is not UTF-8. "
                "Export the model again."
            )
        if entry.key in entries:
            # Two readers could use different entries.
            raise refusal(
                f"{shown}: the external data of tensor '{tensor.name}' give '{entry.key}' twice. "
                "Export the model again."
            )
        entries[entry.key] = entry.value
    if not entries.get("location"):
        raise refusal(f"{shown}: tensor '{tensor.name}' has external data without a location. Export the model again.")
    return entries


def _check_location(shown: str, location: str, folder: Path) -> tuple[ExternalFile, int]:
    prefix = f"{shown}: external data '{location}'"
    if posixpath.isabs(location) or ntpath.isabs(location) or ntpath.splitdrive(location)[0]:
        raise refusal(f"{prefix} is an absolute path. Save the model with its weights beside it.")
    if ".." in location.replace("\\", "/").split("/") or "\0" in location or _MEMORY_ADDRESS in location:
        raise refusal(f"{prefix} leads out of the model's folder. Save the model with its weights beside it.")
    try:
        path = (folder / location).resolve(strict=True)
        status = path.stat()
    except (OSError, RuntimeError):
        if Path(shown).is_symlink():
            # Download caches keep a model and its weights as links to two unrelated files.
            raise refusal(
                f"{prefix} is missing from {folder}, where {shown} links to. "
                "Copy the model and its external data, not links, into one folder."
            ) from None
        raise refusal(f"{prefix} is missing from {folder}. Put the file there.") from None
    if not path.is_relative_to(folder):
        raise refusal(f"{prefix} is a link out of the model's folder. Copy the file to {folder}.")
    if not stat.S_ISREG(status.st_mode):
        raise refusal(f"{prefix} is not a regular file. Save the model with its weights beside it.")
    if status.st_nlink != 1:
        # Another name may belong to another folder and owner, who could change the content.
        raise refusal(f"{prefix} is a hard-linked file, with {status.st_nlink} names. Copy it to a file of its own.")
    return ExternalFile(location, path), status.st_size


def _check_extent(shown: str, tensor: onnx.TensorProto, entries: dict[str, str], file: ExternalFile, size: int) -> None:
    numbers = {}
    for key in ("offset", "length"):
        text = entries.get(key, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 20):
            raise refusal(
                f"{shown}: the {key} of tensor '{tensor.name}' in '{file.location}' must be a whole number of bytes. "
                f"Got '{text}' instead."
            )
        numbers[key] = int(text) if text else None
    offset = numbers["offset"] or 0
    length = max(size - offset, 0) if numbers["length"] is None else numbers["length"]
    bits = _BITS.get(tensor.data_type)
    needed = length if bits is None else (math.prod(tensor.dims) * bits + 7) // 8
    if offset + max(length, needed) > size:
        raise refusal(
            f"{shown}: external data '{file.location}' {_shortage_words(file.path, size)}: tensor '{tensor.name}' "
            f"needs bytes {offset:,} to {offset + max(length, needed):,}, and the file has {size:,}. "
            f"{_next_step(file.path, size)}"
        )
    if numbers["length"] is not None and length != needed:
        raise refusal(
            f"{shown}: tensor '{tensor.name}' in '{file.location}' has {length:,} bytes, and its shape needs "
            f"{needed:,}. Export the model again."
        )


def _is_pointer(path: Path, size: int) -> bool:
    if size > 1024:
        return False
    with path.open("rb") as file:
        return file.read(64).startswith(b"version https://git-lfs.github.com/spec/")


def _shortage_words(path: Path, size: int) -> str:
    return "is a Git LFS pointer, not the weights" if _is_pointer(path, size) else "is too short"


def _next_step(path: Path, size: int) -> str:
    return "Run 'git lfs pull' in its folder." if _is_pointer(path, size) else "Download or copy it again."


def read_weight(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Return the numbers of a tensor, from its external file in ``folder`` if it has one, which has been checked."""
    return np.asarray(onnx.numpy_helper.to_array(tensor, base_dir=str(folder)))
