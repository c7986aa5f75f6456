"""Atomic writing of results.

All files that xaionnx writes go through :func:`write_whole`, and all its temporary folders through
:func:`temporary_folder`. Their names are those of :data:`_TEMPORARY`, and the process that made them holds a lock on
them, so that :func:`sweep` can tell what a killed process left from what a living one writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, final

try:
    import fcntl
except ImportError:  # Windows, where open files cannot be removed
    fcntl = None  # type: ignore[assignment]  # see above

import numpy as np

from xaionnx.errors import StorageError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Hidden beside a result, plain among the temporary files of the system.
_TEMPORARY: Final = re.compile(r"\.?xaionnx-[0-9a-f]{16}")


def write_whole(
    path: str | os.PathLike[str],
    write: Callable[[BinaryIO], object],
    name: Callable[[Path, Path], Path] | None = None,
) -> Path:
    """Write a temporary file in the folder of ``path`` with ``write``, then rename it to ``path``, and return this.

    Its content is on the disk before it gets the name, even if the machine stops. ``name`` replaces the renaming: it
    is called with the temporary file and ``path``, and returns the path of the result in the same folder.

    Raises
    ------
    StorageError
        The folder is missing or not writable, or the disk is full. The temporary file is removed, and an earlier file
        of that name is not changed.
    """
    target = Path(path)
    name = name or _rename
    try:
        temporary, handle = _create(target.parent, ".", _make_file)
    except OSError as error:
        raise StorageError(f"Cannot write {target}: {error.strerror or error}. Choose another folder.") from error
    try:
        with _stream(handle) as stream:
            write(stream)
            _sync(stream)
            if fcntl is not None:
                # The lock ends with the stream.
                target = name(temporary, target)
        if fcntl is None:
            target = name(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"Cannot write {target}: {reason}. Free some space or choose another folder, then run again."
        ) from error
    finally:
        # After any failure, including Ctrl-C.
        temporary.unlink(missing_ok=True)
    return target


@contextlib.contextmanager
def removed_on_failure() -> Iterator[list[Path]]:
    """Give a list of files, which are removed if the block fails, also by Ctrl-C."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for file in made:
            with contextlib.suppress(OSError):
                file.unlink()
        raise


def _create(folder: Path, prefix: str, make: Callable[[Path], int | None]) -> tuple[Path, int]:
    """Make a temporary file or folder, and return it with its descriptor, which holds the lock until it is closed."""
    while True:
        path = folder / f"{prefix}xaionnx-{secrets.token_hex(8)}"
        handle = make(path)
        # Between the calls another process may have swept it.
        if handle is None:
            continue
        if _lock(handle) is not False and path.exists():
            return path, handle
        os.close(handle)


def _make_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _make_folder(path: Path) -> int | None:
    """Make a folder and return its descriptor; None if another process has swept it, as it was not locked yet."""
    path.mkdir(mode=0o700)
    try:
        return os.open(path if fcntl is not None else os.devnull, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _stream(handle: int) -> BinaryIO:
    # Opened by its descriptor, since some writers store the name of a stream in their output.
    return os.fdopen(handle, "wb")


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _rename(temporary: Path, target: Path) -> Path:
    return temporary.replace(target)


def _lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed.

    Returns False if another process has locked it, and None if its file system has no locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock a file or folder inside the block, and give whether it is locked: it exists, and no other process holds it.

    Examples
    --------
    >>> with temporary_folder() as folder, locked(folder) as free:
    ...     free
    False
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        yield False
        return
    try:
        yield _lock(handle) is True
    finally:
        os.close(handle)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder among the temporary files of the system, and remove it at the end of the block.

    Those that killed processes left are removed first.

    Raises
    ------
    StorageError
        It cannot be made.
    """
    place = Path(tempfile.gettempdir())
    sweep(place)
    try:
        path, handle = _create(place, "", _make_folder)
    except OSError as error:
        raise StorageError(
            f"Cannot write temporary files to {place}: {error.strerror or error}. Name another folder in TMPDIR."
        ) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files and folders in ``folder`` that killed processes of xaionnx left.

    What a living process has locked stays, and so does everything that cannot be removed.
    """
    with contextlib.suppress(OSError):
        for path in [Path(entry) for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]:
            with locked(path) as free, contextlib.suppress(OSError):
                if free and path.is_dir():
                    shutil.rmtree(path)
                elif free:
                    path.unlink()


# Level 1 compresses photos and attributions in half the time of zlib's default, 6, to files that are 1 % larger.
_LEVEL: Final = 1
# Only arrays that shrink to this share are compressed: doing so takes longer than explaining a photo.
_SHARE: Final = 0.5
# Bytes of each of the pieces by which an array is judged, their largest number, and their largest share of the array.
_PIECE: Final = 2**12
_PIECES: Final = 8
_JUDGED: Final = 1 / 16


@final
@dataclass(frozen=True, eq=False)
class ByteStream:
    """An array of ``length`` bytes that is written piece by piece."""

    length: int
    pieces: Iterable[bytes]

    __repr__ = short_repr


def write_npz(
    path: str | os.PathLike[str], arrays: Mapping[str, Array] | Iterable[tuple[str, Array | ByteStream]]
) -> Path:
    """Write arrays by name as an .npz file, whole or not at all; see :func:`write_whole`.

    Arrays that shrink by compression are compressed; :func:`numpy.load` reads both. Of pairs of names and arrays one is
    in memory at a time.
    """
    pairs = iter(arrays.items() if isinstance(arrays, Mapping) else arrays)

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, array in pairs:
                if isinstance(array, ByteStream):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                        facts = {"descr": "|u1", "fortran_order": False, "shape": (array.length,)}
                        np.lib.format.write_array_header_1_0(part, facts)
                        part.writelines(array.pieces)
                    continue
                flat = np.asarray(array, order="C")
                # A ZipInfo is stored as it is; a name takes the settings of the archive.
                entry = f"{name}.npy" if _shrinks(flat) else zipfile.ZipInfo(f"{name}.npy")
                with archive.open(entry, "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, flat, allow_pickle=False)
                # Before the next one is made.
                del array, flat

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
