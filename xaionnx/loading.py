"""Safe reading of one ONNX file: what it is, what it hashes to, and a clear refusal where it is no good.

Reading opens no session and loads no external weights. What only onnxruntime can find (a shape that does not fit, an
op it has no kernel for) comes as one of its exceptions later; `diagnose` turns that into the same kind of sentence.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from xaionnx import file_kinds, soundness
from xaionnx.errors import ModelFileError
from xaionnx.external_data import ExternalFile, external_files, sha256_of_file

# Protocol buffers count their own length in a signed 32-bit integer.
LARGEST_FILE = 2**31 - 1


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file that was read and found sound.

    Attributes
    ----------
    path : Path
        The file, absolute and with symbolic links resolved. External data lie in its folder or below.
    sha256 : str
        64 hex digits. Without external data: of the file alone, what ``sha256sum model.onnx`` prints. With external
        data: of the text made of one line ``<digits>  -`` for the model file and one line ``<digits>  <location>`` for
        each external file, in the order of the locations; so a change in any of them changes it, and a new name or
        folder of the model does not.
    proto : onnx.ModelProto
        The parsed model; external data are not loaded. It is shared: treat it as read-only.
    external : tuple of Path
        The external files, checked and resolved, in the order of their locations.
    opset : int
        Version of the default domain (``ai.onnx``); 0 where the model imports only other domains.
    domains : dict of str to int
        Version by domain, with the default domain under ``""``.
    random_ops : tuple of str
        Ops whose output differs from run to run, as ``"RandomNormal (node 'n')"``; also Dropout in training mode.
    """

    path: Path
    sha256: str
    proto: onnx.ModelProto
    external: tuple[Path, ...]
    opset: int
    domains: dict[str, int]
    random_ops: tuple[str, ...]


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read one ONNX file without loading its external data, or say in a sentence why not.

    Parameters
    ----------
    path : str or path-like
        The ``.onnx`` file. External data are looked for beside it.

    Returns
    -------
    ModelFile

    Raises
    ------
    ModelFileError
        The file is missing, damaged, unsafe, of another kind, or a graph that onnxruntime could not run.

    Notes
    -----
    Shapes and types are not inferred here: onnxruntime does that when it opens the file, and a model whose declared
    shapes are stale still runs. See `diagnose`.

    Examples
    --------
    >>> read_model("README.md")
    Traceback (most recent call last):
    xaionnx.errors.ModelFileError: README.md is a text file, not an ONNX model. Give the path of the .onnx file.
    """
    shown = os.fspath(path)
    try:
        resolved = Path(path).resolve(strict=True)
        status = resolved.stat()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links was a RuntimeError before Python 3.13
        raise _unreachable(shown, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(file_kinds.refuse_folder(shown, resolved))
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{shown} is not a regular file. Give the path of the .onnx file.")
    if status.st_size == 0:
        raise ModelFileError(f"{shown} is empty (0 bytes). Download or copy it again.")
    try:
        proto, digest = _parse(shown, resolved, status.st_size)
        external = external_files(shown, proto, resolved.parent)
        census = soundness.check(shown, proto)
        return ModelFile(
            path=resolved,
            sha256=_combined(digest, external),
            proto=proto,
            external=tuple(file.path for file in external),
            opset=census.domains.get("", 0),
            domains=census.domains,
            random_ops=census.random_ops,
        )
    except OSError as error:
        raise _unreachable(shown, error) from None


def declared_inputs(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller feeds: the graph's inputs without those that an initialiser already fills.

    Files of IR version 3 list every weight among the inputs, so ``graph.input[0]`` may well be a weight.

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
            raise ModelFileError(f"{shown} {kind}")
        if size > LARGEST_FILE:
            raise ModelFileError(
                f"{shown} is larger than 2 GiB ({size:,} bytes), which a single ONNX file cannot be. "
                "Save the model with its weights as external data."
            )
        # Mapped, not read: a copy of 2 GiB beside the parsed model would double the memory.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            digest = hashlib.sha256(data).hexdigest()
            try:
                proto = onnx.ModelProto.FromString(data)
            except DecodeError:
                raise ModelFileError(f"{shown} {file_kinds.unparsable(head, data)}") from None
    if not proto.HasField("graph"):
        raise ModelFileError(f"{shown} {file_kinds.no_graph(head)}")
    return proto, digest


def _combined(digest: str, external: Iterable[ExternalFile]) -> str:
    lines = [f"{sha256_of_file(file.path)}  {file.location}\n" for file in external]
    if not lines:
        return digest
    return hashlib.sha256("".join([f"{digest}  -\n", *lines]).encode()).hexdigest()


def _unreachable(shown: str, error: Exception) -> ModelFileError:
    if isinstance(error, FileNotFoundError):
        return ModelFileError(f"No file {shown}. Check the path; the current folder is {os.getcwd()}.")
    if isinstance(error, NotADirectoryError):
        return ModelFileError(f"No file {shown}: a part of its path is a file, not a folder.")
    if isinstance(error, PermissionError):
        return ModelFileError(f"{shown} may not be read by this user. Change its permissions or copy it.")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ModelFileError(f"{shown} cannot be read: {reason}. Check the path and the disk.")


# What onnxruntime's messages mean. None of its exception classes tells more than "it failed", so the text is matched.
_Explain = Callable[[re.Match[str]], str]
_RUNTIME_SENTENCES: tuple[tuple[str, _Explain], ...] = (
    (
        r"Opset (\d+) is under development.*?support for domain (\S+) is till opset (\d+)",
        lambda m: (
            f"uses opset {m[1]} of {m[2]}, and the installed onnxruntime runs up to {m[3]}. "
            "Upgrade onnxruntime, or export with a lower opset."
        ),
    ),
    (
        r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        lambda m: (
            f"has IR version {m[1]}, and the installed onnxruntime reads up to {m[2]}. "
            "Upgrade onnxruntime, or save the model with an older onnx."
        ),
    ),
    (
        r"Could not find an implementation for (\S+)\((\d+)\) node with name '([^']*)'",
        lambda m: (
            f"holds {m[1]} of opset {m[2]} ({_node(m[3])}), for which onnxruntime has no kernel on this device. "
            "Export with another opset or data type."
        ),
    ),
    (
        r"Node \(([^)]*)\) Op \(([^)]*)\) \[(?:Shape|Type)InferenceError\] ?(.+)",
        lambda m: f"does not fit together at {m[2]} ({_node(m[1])}): {_clean(m[3])}. Export the model again.",
    ),
    (
        r"In Node, \(\"([^\"]*)\", (\w+),.*?, Error (.+)",
        lambda m: f"has an invalid {m[2]} ({_node(m[1])}): {_clean(m[3])}. Export the model again.",
    ),
    (
        r"Type Error: (.+)",
        lambda m: f"mixes data types that do not fit: {_clean(m[1])}. Export the model again.",
    ),
    (
        r"Initializer '([^']*)': raw_data size \((\d+) bytes\) does not match expected size .*?\((\d+) bytes\)",
        lambda m: (
            f"is damaged: weight '{m[1]}' has {m[2]} bytes, and its shape needs {m[3]}. Download or copy it again."
        ),
    ),
    (
        r"Fatal error: ([^:]*):(\w+)\(-?\d+\) is not a registered function/op",
        lambda m: (
            f"needs the op '{m[2]}' of domain '{m[1]}', which onnxruntime does not know. "
            "Export it with standard ONNX ops."
        ),
    ),
)


def diagnose(file: ModelFile, failure: Exception) -> ModelFileError:
    """Turn what onnxruntime raised while opening this file into one sentence for the person who gave the file.

    Parameters
    ----------
    file : ModelFile
    failure : Exception
        What ``onnxruntime.InferenceSession`` raised; see `is_runtime_failure`.

    Returns
    -------
    ModelFileError
        To be raised. The checker of ``onnx`` is asked only where onnxruntime's own text says too little.

    Examples
    --------
    Opening a session is the task of `xaionnx.model`; there this reads::

        try:
            session = onnxruntime.InferenceSession(...)
        except Exception as failure:
            if is_runtime_failure(failure):
                raise diagnose(file, failure) from failure
            raise
    """
    text = str(failure)
    for pattern, explain in _RUNTIME_SENTENCES:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return ModelFileError(f"{file.path} {explain(found)}")
    for line in _checker_findings(file):
        return ModelFileError(f"{file.path} is refused by onnxruntime; the ONNX checker says: {line}. Export it again.")
    return ModelFileError(f"{file.path} is refused by onnxruntime: {_clean(text)}. Export the model again.")


def is_runtime_failure(error: BaseException) -> bool:
    """Whether onnxruntime raised this; its exceptions share a module, and no base class but ``Exception``."""
    return type(error).__module__.partition(".")[0] == "onnxruntime"


def _checker_findings(file: ModelFile) -> Iterator[str]:
    # By path, so that the checker finds the external data in the model's folder and not in the current one.
    for full in (False, True):
        try:
            onnx.checker.check_model(os.fspath(file.path), full_check=full)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            # The checker demands shapes of outputs, which onnxruntime does not: never the reason.
            if "is required but missing" not in str(error):
                yield _clean(str(error))
                return


def _node(name: str) -> str:
    return f"node '{name}'" if name else "an unnamed node"


def _clean(text: str) -> str:
    """One line without onnxruntime's codes, paths of its sources, and the final stop."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Load model from .*? failed: ?|Exception during initialization: ", "", text)
    text = re.sub(r"/?\S*onnxruntime/\S+:\d+ .*?\) (?=[A-Z])", "", text)
    text = re.sub(r"\[(?:Shape|Type)InferenceError\] ", "", text)
    line = " ".join(text.split()).rstrip(". ")
    return line if len(line) <= 300 else line[:297] + "..."
