"""Pictures into files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xaionnx.data.storage import write_whole
from xaionnx.errors import ParameterError
from xaionnx.typing import Document

SOFTWARE: Final = "xaionnx"
"""What is written into a .png or .jpg file besides the picture: who made it."""


def _made_by() -> PngInfo:
    told = PngInfo()
    told.add_text("Software", SOFTWARE)
    return told


PNG_LEVEL: Final = 1
"""How hard a PNG is compressed, 0 to 9. A map over a photo is written in a quarter of the time that Pillow's own level,
6, takes (0.15 s for 0.55 s), and its file is larger by a sixth at most."""

# Format and settings by suffix. A PDF would carry the time of its making: without it, equal pictures are equal files.
_FORMATS: Final[dict[str, tuple[str, Document]]] = {
    ".png": ("PNG", {"optimize": False, "compress_level": PNG_LEVEL, "pnginfo": _made_by()}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0, "comment": SOFTWARE}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0, "comment": SOFTWARE}),
    ".webp": ("WEBP", {"quality": 92}),
    ".pdf": ("PDF", {"quality": 95, "resolution": 150.0, "title": None, "creationDate": None, "modDate": None}),
}


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse a path whose suffix is no format that :func:`save` writes; for a check before a long run.

    Raises
    ------
    ParameterError
    """
    suffix = Path(path).suffix
    if suffix.lower() not in _FORMATS:
        raise ParameterError(
            f"Cannot save a picture as '{Path(path).name}': the suffix must be one of {', '.join(_FORMATS)}. "
            f"Got '{suffix}' instead."
        )


def save(image: Image.Image, path: str | os.PathLike[str]) -> Path:
    """Write a picture whole or not at all, in the format of its suffix: .png, .jpg, .jpeg, .webp or .pdf.

    No date and no name is written, so that equal pictures make equal files; .png and .jpg files tell that xaionnx made
    them.

    Parameters
    ----------
    image : PIL.Image.Image
    path : str or path

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        The suffix is none of these.
    StorageError
        The file could not be written; an earlier one of that name is left as it was.

    Examples
    --------
    >>> save(Image.new("RGB", (2, 2)), "cat.gif")
    Traceback (most recent call last):
        ...
    xaionnx.errors.ParameterError: Cannot save a picture as 'cat.gif': the suffix must be one of .png, .jpg, .jpeg, .webp, .pdf. Got '.gif' instead.
    """  # noqa: E501 - the message is one line
    if not isinstance(image, Image.Image):
        raise ParameterError(
            f"The 'image' parameter of save must be a picture made by render. Got {type(image).__name__} instead."
        )
    check_suffix(path)
    kind, settings = _FORMATS[Path(path).suffix.lower()]

    def write(stream: BinaryIO) -> None:
        image.save(stream, format=kind, **settings)

    return write_whole(path, write)
