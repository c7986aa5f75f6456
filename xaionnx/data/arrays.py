"""Read tensors from .npy and .npz files, without pickle and without trusting their headers."""

from __future__ import annotations

import contextlib
import io
import lzma
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Final

import numpy as np
from numpy.lib import format as npy

from xaionnx.data.files import read_bytes, sha256_of
from xaionnx.errors import DataError
from xaionnx.short_repr import short_repr
from xaionnx.typing import MOST_AXES, Array, DType

MAX_ARRAY_BYTES: Final = 4 * 2**30
NUMBERS: Final = "biuf"
WORDS_TOO: Final = f"{NUMBERS}U"
"""The kinds of elements of labels."""
SUFFIXES: Final = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """An array read from a file.

    Attributes
    ----------
    array : array, (N, ...)
        In native byte order and C order.
    notes : tuple of str
        Conversions that were made.
    sha256 : str
        Hash of the file.
    """

    array: Array
    notes: tuple[str, ...]
    sha256: str

    __repr__ = short_repr


def read_array(path: str | Path, name: str | None = None, single: bool = False, kinds: str = NUMBERS) -> ArrayFile:
    """Read the array of a .npy file, or one array of a .npz file.

    The array may contain booleans, integers or floating-point numbers, and other ``kinds``. The size in the header is
    compared with the size of the data before memory is allocated.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str, optional
        Name of the array in a .npz file; needed if it contains several.
    single : bool
        Whether it may be a single number, as a sample rate is.
    kinds : str
        The kinds of element types that are read, as in ``numpy.dtype.kind``.

    Returns
    -------
    ArrayFile

    Raises
    ------
    DataError
        The file is missing, damaged, larger than 4 GiB, has another element type, needs pickle, or lacks the batch
        axis.
    """
    path = Path(path)
    data = read_bytes(path, "array", MAX_ARRAY_BYTES)
    if data.startswith(npy.MAGIC_PREFIX):
        array, notes = _parse(f"'{path}'", memoryview(data), kinds)
    elif data.startswith(b"PK"):
        array, notes = _parse_member(path, data, name, kinds)
    else:
        raise DataError(f"'{path}' is not a .npy or .npz file. Save the array with numpy.save.")
    if array.ndim == 0 and not single:
        raise DataError(f"'{path}' contains a single number without a batch axis. Save an array (N, ...).")
    if array.size == 0:
        raise DataError(f"'{path}' contains an array {array.shape} without elements. Save at least one sample.")
    return ArrayFile(array, tuple(notes), sha256_of(data))


def read_arrays(path: str | os.PathLike[str], kinds: str = NUMBERS, without: Sequence[str] = ()) -> dict[str, Array]:
    """Read the arrays of a .npz file by name, but those in ``without``; see `read_array`.

    Parameters
    ----------
    path : path
        The file.
    kinds : str
        The kinds of element types that are read, as in ``numpy.dtype.kind``.

    Raises
    ------
    DataError
        The file or one of its arrays cannot be read, or they are larger than 4 GiB together.
    """
    path = Path(path)
    with _archive(path, read_bytes(path, "array", MAX_ARRAY_BYTES)) as archive:
        members = [info for info in archive.infolist() if info.filename.removesuffix(".npy") not in without]
        _check_size(path, sum(info.file_size for info in members))
        return {info.filename.removesuffix(".npy"): _unpack(path, archive, info, kinds)[0] for info in members}


def array_header(where: str, data: bytes | memoryview) -> tuple[tuple[int, ...], bool, DType, int]:
    """Return shape, order, type and offset of the elements of a .npy file, from its first bytes.

    Parameters
    ----------
    where : str
        The array, as the subject of messages.
    data : bytes
        At least the header.

    Returns
    -------
    (shape, fortran order, dtype, offset)

    Raises
    ------
    DataError
        The header is damaged, or of an array that is not read.
    """
    shape, fortran_order, dtype, offset = _header(where, data)
    _check_header(where, shape, dtype, NUMBERS)
    return shape, fortran_order, dtype, offset


