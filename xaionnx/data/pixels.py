"""Pixels in numpy arrays: the pictures in an array of uint8."""

from __future__ import annotations

from typing import Final, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xaionnx.data.images import Picture, picture_of
from xaionnx.errors import InputMismatchError

# Numbers of channels on the last axis: gray, RGB, and RGB with an alpha channel.
_CHANNELS: Final = (1, 3, 4)


def are_pixels(array: object) -> TypeGuard[NDArray[np.uint8]]:
    """Whether this is a uint8 array that may contain one or more pictures."""
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim in (2, 3, 4)


def pictures_in(pixels: NDArray[np.uint8], color: str, name: str = "the array") -> list[NDArray[np.uint8]]:
    """Return the pictures in an array, each (H, W) or (H, W, C) with 1, 3 or 4 channels.

    Parameters
    ----------
    pixels : uint8 array, (H, W), (H, W, C), (N, H, W), (N, H, W, C) or (N, C, H, W)
    color : {"RGB", "BGR", "L"}
        Colour mode of the model's input. Three gray pictures and one with channels first have the same shape; it is
        read as the former only for a gray model.
    name : str
        Name of the array in messages.

    Raises
    ------
    InputMismatchError
        There are too many channels, or it cannot be known which axis is theirs.

    Examples
    --------
    >>> len(pictures_in(np.zeros((8, 9, 3), np.uint8), "RGB")), len(pictures_in(np.zeros((8, 9, 5), np.uint8), "RGB"))
    (1, 8)
    """
    shape = pixels.shape
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in _CHANNELS):
        return [pixels]
    if pixels.ndim == 3:
        if color != "L" and shape[0] == 3:
            raise InputMismatchError(
                f"{name} is {shape} uint8: one picture with channels first, or 3 gray ones? "
                "Give x.transpose(1, 2, 0), or a list of gray pictures."
            )
        return list(pixels)
    if pixels.ndim == 4 and shape[3] in _CHANNELS:
        return list(pixels)
    if pixels.ndim == 4 and shape[1] in _CHANNELS:
        return list(np.moveaxis(pixels, 1, 3))
    raise _not_a_picture(shape, name)


def picture_in(pixels: NDArray[np.uint8], name: str = "the array") -> Picture:
    """Return one picture from its pixels; an alpha channel is composited on white, as for files.

    Raises
    ------
    InputMismatchError
        It is not (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels.

    Examples
    --------
    >>> picture_in(np.zeros((8, 9, 1), np.uint8)).array.shape
    (8, 9)
    """
    shape = pixels.shape
    if pixels.ndim == 3 and shape[2] == 4:
        return picture_of(Image.fromarray(np.ascontiguousarray(pixels)), name=name)
    if pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in _CHANNELS):
        return Picture(pixels[..., 0] if pixels.ndim == 3 and shape[2] == 1 else pixels, (), None)
    if pixels.ndim == 3 and shape[0] in _CHANNELS:
        return picture_in(np.moveaxis(pixels, 0, 2), name)
    raise _not_a_picture(shape, name)


def _not_a_picture(shape: tuple[int, ...], name: str) -> InputMismatchError:
    return InputMismatchError(
        f"{name} is {shape} uint8, which is not a picture. Pixels are (H, W) or (H, W, C), or several (N, H, W), "
        "(N, H, W, C) or (N, C, H, W), with 1, 3 or 4 channels C; input tensors of the model are floating-point."
    )
