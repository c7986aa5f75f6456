"""Read pictures safely, and resize them with antialiasing."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xaionnx.data.files import is_text, read_bytes, sha256_of
from xaionnx.data.png import has_all_rows
from xaionnx.errors import PictureError
from xaionnx.short_repr import short_repr

T = TypeVar("T")
Resize = Literal["crop", "stretch", "pad"]

MAX_MEGAPIXELS: Final = 50
MAX_PICTURE_BYTES: Final = 512 * 2**20

_FORMATS: Final = "PNG, JPEG, WebP, BMP, TIFF, GIF"
_MAGIC: Final = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
# How far lossy formats move a level, of 255.
_NOISE: Final = 16
# White in 16 bits.
_FULL: Final = 65535
_MODES: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "I", "I;16", "I;16B", "I;16L")
_REPEATED: Final = {"1": "black and white is repeated to RGB", "L": "gray is repeated to RGB"}
_CONVERSIONS: Final = {
    **_REPEATED,
    "P": "a palette is converted to RGB",
    "CMYK": "CMYK is converted to RGB without a colour profile",
}
# Exceptions of Pillow 11 to 13 for damaged files; they share no base class.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    NotImplementedError,
    MemoryError,
    struct.error,
    zlib.error,
)
_SMALLER: Final = "Make it smaller first."
_AGAIN: Final = "Copy or export it again."
_BITS_PER_SAMPLE: Final = 258
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in RGB.

    Attributes
    ----------
    array : uint8 array, (H, W, 3)
        RGB from 0 to 255.
    notes : tuple of str
        Conversions that were made or skipped.
    sha256 : str or None
        Hash of the file; None for pictures in memory.
    """

    array: NDArray[np.uint8]
    notes: tuple[str, ...]
    sha256: str | None

    __repr__ = short_repr

    def notes_for(self, color: str) -> tuple[str, ...]:
        """Return the notes that matter to a model of a colour mode: gray is repeated only on the way to one of gray."""
        return tuple(note for note in self.notes if color != "L" or note not in _REPEATED.values())


