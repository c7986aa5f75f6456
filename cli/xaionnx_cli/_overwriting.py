"""Which existing files a command may replace: files of its own kind written by xaionnx; all others need ``--force``.

A command that is repeated should update its picture. A mistyped name must not cost the user a photo, table or model.
"""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

if TYPE_CHECKING:
    import onnx

Kind = Literal["picture", "page", "report", "record", "patterns", "compiled", "joined", "masker"]

_LONGEST_PATH: Final = 200
# The end of a Parquet file that has its metadata.
_FOOTER: Final = 65536
HELP: Final = "Replace files that xaionnx did not write. Its own earlier results are always replaced, the inputs never."


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Refuse a path that the file system does not take: too long, a circle of links, or below a file."""
    from xaionnx.errors import StorageError

    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links is a RuntimeError before Python 3.13
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        shown = str(path) if len(str(path)) <= _LONGEST_PATH else f"{str(path)[:_LONGEST_PATH]}..."
        raise StorageError(f"Cannot write {shown}: {reason}. Choose another name with -o.") from error


def files_in(values: Iterable[object]) -> list[Path]:
    """Return the existing files that values of options name, also as ``background:FILE`` or ``NAME=median:FILE,..``."""
    from xaionnx.data.files import is_file

    found = []
    for value in values:
        texts = [value] if isinstance(value, str) else list(map(str, value)) if isinstance(value, list | tuple) else []
        for text in texts:
            parts = [text[at:] for at in (0, *(mark.end() for mark in re.finditer("[:=,]", text)))]
            names = [name for part in parts for name in (part, part.split(",")[0])]
            found += [Path(name) for name in dict.fromkeys(names) if is_file(name)]
    return found


def real_paths(paths: Iterable[str | Path]) -> set[Path]:
    """Return the paths of files with all links followed; a link that leads to itself stays as it is."""
    return {Path(os.path.realpath(path)) for path in paths}


def check_replaceable(path: Path, kind: Kind, protected: Collection[Path], force: bool) -> bool:
    """Return whether writing ``path`` replaces an existing file; refuse files that may not be replaced.

    Parameters
    ----------
    path : Path
    kind : str
        The kind of file to be written.
    protected : collection of Path, resolved
        Files that the command reads, which are never replaced.
    force : bool
        Allow any other file to be replaced.

    Raises
    ------
    UsageError
        A file exists and may not be replaced.
    """
    # Imported here, since help is shown without importing the library.
    from xaionnx.errors import UsageError

    with storage_errors(path):
        if path.resolve() in protected:
            raise UsageError(f"-o would overwrite {path}, which the command reads. Choose another name or folder.")
        if not path.exists():
            return False
    words, is_ours = _KINDS[kind]
    if not path.is_file():
        raise UsageError(f"{path} exists and is not a file. Choose another name with -o.")
    if not force and not is_ours(path):
        raise UsageError(
            f"{path} exists and is not a {words} written by xaionnx. Choose another name with -o, or use --force to "
            "replace it."
        )
    return True


def file_to_write(
    given: str | None, suffixes: Collection[str], words: str, kind: Kind, read: Iterable[str | None], force: bool
) -> Path | None:
    """Return the file that -o names, if it may be written; None if there is no -o.

    ``words`` are the suffixes in words, and ``read`` the files that the command reads.

    Raises
    ------
    ParameterError, UsageError, StorageError
        It may not be.
    """
    from xaionnx.errors import ParameterError
    from xaionnx_cli._destination import check_writable

    if given is None:
        return None
    place = Path(given)
    if place.suffix.lower() not in suffixes:
        raise ParameterError(f"-o must end in {words}. Got '{given}' instead.")
    check_writable(place.parent)
    check_replaceable(place, kind, real_paths(filter(None, read)), force)
    return place


def check_weights_replaceable(path: Path, weights: Iterable[Path], force: bool) -> None:
    """Refuse to replace files of weights that do not belong to an earlier file of ours at ``path``.

    Raises
    ------
    UsageError
        A file exists, and the model at ``path``, if there is one, does not name it as that of its weights.
    """
    from xaionnx.errors import UsageError

    for file in weights:
        if file.exists() and not force and file.name not in _weights_of(path):
            raise UsageError(
                f"{file} exists and is not a file of weights of {path.name}. Choose another name with -o, or use "
                "--force to replace it."
            )


def _weights_of(path: Path) -> set[str]:
    """Names of the files of weights of a model; none if there is no model."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
    from onnx.external_data_helper import uses_external_data

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (OSError, DecodeError):
        return set()
    external = [tensor for tensor in graph.initializer if uses_external_data(tensor)]
    return {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"}


def option() -> click.Option:
    """``--force``, for commands whose options are built at run time."""
    return click.Option(["--force"], is_flag=True, help=HELP)


def _is_picture(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    from xaionnx.render.files import SOFTWARE

    try:
        with Image.open(path) as image:
            return SOFTWARE in (image.info.get("Software"), image.info.get("comment", b"").decode("latin-1"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return False


def _has_array(member: str) -> Callable[[Path], bool]:
    """Make a check whether an .npz file has the array ``member``."""

    def is_ours(path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as archive:
                return f"{member}.npy" in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return False

    return is_ours


def _is_model(is_ours: Callable[[onnx.ModelProto], bool]) -> Callable[[Path], bool]:
    """Make a check of .onnx files."""

    def check(path: Path) -> bool:
        import onnx
        from google.protobuf.message import DecodeError

        try:
            return is_ours(onnx.load(path, load_external_data=False))
        except (OSError, DecodeError):
            return False

    return check


def _is_compiled(proto: onnx.ModelProto) -> bool:
    return str(proto.producer_name) == "xaionnx" and not _is_masker(proto)


def _is_joined(proto: onnx.ModelProto) -> bool:
    from xaionnx.graph.parts import parts_of

    return bool(parts_of(proto))


def _is_masker(proto: onnx.ModelProto) -> bool:
    from xaionnx.masker import about_masker

    return about_masker(proto) is not None


def _is_page(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return b'<meta name="generator" content="xaionnx">' in stream.read(1000)
    return False


def _is_report(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        start = stream.read(1000)
        if start.startswith(b"PAR1"):
            stream.seek(-min(path.stat().st_size, _FOOTER), os.SEEK_END)
            return b"software\x18\x07xaionnx" in stream.read()
        return start.startswith((b"method,metric,direction,", b'{"scores": [')) or _is_page(path)
    return False


_KINDS: Final[dict[Kind, tuple[str, Callable[[Path], bool]]]] = {
    "picture": ("picture", _is_picture),
    "page": ("page", _is_page),
    "report": ("report", _is_report),
    "record": ("record", _has_array("record")),
    "patterns": ("file of patterns", _has_array("about")),
    "compiled": ("compiled file", _is_model(_is_compiled)),
    "joined": ("joined file", _is_model(_is_joined)),
    "masker": ("masker", _is_model(_is_masker)),
}
