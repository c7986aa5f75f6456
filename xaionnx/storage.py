"""Writing results: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from xaionnx.errors import StorageError


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Path:
    """Let ``write`` fill a temporary file in the folder of ``path``, then rename it to ``path``.

    Raises
    ------
    StorageError
        The folder is missing or not writable, or the disk is full. The temporary file is removed and an
        earlier file of that name is left as it was.
    """
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise StorageError(f"Cannot write {target}: {error.strerror}. Choose another folder.") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        # mkstemp makes files private; a result gets the rights that an ordinary new file would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        raise StorageError(
            f"Cannot write {target}: {error.strerror}. Free some space or choose another folder, then run again."
        ) from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return target