def seen_box(size: tuple[int, int], aspect: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred part of a picture with the aspect ratio of the model's input.

    Parameters
    ----------
    size : (int, int)
        H, W of the picture in pixels.
    aspect : (int, int)
        H, W of the input.

    Returns
    -------
    (float, float, float, float)
        Left, upper, right, lower in pixels, in Pillow's convention.

    Examples
    --------
    >>> seen_box((300, 451), (224, 224))
    (75.5, 0.0, 375.5, 300.0)
    """
    height, width = size
    unit = min(height / aspect[0], width / aspect[1])
    seen_height, seen_width = unit * aspect[0], unit * aspect[1]
    left, upper = max(0.0, (width - seen_width) / 2), max(0.0, (height - seen_height) / 2)
    return (left, upper, min(left + seen_width, width), min(upper + seen_height, height))


def fit(picture: NDArray[np.uint8], size: tuple[int, int], how: Resize = "crop") -> NDArray[np.uint8]:
    """Resize a picture to the size of the model's input.

    The filter is Pillow's antialiased bicubic, whose support grows with the reduction (``reducing_gap=None`` uses every
    pixel).

    Parameters
    ----------
    picture : uint8 array, (H, W, 3) or (H, W)
        Pixels from 0 (black) to 255 (white).
    size : (int, int)
        H, W of the result in pixels.
    how : {"crop", "stretch", "pad"}
        ``crop`` resizes the shorter side and keeps the centre; ``stretch`` ignores the aspect ratio; ``pad`` resizes
        the longer side and fills the rest with black, evenly on both sides.

    Returns
    -------
    uint8 array, (H, W, 3) or (H, W)

    Examples
    --------
    >>> fit(np.full((30, 50, 3), 200, np.uint8), (8, 8), "pad")[:, 0, 0].tolist()
    [0, 200, 200, 200, 200, 200, 0, 0]
    """
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    if how == "pad":
        unit = max(picture.shape[0] / height, picture.shape[1] / width)
        inner_height = max(1, round(picture.shape[0] / unit))
        inner_width = max(1, round(picture.shape[1] / unit))
        inner = image.resize((inner_width, inner_height), Image.Resampling.BICUBIC, reducing_gap=None)
        padded = np.zeros((height, width, *picture.shape[2:]), np.uint8)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        padded[top : top + inner_height, left : left + inner_width] = np.asarray(inner)
        return padded
    box = seen_box((picture.shape[0], picture.shape[1]), size) if how == "crop" else None
    resized = image.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=None)
    return np.asarray(resized).copy()


def read_picture(path: str | Path, exif: bool = False) -> Picture:
    """Read a picture file as RGB.

    PNG, JPEG, WebP, BMP, TIFF and GIF are recognised by content, not by suffix. The notes list all conversions.
    Transparent parts are composited on white; the first frame of an animation is read; 16-bit gray is rounded to
    8 bits; colour profiles are not applied.

    Parameters
    ----------
    path : str or Path
        The file.
    exif : bool
        Whether to apply the EXIF orientation. False by default, because most tools that train and run models ignore
        it; the notes report an orientation.

    Returns
    -------
    Picture

    Raises
    ------
    PictureError
        The file is not a valid picture of these formats, has floating-point or 32-bit pixels, or is larger than
        50 megapixels.
    """
    path = Path(path)
    data = read_bytes(path, "picture", MAX_PICTURE_BYTES, PictureError)
    format_ = _detect_format(path, data)
    # Pillow's warnings become notes, so that they reach the user.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (image, further), notes = _decoded(
            path, data, format_, lambda one: _to_upright_rgb(one, _is_deep(one, data, format_), exif)
        )
    notes += further + [f"Pillow warns: {warning.message}" for warning in caught]
    return Picture(np.array(image), tuple(notes), sha256_of(data))


@dataclass(frozen=True, eq=False)
class Levels:
    """The pixels of a picture as its file has them, such as numbers of classes.

    Attributes
    ----------
    values : int64 array, (H, W)
        The gray level of each pixel, or of a picture with colours 65536 R + 256 G + B; 0 is black.
    white : int
        The gray level of white; 0 of a picture with colours.
    noise : int
        How far levels may be from those that were saved, as a lossy format leaves them.
    """

    values: NDArray[np.int64]
    white: int
    noise: int

    __repr__ = short_repr


def read_levels(path: str | Path) -> Levels:
    """Read the pixels of a picture file as they are, where `read_picture` reads them as they look.

    Raises
    ------
    PictureError
        As in `read_picture`, or parts of the picture are transparent.
    """
    path = Path(path)
    data = read_bytes(path, "picture", MAX_PICTURE_BYTES, PictureError)
    format_ = _detect_format(path, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, _ = _decoded(path, data, format_, _as_in_file)
    noise = _NOISE if format_ == "JPEG" or (format_ == "WEBP" and data[12:16] != b"VP8L") else 0
    if values.ndim == 2:
        return Levels(values, _FULL if values.max() > 255 else 255, noise)
    red, green, blue, *alpha = np.moveaxis(values, 2, 0)
    if alpha and (alpha[0] < 255).any():
        raise PictureError(f"'{path}' has transparent parts, which are neither black nor white. Save it without.")
    if np.ptp(values[..., :3], axis=2).max() <= noise:
        return Levels(green, 255, noise)
    return Levels(65536 * red + 256 * green + blue, 0, noise)


def _as_in_file(image: Image.Image) -> NDArray[np.int64]:
    """Gray levels (H, W), or red, green, blue and perhaps alpha (H, W, 3 or 4)."""
    if image.mode == "L" or image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64)
    clear = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if clear else "RGB")).astype(np.int64)


def picture_size(path: str | Path, exif: bool = False) -> tuple[int, int] | None:
    """Return H, W of a picture file, of which only the head is read; None of any other file."""
    try:
        with Image.open(path, formats=sorted({*_MAGIC.values()})) as image:
            turned = exif and image.getexif().get(_ORIENTATION, 1) in range(5, 9)
            return (image.width, image.height) if turned else (image.height, image.width)
    except _DAMAGE:
        return None


def picture_of(image: Image.Image, exif: bool = False, name: str = "the picture") -> Picture:
    """Convert an image of Pillow to RGB, as `read_picture` converts a file.

    The current frame of an animation is used.

    Parameters
    ----------
    image : PIL image
    exif : bool
        As in `read_picture`.
    name : str
        Name of the picture in messages.

    Returns
    -------
    Picture
        Without a hash.

    Raises
    ------
    PictureError
        The pixels are damaged, of a type without known black and white, or more than 50 million.

    Examples
    --------
    >>> picture_of(Image.new("L", (4, 2), 200)).notes
    ('gray is repeated to RGB',)
    """
    format_ = image.format or ""
    try:
        _check_supported(image, name, format_)
        turned, notes = _to_upright_rgb(image, False, exif)
    except (*_DAMAGE, AssertionError) as error:  # Pillow asserts that a file is still open
        raise PictureError(
            f"{name} cannot be decoded; its file may be closed or damaged. Open it again, or give its path."
        ) from error
    return Picture(np.array(turned), tuple(notes), None)


def _detect_format(path: Path, data: bytes) -> str:
    for start, name in _MAGIC.items():
        if data.startswith(start) and (name != "WEBP" or data[8:12] == b"WEBP"):
            return name
    if is_text(data):
        raise PictureError(f"'{path}' is text, not a picture. Give a file of one of these formats: {_FORMATS}.")
    raise PictureError(f"'{path}' is not a picture of a supported format ({_FORMATS}). Convert it to PNG.")


def _decoded(path: Path, data: bytes, format_: str, convert: Callable[[Image.Image], T]) -> tuple[T, list[str]]:
    """What becomes of a picture, and notes.

    Raises
    ------
    PictureError
        It is damaged, not supported, or too large.
    """
    try:
        return _decode(path, data, format_, convert)
    except Image.DecompressionBombError as error:
        raise PictureError(f"'{path}' is over the limit of {MAX_MEGAPIXELS} megapixels. {_SMALLER}") from error
    except _DAMAGE as error:
        raise PictureError(f"'{path}' is a truncated or damaged {format_} file. {_AGAIN}") from error


def _decode(path: Path, data: bytes, format_: str, convert: Callable[[Image.Image], T]) -> tuple[T, list[str]]:
    with Image.open(io.BytesIO(data), formats=[format_]) as image:
        _check_supported(image, f"'{path}'", format_)
        if format_ == "PNG":
            # Pillow does not verify checksums while decoding pixels.
            with Image.open(io.BytesIO(data), formats=[format_]) as again:
                again.verify()
        notes = []
        if (frames := getattr(image, "n_frames", 1)) > 1:
            notes.append(f"the first of {frames} frames is read")
            image.seek(0)
        converted = convert(image)
        if format_ == "PNG" and _may_lack_rows(image) and not has_all_rows(data):
            raise PictureError(f"'{path}' ends before its last row. {_AGAIN}")
        return converted, notes


def _may_lack_rows(image: Image.Image) -> bool:
    """Whether the last row is zero, as Pillow leaves rows that are missing, or the rows are not in their order."""
    width, height = image.size
    return bool(image.info.get("interlace")) or not np.asarray(image.crop((0, height - 1, width, height))).any()


def _check_supported(image: Image.Image, name: str, format_: str) -> None:
    width, height = image.size
    if width * height > MAX_MEGAPIXELS * 10**6:
        raise PictureError(
            f"{name} is {height} x {width} pixels, over the limit of {MAX_MEGAPIXELS} megapixels. {_SMALLER}"
        )
    if image.mode == "F" or (image.mode == "I" and format_ != "PNG"):
        raise PictureError(
            f"{name} has {'floating-point' if image.mode == 'F' else '32-bit'} pixels, whose black and white "
            "are unknown. Scale them to 0..255 and save as PNG, or pass the tensor as .npy."
        )
    if image.mode not in _MODES:
        raise PictureError(f"{name} has the unsupported colour mode {image.mode}. Convert it to RGB.")


def _to_upright_rgb(image: Image.Image, deep: bool, exif: bool) -> tuple[Image.Image, list[str]]:
    """Return the picture in RGB, with its EXIF orientation applied if ``exif``, and notes on conversions."""
    notes: list[str] = []
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)
    picture = _to_rgb(image, deep, notes)
    if orientation in range(2, 9):
        if exif:
            picture = picture.transpose(_TURNS[orientation])
        notes.append(f"EXIF orientation {orientation} is {'applied' if exif else 'not applied'}")
    return picture, notes


def _is_deep(image: Image.Image, data: bytes, format_: str) -> bool:
    """Whether the file has 16 bits per channel; for colour, Pillow returns only the upper bytes."""
    if format_ == "PNG":
        return data[24] == 16
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,)) if format_ == "TIFF" else (8,)
    return max(bits) > 8


def _to_rgb(image: Image.Image, deep: bool, notes: list[str]) -> Image.Image:
    mode = image.mode
    if mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        gray = Image.fromarray(((wide * 255 + _FULL // 2) // _FULL).astype(np.uint8))
        notes += ["16-bit gray is rounded to 8 bits", _REPEATED["L"]]
        if wide.max() < _FULL // 8:
            # Cameras and scanners write 10 or 12 bits into files of 16.
            notes.append(f"it is nearly black: its largest number is {wide.max():,} of {_FULL:,}; scale it first")
        return gray.convert("RGB")
    if deep:
        notes.append("16 bits per channel are reduced to the upper 8")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        layers = image.convert("RGBA")
        if np.asarray(layers.getchannel("A")).min() == 255:
            notes.append("an opaque alpha channel is dropped")
            return layers.convert("RGB")
        notes.append("transparent parts are composited on white")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    if mode in _CONVERSIONS:
        notes.append(_CONVERSIONS[mode])
    return image if mode == "RGB" else image.convert("RGB")
