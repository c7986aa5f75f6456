"""Data files: opened with care, refused in one sentence, hashed."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xaionnx.errors import DataError

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Refusal:
    """A file, or a row of one, that was left out.

    Attributes
    ----------
    path : Path
        The file.
    error : DataError
        Why, in one sentence, and what to do next.
    row : int or None
        The line of a table or the row of an array, counted as the message counts it; None is the whole file.
    """

    path: Path
    error: DataError
    row: int | None = None

    def __str__(self) -> str:
        return str(self.error)


def read_bytes(path: Path, what: str, limit: int, error: type[DataError] = DataError) -> bytes:
    """Read a whole file after checking what it is.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, for the messages: "picture", "table", "array".
    limit : int
        Largest size in bytes that is read.
    error : type of DataError
        The error to raise.

    Returns
    -------
    bytes

    Raises
    ------
    DataError
        (or the given subclass) if the file is missing, a folder or device, empty, a Git LFS pointer, over the
        limit, or unreadable.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise error(f"'{path}' is a folder, not a {what}. Give a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise error(f"'{path}' is a device or pipe, not a {what}. Save the data to a file first.")
        if status.st_size > limit:
            raise error(
                f"'{path}' is larger than {limit >> 20} MB, the limit for a {what}. Make it smaller or split it."
            )
        data = path.read_bytes()
    except FileNotFoundError as cause:
        raise error(f"There is no file '{path}'. Check the path.") from cause
    except (OSError, ValueError) as cause:  # ValueError: a NUL character in the path
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        raise error(f"'{path}' cannot be read ({reason}). Check the path and its permissions.") from cause
    if not data:
        raise error(f"'{path}' is empty (0 bytes). Copy or download it again.")
    if data.startswith(LFS_POINTER):
        raise error(f"'{path}' is a Git LFS pointer, not the {what} itself. Run 'git lfs pull' in its repository.")
    return data


def sha256_of(data: bytes) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def is_text(data: bytes) -> bool:
    """Whether the first bytes read as UTF-8 text without control characters."""
    try:
        text = data[:1024].decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= 1024 or error.start < 1020:  # a character may be cut at the end of the sample
            return False
        text = data[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def expand(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List files in the order given; a folder stands for the files directly in it, by name.

    Hidden files and subfolders are left out of a folder. Files that do not exist stay in the list, for the reader
    to refuse.

    Parameters
    ----------
    paths : str, Path or iterable of them

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        If a folder holds no files, or cannot be listed.
    """
    listed: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if not path.is_dir():
            listed.append(path)
            continue
        try:
            inside = sorted(p for p in path.iterdir() if not p.name.startswith(".") and not p.is_dir())
        except OSError as cause:
            raise DataError(
                f"The folder '{path}' cannot be listed ({cause.strerror}). Check its permissions."
            ) from cause
        if not inside:
            raise DataError(f"The folder '{path}' holds no files. Give a folder with data directly in it.")
        listed += inside
    return listed
