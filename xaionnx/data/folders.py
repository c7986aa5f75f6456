"""The files that a folder stands for, wherever inputs are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from xaionnx.data.files import is_hidden
from xaionnx.errors import DataError, ParameterError

_NUMBER: Final = re.compile(r"\d+")


def files_in(folder: str) -> list[str]:
    """Return the paths of the files of a folder and of its subfolders.

    A folder's own files, sorted by name, precede those of each of its subfolders. Hidden ones are left out.

    Raises
    ------
    DataError
        It contains no files, or cannot be listed.
    """
    found: list[str] = []
    try:
        _add_files(found, folder, frozenset())
    except OSError as cause:
        raise DataError(f"'{folder}' cannot be read ({cause.strerror}). Check the path and its permissions.") from cause
    if not found:
        raise DataError(f"The folder '{folder}' contains no files. Give a folder with data in it.")
    return found


def _add_files(found: list[str], folder: str, above: frozenset[tuple[int, int]]) -> None:
    """Add those of a folder, unless a link leads back to one in which it lies: ``above`` has the numbers of these."""
    status = Path(folder).stat()
    own = (status.st_dev, status.st_ino)
    if own in above:
        return
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                (folders if entry.is_dir() else files).append(entry.path)
    found += sorted(files)
    for inside in sorted(folders):
        _add_files(found, inside, above | {own})


def size_of(file: str) -> int:
    """Return the size of a file in bytes, -1 if it is unknown, as of a broken link: it is refused when it is read."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 - a Path of each of 100,000 files takes longer than the question
    except OSError:
        return -1


def expand(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return a list of files, in the given order; a folder is replaced by its files and those of its subfolders.

    Missing files stay in the list; reading them raises the error.

    Parameters
    ----------
    paths : str, Path or iterable of them

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        A path is empty; a folder contains no files, or cannot be listed.
    """
    listed: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if path == "":
            # As a Path it would be the current folder.
            raise DataError("The path of an input is empty. Give a file or a folder.")
        path = Path(path)
        try:
            is_folder = path.is_dir()
        except OSError as cause:
            raise DataError(
                f"'{path}' cannot be read ({cause.strerror}). Check the path and its permissions."
            ) from cause
        listed += map(Path, files_in(str(path))) if is_folder else [path]
    return listed


def is_folder(x: object) -> bool:
    """Whether inputs are given as a folder."""
    return isinstance(x, str | os.PathLike) and Path(x).is_dir()


def check_order(files: Sequence[str], what: str, instead: str) -> None:
    """Check that the files of folders have one order, as what is given without their names is read in it.

    Sorted by letters, ``frame10.png`` precedes ``frame2.png``; by its number it follows. Files beside subfolders precede
    these here, and are among them where whole paths are sorted.

    Parameters
    ----------
    files : sequence of str
        As they are listed.
    what : str
        What is given for each, in words.
    instead : str
        What to do, in words.

    Raises
    ------
    ParameterError
        They have several.

    Examples
    --------
    >>> check_order(["frame09.png", "frame10.png"], "Labels", "")
    >>> check_order(["frame10.png", "frame9.png"], "Labels", "Name the files.")
    Traceback (most recent call last):
        ...
    xaionnx.errors.ParameterError: Labels without names are in the order of the files, and 'frame10.png' may come before or after 'frame9.png'. Name the files.
    """  # noqa: E501 - the message is one line
    last: dict[str, tuple[list[int], str]] = {}
    before = ""
    for file in files:
        form, numbers = _NUMBER.sub("#", file), [int(digits) for digits in _NUMBER.findall(file)]
        known, other = last.get(form, (numbers, before))
        if file < before or numbers < known:
            first = before if file < before else other
            raise ParameterError(
                f"{what} without names are in the order of the files, and '{first}' may come before or after "
                f"'{file}'. {instead}"
            )
        last[form], before = (numbers, file), file
