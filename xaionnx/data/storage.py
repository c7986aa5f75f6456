"""Atomic writing of results."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

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


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> Path:
    """Write arrays by name as a compressed .npz file, whole or not at all; see :func:`write_whole`."""
    # Typed with arrays for its own options too.
    save: Callable[..., None] = np.savez_compressed
    return write_whole(path, lambda stream: save(stream, **arrays))
