"""The samples of an array in a .npy or .npz file, read in blocks along its first axis."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, final

import numpy as np

from xaionnx.data.arrays import ArrayFile, archived, array_header, member_of
from xaionnx.data.files import read_bytes
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import DType

# Bytes that are read at once to hash a file, and the longest header of an array.
_BLOCK: Final = 2**20
_HEADER: Final = 12 + 2**16
_ANY_SIZE: Final = 2**62


@final
@dataclass(frozen=True, eq=False)
class ArraySlice:
    """Some samples of an array in a file.

    Attributes
    ----------
    path : Path
    file : ArrayFile
        With these samples only, and the hash of the whole file.
    first : int
        The number of the first of them.
    """

    path: Path
    file: ArrayFile
    first: int

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class ArrayRows:
    """An array in a file, of which only some samples are in memory at a time.

    Attributes
    ----------
    path : Path
    member : str
        The array of an .npz file; empty for a .npy file.
    shape : tuple of int
    dtype : dtype
    offset : int
        Where the elements begin, from the beginning of the file or of the unpacked member.
    sha256 : str
        Hash of the file.
    """

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: DType
    offset: int
    sha256: str

    __repr__ = short_repr

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> ArrayRows | None:
        """Return the samples of a file; None if its elements are in the order of Fortran, which has no blocks.

        ``name`` is that of the array in an .npz file, needed if it has several.

        Raises
        ------
        DataError
            The file is none of these, or its header does not fit its size.
        """
        packed = path.suffix.lower() == ".npz"
        if not path.is_file() or path.stat().st_size < _BLOCK:
            read_bytes(path, "array", _ANY_SIZE)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        if not packed:
            with path.open("rb") as file:
                head, size = file.read(_HEADER), path.stat().st_size
            member, where = "", f"'{path}'"
        else:
            with archived(path) as archive:
                info = member_of(path, archive, name)
                with archive.open(info) as part:
                    head, size = part.read(_HEADER), info.file_size
            member, where = info.filename, f"'{info.filename.removesuffix('.npy')}' in '{path}'"
        shape, fortran, dtype, offset = array_header(where, head)
        if math.prod(shape) * dtype.itemsize != size - offset:
            raise DataError(f"{where} declares an array {shape} {dtype}, which is not its size. Save it again.")
        if not shape or not math.prod(shape):
            raise DataError(f"'{path}' contains an array {shape} without samples. Save at least one.")
        return None if fortran and len(shape) > 1 else cls(path, member, shape, dtype, offset, digest.hexdigest())

    def read(self, start: int, stop: int) -> ArraySlice:
        """Return the samples from ``start`` to ``stop``, without the latter.

        Raises
        ------
        DataError
            The file has changed.
        """
        each = math.prod(self.shape[1:]) * self.dtype.itemsize
        begin, size = self.offset + start * each, (stop - start) * each
        changed = DataError(f"'{self.path}' was changed or is damaged. Save it again, then start again.")
        try:
            if self.member:
                # Reads on from the beginning, since what is packed has no places.
                with archived(self.path) as archive, archive.open(self.member) as part:
                    data = _from(part, begin, size)
            else:
                with self.path.open("rb") as file:
                    data = _from(file, begin, size)
        except (OSError, zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise changed from error
        if len(data) != size:
            raise changed
        array = np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])
        notes = () if self.dtype.isnative else ("big-endian numbers are converted to native order",)
        native = array.astype(self.dtype.newbyteorder("="))
        return ArraySlice(self.path, ArrayFile(native, notes, self.sha256), start)


def _from(file: IO[bytes], begin: int, size: int) -> bytes:
    file.seek(begin)
    return file.read(size)