def _header(where: str, data: bytes | memoryview) -> tuple[tuple[int, ...], bool, DType, int]:
    stream = io.BytesIO(data[: 12 + 2**16])  # the longest header of version 1, whatever its length field says
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise DataError(f"{where} has the .npy version {version[0]}.{version[1]}. Save it with numpy.save.")
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = read_header(stream)
    except (
        ValueError,
        TypeError,
        SyntaxError,
        KeyError,
        OverflowError,
        RecursionError,
        MemoryError,
        TokenError,  # raised while filtering headers written by Python 2
        Warning,
    ) as error:
        raise DataError(f"{where} has a damaged .npy header. Save the array again.") from error
    return shape, fortran_order, dtype, stream.tell()


def _check_header(where: str, shape: tuple[int, ...], dtype: DType, kinds: str) -> None:
    if dtype.hasobject:
        raise DataError(f"{where} contains Python objects, which need pickle and are not read. Save a numeric array.")
    if dtype.kind not in kinds or dtype.names is not None or dtype.subdtype is not None:
        raise DataError(f"{where} contains elements of type {dtype}, not numbers. Save a numeric array.")
    if len(shape) > MOST_AXES or any(type(side) is not int or side < 0 for side in shape):
        raise DataError(f"{where} has a damaged .npy header. Save the array again.")


def _parse(where: str, data: memoryview, kinds: str = NUMBERS) -> tuple[Array, list[str]]:
    shape, fortran_order, dtype, offset = _header(where, data)
    _check_header(where, shape, dtype, kinds)
    declared, present = math.prod(shape) * dtype.itemsize, len(data) - offset
    if declared != present:
        raise DataError(
            f"{where} declares an array {shape} {dtype} of {declared} bytes, but has {present} bytes. Save it again."
        )
    array = np.frombuffer(data, dtype, offset=offset).reshape(shape, order="F" if fortran_order else "C")
    notes = [] if dtype.isnative else ["big-endian numbers are converted to native order"]
    return np.array(array, dtype.newbyteorder("="), order="C"), notes


def _parse_member(path: Path, data: bytes, name: str | None, kinds: str) -> tuple[Array, list[str]]:
    with _archive(path, data) as archive:
        wanted = member_of(path, archive, name)
        _check_size(path, wanted.file_size)
        return _unpack(path, archive, wanted, kinds)


def member_of(path: Path, archive: zipfile.ZipFile, name: str | None) -> zipfile.ZipInfo:
    """Return the array of that name in an .npz file, or its only one.

    Raises
    ------
    DataError
        It has several, and none of that name.
    """
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    wanted = name if name in members else next(iter(members)) if len(members) == 1 else None
    if wanted is None:
        listed = ", ".join(list(members)[:12]) or "none"
        raise DataError(
            f"'{path}' contains {len(members)} arrays ({listed}). "
            + (f"Name one of them '{name}', the input." if name else "Save the input alone.")
        )
    return members[wanted]


def _unpack(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> tuple[Array, list[str]]:
    # ZipFile returns no more than the declared size, and verifies the checksum.
    unpacked = archive.read(info)
    where = f"'{info.filename.removesuffix('.npy')}' in '{path}'"
    if not unpacked.startswith(npy.MAGIC_PREFIX):
        raise DataError(f"{where} is not an array. Save the file with numpy.savez.")
    return _parse(where, memoryview(unpacked), kinds)


def _check_size(path: Path, size: int) -> None:
    if size > MAX_ARRAY_BYTES:
        raise DataError(f"'{path}' unpacks to {size >> 20} MB, over the limit of {MAX_ARRAY_BYTES >> 20} MB. Split it.")


def archived(path: Path) -> contextlib.AbstractContextManager[zipfile.ZipFile]:
    """Open an .npz file without reading it whole.

    Raises
    ------
    DataError
        It is damaged, also where this shows inside the block.
    """
    return _archive(path, path)


@contextlib.contextmanager
def _archive(path: Path, data: bytes | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,  # encrypted; its subclass NotImplementedError: unknown compression
        MemoryError,
    ) as error:
        raise DataError(f"'{path}' is a truncated or damaged .npz file. Save it again.") from error
