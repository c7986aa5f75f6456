"""ReadFile: a file as it was when it was read, to tell whether it has changed since."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, final

from xaionnx.loading.refusal import refusal

_BLOCK = 1 << 20


@final
@dataclass(frozen=True)
class ReadFile:
    """A file as it was when it was read.

    Attributes
    ----------
    path : Path
    sha256 : str
    stamp : tuple of int
        Size in bytes, time of the last change in nanoseconds, and number of the file on its disk.
    """

    path: Path
    sha256: str
    stamp: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read and hash a file."""
        stamp = stamp_of(path.stat())
        return cls(path, sha256_of_file(path), stamp)

    def check_stamp(self) -> None:
        """Check that the file is as it was; its content is read again only if its stamp differs.

        Raises
        ------
        ModelFileError
            It is not.
        """
        try:
            if stamp_of(self.path.stat()) == self.stamp:
                return
        except OSError:
            raise self._changed() from None
        self.check_content()

    def check_content(self) -> None:
        """Check that the content is as it was.

        Raises
        ------
        ModelFileError
            It is not.
        """
        try:
            found = sha256_of_file(self.path)
        except OSError:
            raise self._changed() from None
        if found != self.sha256:
            raise self._changed()

    def copy_to(self, stream: BinaryIO) -> None:
        """Copy the content, and check it meanwhile.

        Raises
        ------
        ModelFileError
            It is not as it was.
        """
        digest = hashlib.sha256()
        try:
            source = self.path.open("rb")
        except OSError:
            raise self._changed() from None
        with source:
            while block := source.read(_BLOCK):
                digest.update(block)
                stream.write(block)
        if digest.hexdigest() != self.sha256:
            raise self._changed()

    def _changed(self) -> Exception:
        return refusal(f"{self.path} has changed or gone since the model was read. Load the model again.")


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Return the stamp of a file; see :class:`ReadFile`."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
