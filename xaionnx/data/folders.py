"""The files that a folder stands for, wherever inputs are read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from xaionnx.data.files import is_hidden
from xaionnx.errors import DataError


@final
@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder and of its subfolders.

    Attributes
    ----------
    files : list of str
        Paths: a folder's own files sorted by name, then those of each of its subfolders. Hidden ones are left out.
    sizes : list of int
        In bytes; -1 if unknown, as of a broken link.
    """

    files: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, folder: str) -> FolderFiles:
        """List a folder.

        Raises
        ------
        DataError
            It contains no files, or cannot be listed.
        """
        found = cls()
        try:
            found._add(folder, frozenset())
        except OSError as cause:
            raise DataError(
                f"'{folder}' cannot be read ({cause.strerror}). Check the path and its permissions."
            ) from cause
        if not found.files:
            raise DataError(f"The folder '{folder}' contains no files. Give a folder with data in it.")
        return found

    def _add(self, folder: str, above: frozenset[tuple[int, int]]) -> None:
        """Add a folder, unless a link leads back to one in which it lies: ``above`` has the numbers of these."""
        status = Path(folder).stat()
        own = (status.st_dev, status.st_ino)
        if own in above:
            return
        sizes: dict[str, int] = {}
        folders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    sizes[entry.path] = size_of(entry)
        names = sorted(sizes)
        self.files.extend(names)
        self.sizes.extend(sizes[name] for name in names)
        for inside in sorted(folders):
            self._add(inside, above | {own})


def size_of(file: Path | os.DirEntry[str]) -> int:
    """Return the size of a file in bytes, -1 if it is unknown: it is refused when it is read."""
    try:
        return file.stat().st_size
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
        listed += map(Path, FolderFiles.of(str(path)).files) if is_folder else [path]
    return listed
