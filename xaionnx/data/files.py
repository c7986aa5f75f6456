"""Read data files safely, with one-sentence errors, and hash them."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xaionnx.errors import DataError, ParameterError

MAX_TEXT_BYTES: Final = 16 * 2**20
# Files and folders that systems keep beside pictures, and hide.
_OF_BROWSERS: Final = ("thumbs.db", "desktop.ini", "__macosx")
LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Refusal:
    """A file, or one of its rows, that was left out.

    Attributes
    ----------
    path : Path
        The file.
    error : DataError
        The reason in one sentence, and what to do next.
    row : int or None
        The line of a table or the row of an array, counted as in the message; None for the whole file.
    """

    path: Path
    error: DataError
    row: int | None = None

    def __str__(self) -> str:
        return str(self.error)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a regular file, also if it is one that the file system does not take."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def read_bytes(path: Path, what: str, limit: int, error: type[DataError] = DataError) -> bytes:
    """Read a whole file after checking it.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Expected content, for messages: "picture", "table", "array".
    limit : int
        Largest size in bytes.
    error : type of DataError
        The error to raise.

    Returns
    -------
    bytes

    Raises
    ------
    DataError
        (or the given subclass) The file is missing, a folder or device, empty, a Git LFS pointer, over the limit, or
        unreadable.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise error(f"'{path}' is a folder, not {_article(what)} {what}. Give a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise error(f"'{path}' is a device or pipe, not {_article(what)} {what}. Save the data to a file first.")
        if status.st_size > limit:
            raise error(
                f"'{path}' is larger than {limit >> 20} MB, the limit for {_article(what)} {what}. "
                "Make it smaller or split it."
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
        raise error(f"'{path}' is a Git LFS pointer, not the {what}. Run 'git lfs pull' in its repository.")
    return data


def read_text(path: Path, shown: str, missing: str) -> str:
    """Read a small text file of the user's, UTF-8 with or without a byte-order mark.

    Parameters
    ----------
    path : Path
    shown : str
        The subject of messages, such as ``The labels file 'a.txt'``.
    missing : str
        The message if there is no such file.

    Raises
    ------
    ParameterError
        The file is missing, not a regular file, larger than 16 MB, unreadable or not UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ParameterError(f"{shown} is not a regular file. Check the path.")
        if status.st_size > MAX_TEXT_BYTES:
            raise ParameterError(f"{shown} is larger than {MAX_TEXT_BYTES >> 20} MB. Check the path.")
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ParameterError(missing) from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{shown} is not UTF-8 text. Save it as UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ParameterError(f"{shown} cannot be read ({reason}). Check the path and its permissions.") from error


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def sha256_of(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def is_text(data: bytes) -> bool:
    """Whether the first bytes are UTF-8 text without control characters."""
    try:
        text = data[:1024].decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= 1024 or error.start < 1020:  # a character may be cut at the end of the sample
            return False
        text = data[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


def is_hidden(name: str) -> bool:
    """Whether a file browser hides a file or folder of this name, on the system that made it.

    Examples
    --------
    >>> [is_hidden(name) for name in (".DS_Store", "Thumbs.db", "cat.png")]
    [True, True, False]
    """
    return name.startswith(".") or name.lower() in _OF_BROWSERS
