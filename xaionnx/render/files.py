"""Saving pictures to files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xaionnx.data.storage import write_whole
from xaionnx.errors import ParameterError
from xaionnx.typing import Document

SOFTWARE: Final = "xaionnx"
"""The name of the software, written into .png and .jpg files."""


_REQUEST: Final = "Request"


def _made_by(request: str | None = None) -> PngInfo:
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    if request is not None:
        info.add_text(_REQUEST, request)
    return info


PNG_LEVEL: Final = 1
"""Compression level of PNG files, 0 to 9. Compared with Pillow's default, 6, a map over a photo is written in a quarter
of the time (0.15 s instead of 0.55 s), and the file is at most a sixth larger."""

# Format and settings by suffix. A PDF has no creation time, so that equal pictures are equal files.
_FORMATS: Final[dict[str, tuple[str, Document]]] = {
    ".png": ("PNG", {"optimize": False, "compress_level": PNG_LEVEL, "pnginfo": _made_by()}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0, "comment": SOFTWARE}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0, "comment": SOFTWARE}),
    ".webp": ("WEBP", {"quality": 92}),
    ".gif": ("GIF", {}),
    ".pdf": ("PDF", {"quality": 95, "resolution": 150.0, "title": None, "creationDate": None, "modDate": None}),
}


# How long a frame of a film is shown.
_FRAME_MS: Final = 350
_LAST_MS: Final = 2000


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise an error if :func:`save` cannot write files with this suffix; a check before a long run.

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


def request_of(path: str | os.PathLike[str]) -> str | None:
    """Return the request that a .png file was saved with; None if there is no such file, or it has none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     request_of(save(Image.new("RGB", (2, 2)), f"{folder}/cat.png", request="saliency of a cat"))
    'saliency of a cat'
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            found = image.info.get(_REQUEST)
    except (OSError, SyntaxError, ValueError):
        return None
    return found if isinstance(found, str) else None


def save(image: Image.Image | Sequence[Image.Image], path: str | os.PathLike[str], request: str | None = None) -> Path:
    """Write a picture atomically, in the format of its suffix: .png, .jpg, .jpeg, .webp, .gif or .pdf.

    Files contain no date and no name, so that equal pictures are equal files; .png and .jpg files name xaionnx as the
    software.

    Parameters
    ----------
    image : PIL.Image.Image or sequence of them
        Several are the frames of a film, for .gif.
    path : str or path
    request : str, optional
        Stored in a .png file, for :func:`request_of`: what the picture was made from.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        The suffix is not supported, or is not .gif for a film. StorageError The file could not be written; an existing file of that name is
        unchanged.

    Examples
    --------
    >>> save(Image.new("RGB", (2, 2)), "cat.bmp")
    Traceback (most recent call last):
        ...
    xaionnx.errors.ParameterError: Cannot save a picture as 'cat.bmp': the suffix must be one of .png, .jpg, .jpeg, .webp, .gif, .pdf. Got '.bmp' instead.
    """  # noqa: E501 - the message is one line
    frames = list(image) if isinstance(image, Sequence) else [image]
    if not frames or not all(isinstance(one, Image.Image) for one in frames):
        raise ParameterError(
            f"The 'image' parameter of save must be a picture made by render. Got {type(image).__name__} instead."
        )
    check_suffix(path)
    kind, settings = _FORMATS[Path(path).suffix.lower()]
    if kind == "PNG" and request is not None:
        settings = settings | {"pnginfo": _made_by(request)}

    if kind == "GIF":
        settings = {"save_all": True, "append_images": frames[1:], "loop": 0, "duration": _durations(len(frames))}
    elif len(frames) > 1:
        raise ParameterError(f"A film of {len(frames)} pictures is saved as .gif. Got '{Path(path).name}' instead.")

    def write(stream: BinaryIO) -> None:
        frames[0].save(stream, format=kind, **settings)

    return write_whole(path, write)


def _durations(frames: int) -> list[int]:
    """How long each frame is shown, in milliseconds: the last one longer."""
    return [_FRAME_MS] * (frames - 1) + [_LAST_MS]


def save_page(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a page in HTML atomically.

    Raises
    ------
    StorageError
        The file could not be written; an existing file of that name is unchanged.
    """
    return write_whole(path, lambda stream: stream.write(text.encode()))
