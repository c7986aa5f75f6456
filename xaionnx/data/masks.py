"""Ground-truth masks that are pictures."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xaionnx.data.images import Levels, fit, picture_size, read_levels
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_MIDDLE: Final = 127


def mask_of(file: Path, folder: Path, inside: Path, spec: InputSpec, exif: bool) -> NDArray[np.bool_]:
    """Return the mask of a file: True where the evidence is, at the pixels that the model sees.

    Parameters
    ----------
    file : Path
        What is explained.
    folder : Path
        The masks.
    inside : Path
        Where the mask is in this folder, but for its suffix.
    spec : InputSpec
        How the model sees pictures.
    exif : bool
        Whether the picture is turned as its EXIF orientation says.

    Raises
    ------
    DataError
        There is no mask of this name, or several, or it is none of this picture.
    """
    path = _named(folder / inside)
    mask = read_mask(path)
    if mask.shape == spec.size:
        return mask
    size = picture_size(file, exif)
    if size is not None and not _same_form(mask.shape, size, exact=spec.size is None):
        raise DataError(
            f"'{path}' has {mask.shape[0]} x {mask.shape[1]} pixels, and the picture {size[0]} x {size[1]}. Save the "
            "mask in the size of the picture."
        )
    if spec.size is None:
        return mask
    resized: NDArray[np.bool_] = fit(np.where(mask, 255, 0).astype(np.uint8), spec.size, spec.resize) > _MIDDLE
    return resized


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask, (H, W): black, and any one other colour where the evidence is.

    Gray levels between black and white at edges, as smoothing and lossy formats leave them, are the nearer of the two.

    Raises
    ------
    DataError
        It is no picture, or has areas of several colours, as pictures of class numbers have.
    """
    levels = read_levels(path)
    known = np.unique(levels.values)
    if len(known) == 1 or (len(known) == 2 and known[0] == 0):
        return np.not_equal(levels.values, 0)
    if not _is_smooth(levels):
        raise DataError(
            f"'{path}' is no mask: it has {len(known):,} colours, where a mask has black and one other, which is where "
            "the evidence is. Of class numbers save those of one class: picture == number."
        )
    return np.greater(levels.values, levels.white // 2)


def _is_smooth(levels: Levels) -> bool:
    """Whether gray levels between the darkest and the lightest are those of edges, rather than areas of their own."""
    values, low, high = levels.values, levels.values.min(), levels.values.max()
    if not levels.white or not low <= levels.white // 2 < high:
        return False
    between = (values > low + levels.noise) & (values < high - levels.noise)
    return bool(2 * (_in_areas(values) & between).sum() <= between.sum())


def _in_areas(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each pixel is part of a square of two by two pixels of one level."""
    first = values[:-1, :-1]
    square = (first == values[1:, :-1]) & (first == values[:-1, 1:]) & (first == values[1:, 1:])
    found = np.zeros(values.shape, bool)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            found[rows, columns] |= square
    return found


def _named(stem: Path) -> Path:
    """The picture of a name, whatever its suffix."""
    found = [
        path for path in sorted(stem.parent.glob(f"{glob.escape(stem.name)}.*")) if path.suffix.lower() in _SUFFIXES
    ]
    if not found:
        raise DataError(f"There is no mask of the name '{stem.name}' in '{stem.parent}'. Add a picture.")
    if len(found) > 1:
        raise DataError(f"'{found[0]}' and '{found[1]}' may both be the mask of '{stem.name}'. Keep one.")
    return found[0]


def _same_form(mask: tuple[int, ...], picture: tuple[int, int], exact: bool) -> bool:
    """Whether a mask covers a picture: in the same size, or with sides in the same ratio but for rounding."""
    if exact:
        return mask == picture
    return abs(mask[0] * picture[1] - mask[1] * picture[0]) <= max(*mask, *picture)
