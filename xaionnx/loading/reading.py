"""Read one ONNX file: parse it without its external data, hash it, and check it."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from xaionnx.errors import ModelFileError
from xaionnx.loading import file_kinds, limits, soundness, tree_limits
from xaionnx.loading.external_data import ExternalFile, external_files
from xaionnx.loading.read_file import ReadFile, stamp_of
from xaionnx.loading.refusal import refusal
from xaionnx.loading.serialized import LARGEST_FILE
from xaionnx.short_repr import short_repr

# The first IR version in which weights need not be listed among the inputs.
WEIGHTS_APART = 4


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file that was read and checked.

    Attributes
    ----------
    path : Path
        Absolute path with symbolic links resolved. External data lie in its folder or below.
    sha256 : str
        64 hex digits. Without external data: the hash of the file, as ``sha256sum model.onnx`` prints it. With external
        data: the hash of a text with one line ``<digits>  -`` for the model file and one line ``<digits>  <location>``
        for each external file, sorted by location. It changes if any of the files changes, but not if the model is
        renamed or moved.
    proto : onnx.ModelProto
        The parsed model, without external data. It is shared: treat it as read-only. In descriptions such as
        ``doc_string``, bytes that are not UTF-8 are replaced.
    external : tuple of Path
        The external files, checked and resolved, sorted by location.
    opset : int
        Version of the default domain (``ai.onnx``); 0 if the model imports only other domains.
    domains : dict of str to int
        Version by domain, with the default domain under ``""``.
    random_ops : tuple of str
        Ops whose output differs between runs, as ``"RandomNormal (node 'n')"``; includes Dropout in training mode.
    """

    path: Path
    sha256: str
    proto: onnx.ModelProto
    external: tuple[Path, ...]
    opset: int
    domains: dict[str, int]
    random_ops: tuple[str, ...]
    # The model file and the external ones, as they were.
    files: tuple[ReadFile, ...] = field(default=(), repr=False, compare=False)

    __repr__ = short_repr

    def check_unchanged(self, *, weights_alone: bool) -> None:
        """Check that the external files, and the model file unless ``weights_alone``, are as they were when read.

        The content of a file is read again only if its size or the time of its last change differs.

        Raises
        ------
        ModelFileError
            One has changed or gone.
        """
        for file in self.files[1:] if weights_alone else self.files:
            file.check_stamp()

    def weights(self) -> Mapping[Path, ReadFile]:
        """Return the external files as they were when they were read, by path."""
        return {file.path: file for file in self.files[1:]}


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read one ONNX file without loading its external data.

    Parameters
    ----------
    path : str or path-like
        The ``.onnx`` file. External data must lie beside it or below.

    Returns
    -------
    ModelFile

    Raises
    ------
    ModelFileError
        The file is missing, damaged, unsafe, of another format, or contains a graph that onnxruntime could not run.

    Notes
    -----
    Shapes and types are not inferred here: onnxruntime infers them when it opens the file, and a model whose declared
    shapes are outdated still runs. See `diagnose`.

    Examples
    --------
    >>> read_model("README.md")
    Traceback (most recent call last):
    xaionnx.errors.ModelFileError: README.md is a text file, not an ONNX model. Give the path of the .onnx file.
    """
    if not isinstance(path, str | os.PathLike):
        raise refusal(
            f"A model is given as a Model, or as the path of its .onnx file. Got {type(path).__name__} instead"
            f"{'; save it first: onnx.save(model, path).' if isinstance(path, onnx.ModelProto) else '.'}"
        )
    shown = os.fspath(path)
    if not shown:
        raise refusal("The path of the model is empty. Give the path of its .onnx file.")
    if "\0" in shown:
        raise refusal(f"No file {shown}: its path contains a zero byte. Check the path.")
    try:
        resolved = Path(path).resolve(strict=True)
        status = resolved.stat()
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        raise _unreadable_error(shown, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise refusal(file_kinds.refuse_folder(shown, resolved))
    if not stat.S_ISREG(status.st_mode):
        raise refusal(f"{shown} is not a regular file. Give the path of the .onnx file.")
    if status.st_size == 0:
        raise refusal(f"{shown} is empty (0 bytes). Download or copy it again.")
    try:
        proto, digest = _parse(shown, resolved, status.st_size)
        own = ReadFile(resolved, digest, stamp_of(status))
        external = external_files(shown, proto, resolved.parent)
        limits.make_readable(proto)
        census = soundness.check(shown, proto)
        limits.check_declared(shown, proto)
        tree_limits.check_trees(shown, proto.graph.node)
        weights = [ReadFile.of(file.path) for file in external]
        return ModelFile(
            path=resolved,
            sha256=_combined_sha256(digest, external, weights),
            proto=proto,
            external=tuple(file.path for file in external),
            opset=census.domains.get("", 0),
            domains=census.domains,
            random_ops=census.random_ops,
            files=(own, *weights),
        )
    except OSError as error:
        other = error.filename is not None and Path(os.fsdecode(error.filename)) != resolved
        raise _unreadable_error(os.fsdecode(error.filename) if other else shown, error) from None


def declared_inputs(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that a caller feeds: the graph's inputs except those with an initializer.

    Files of IR version 3 list every weight among the inputs, so ``graph.input[0]`` may be a weight.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 3, opset_import: ["" : 8]>
    ... g (float[2] w, float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}> { y = Add(x, w) }''')
    >>> [value.name for value in declared_inputs(model)]
    ['x']
    """
    graph = proto.graph
    filled = {tensor.name for tensor in graph.initializer}
    filled.update(tensor.values.name for tensor in graph.sparse_initializer)
    return [value for value in graph.input if value.name not in filled]


def _parse(shown: str, path: Path, size: int) -> tuple[onnx.ModelProto, str]:
    with path.open("rb") as file:
        head = file.read(4096)
        kind = file_kinds.by_magic(head, path)
        if kind:
            raise refusal(f"{shown} {kind}")
        if size > LARGEST_FILE:
            raise refusal(
                f"{shown} is larger than 2 GiB ({size:,} bytes), which a single ONNX file cannot be. "
                "Save the model with its weights as external data."
            )
        # Mapped, not read: a copy of 2 GiB in addition to the parsed model would double the memory.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            digest = hashlib.sha256(data).hexdigest()
            try:
                proto = onnx.ModelProto.FromString(data)
            except DecodeError:
                raise refusal(f"{shown} {file_kinds.unparsable(head, data)}") from None
    if not proto.HasField("graph"):
        raise refusal(f"{shown} {file_kinds.no_graph(head)}")
    return proto, digest


def _combined_sha256(digest: str, external: Iterable[ExternalFile], read: Iterable[ReadFile]) -> str:
    lines = [f"{one.sha256}  {file.location}\n" for file, one in zip(external, read, strict=True)]
    if not lines:
        return digest
    return hashlib.sha256("".join([f"{digest}  -\n", *lines]).encode()).hexdigest()


def _unreadable_error(shown: str, error: Exception) -> ModelFileError:
    if isinstance(error, FileNotFoundError):
        return refusal(f"No file {shown}. Check the path; the current folder is {Path.cwd()}.")
    if isinstance(error, NotADirectoryError):
        return refusal(f"No file {shown}: a part of its path is a file, not a folder.")
    if isinstance(error, PermissionError):
        return refusal(f"{shown} may not be read by this user. Change its permissions or copy it.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return refusal(f"{shown} cannot be read: {reason}. Check the path and the disk.")
