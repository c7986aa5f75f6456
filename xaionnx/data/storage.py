"""Atomic writing of results."""

from __future__ import annotations

import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from xaionnx.errors import StorageError
from xaionnx.typing import Array


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Path:
    """Write a temporary file in the folder of ``path`` with ``write``, then rename it to ``path``.

    Raises
    ------
    StorageError
        The folder is missing or not writable, or the disk is full. The temporary file is removed, and an earlier file
        of that name is not changed.
    """
    target = Path(path)
    temporary = target.parent / f".xaionnx-{secrets.token_hex(8)}"
    try:
        # Opened by its descriptor, since some writers store the name of a stream in their output.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise StorageError(f"Cannot write {target}: {error.strerror or error}. Choose another folder.") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"Cannot write {target}: {reason}. Free some space or choose another folder, then run again."
        ) from error
    finally:
        # After any failure, including Ctrl-C.
        temporary.unlink(missing_ok=True)
    return target


# Level 1 compresses photos and attributions in half the time of zlib's default, 6, to files that are 1 % larger.
_LEVEL: Final = 1
# Only arrays that shrink to this share are compressed: doing so takes longer than explaining a photo.
_SHARE: Final = 0.5
# Bytes of each of the pieces by which an array is judged, their largest number, and their largest share of the array.
_PIECE: Final = 2**12
_PIECES: Final = 32
_JUDGED: Final = 1 / 16


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> Path:
    """Write arrays by name as an .npz file, whole or not at all; see :func:`write_whole`.

    Arrays that shrink by compression are compressed; :func:`numpy.load` reads both.
    """

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, array in arrays.items():
                flat = np.asarray(array, order="C")
                # A ZipInfo is stored as it is; a name takes the settings of the archive.
                entry = f"{name}.npy" if _shrinks(flat) else zipfile.ZipInfo(f"{name}.npy")
                with archive.open(entry, "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, flat, allow_pickle=False)

    return write_whole(path, write)


def _shrinks(array: Array) -> bool:
    """Whether compression reduces an array enough, judged by pieces of it."""
    pieces = min(_PIECES, int(_JUDGED * array.nbytes) // _PIECE)
    if pieces == 0:
        return True
    data = array.reshape(-1).view(np.uint8)
    starts = np.linspace(0, data.size - _PIECE, pieces).astype(int)
    # Joined, since the first bytes of each stream compress badly.
    joined = b"".join(data[start : start + _PIECE].tobytes() for start in starts)
    return len(zlib.compress(joined, _LEVEL)) <= _SHARE * len(joined)
