"""Which existing files a command may replace: those of its own kind that xaionnx wrote, others with ``--force`` alone.

Who runs a command again wants its picture anew. Who mistypes a name wants the photo, table or model that is there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal

import click

Kind = Literal["picture", "record", "patterns", "compiled"]


HELP: Final = "Replace files that xaionnx did not write. Its own earlier ones are replaced anyway, inputs never."


def replaces(path: Path, kind: Kind, protected: Collection[Path], force: bool) -> bool:
    """Whether writing ``path`` replaces an earlier file, which it may.

    Parameters
    ----------
    path : Path
    kind : str
        What will be written.
    protected : collection of Path, resolved
        Files that the command reads. They are never replaced.
    force : bool
        Replace any other file.

    Raises
    ------
    UsageError
        There is a file that may not be replaced.
    """
    # Imported late, since commands are listed and explained without the library.
    from xaionnx.errors import UsageError

    if path.resolve() in protected:
        raise UsageError(f"-o would overwrite {path}, which is being read. Choose another name or folder.")
    if not path.exists():
        return False
    words, is_ours = _KINDS[kind]
    if not path.is_file():
        raise UsageError(f"{path} exists and is no file. Choose another name with -o.")
    if not force and not is_ours(path):
        raise UsageError(
            f"{path} exists and is no {words} written by xaionnx. Choose another name with -o, or replace it with "
            "--force."
        )
    return True


def option() -> click.Option:
    """``--force``, for commands whose options are made while they run."""
    return click.Option(["--force"], is_flag=True, help=HELP)


def _is_picture(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    from xaionnx.render.files import SOFTWARE

    try:
        with Image.open(path) as image:
            return SOFTWARE in (image.info.get("Software"), image.info.get("comment", b"").decode("latin-1"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return False


def _holds(member: str) -> Callable[[Path], bool]:
    """Whether an .npz file has an array of that name."""

    def is_ours(path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as archive:
                return f"{member}.npy" in archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return False

    return is_ours


def _is_compiled(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

    try:
        return str(onnx.load(path, load_external_data=False).producer_name) == "xaionnx"
    except (OSError, DecodeError):
        return False


_KINDS: Final[dict[Kind, tuple[str, Callable[[Path], bool]]]] = {
    "picture": ("picture", _is_picture),
    "record": ("record", _holds("record")),
    "patterns": ("file of patterns", _holds("about")),
    "compiled": ("compiled file", _is_compiled),
}
