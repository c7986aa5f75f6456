"""Pictures in and out of files: read safely, resized with antialiasing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Resize = Literal["crop", "stretch", "pad"]


def seen_box(size: tuple[int, int], aspect: tuple[int, int]) -> tuple[float, float, float, float]:
    """The centred part of a picture that has the aspect of the model's input.

    Parameters
    ----------
    size : (int, int)
        H, W of the picture in pixels.
    aspect : (int, int)
        H, W of the input.

    Returns
    -------
    (float, float, float, float)
        Left, upper, right, lower in pixels, as Pillow counts them.

    Examples
    --------
    >>> seen_box((300, 451), (224, 224))
    (75.5, 0.0, 375.5, 300.0)
    """
    height, width = size
    unit = min(height / aspect[0], width / aspect[1])
    seen_height, seen_width = unit * aspect[0], unit * aspect[1]
    left, upper = (width - seen_width) / 2, (height - seen_height) / 2
    return (left, upper, min(left + seen_width, width), min(upper + seen_height, height))


def fit(picture: NDArray[np.uint8], size: tuple[int, int], how: Resize = "crop") -> NDArray[np.uint8]:
    """Bring a picture to the model's size.

    The filter is Pillow's bicubic with its support widened to the reduction, so that nothing aliases
    (``reducing_gap=None``: every pixel counts, no shortcut).

    Parameters
    ----------
    picture : uint8 array, (H, W, 3) or (H, W)
        Pixels from 0 (black) to 255 (white).
    size : (int, int)
        H, W of the result in pixels.
    how : {"crop", "stretch", "pad"}
        ``crop`` brings the shorter side to the size and keeps the centre; ``stretch`` ignores the aspect;
        ``pad`` brings the longer side to the size and fills the rest with black, evenly on both sides.

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
