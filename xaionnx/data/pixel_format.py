"""PixelFormat: pixels of pictures as the numbers of a model, and back for display."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from xaionnx.data.images import Resize, fit
from xaionnx.data.spec_fields import CHANNELS, Color, Layout
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in a gray value (ITU-R BT.601)."""

# Elements of planes that are converted at a time.
_ELEMENTS: Final = 2**16


@final
@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of pictures become the tensor of a model.

    Attributes
    ----------
    layout, size, color, mean, scale, resize
        As in :class:`xaionnx.data.spec.InputSpec`.
    """

    layout: Layout
    size: tuple[int, int] | None
    color: Color
    mean: Sequence[float] | float
    scale: Sequence[float] | float
    resize: Resize

    __repr__ = short_repr

    @property
    def channels(self) -> int:
        """Number of channels C of the picture tensor."""
        return CHANNELS[self.color]

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in the batch-first tensor."""
        return 1 if self.layout == "NCHW" else 3

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Axes of H and W in the batch-first tensor."""
        return (2, 3) if self.layout == "NCHW" else (1, 2)

    def fit(self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Resize pictures to ``size``, if it is not None; see :meth:`xaionnx.data.spec.InputSpec.fit`."""
        return [self._resize(number, picture) for number, picture in enumerate(pictures)]

    def to_tensor(
        self, pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], dtype: DTypeLike = np.float32
    ) -> Array:
        """Convert pictures to the model's tensor; see :meth:`xaionnx.data.spec.InputSpec.to_tensor`."""
        fitted = [self._convert_color(picture) for picture in self.fit(pictures)]
        if not fitted:
            raise InputMismatchError("InputSpec.to_tensor got no pictures. Give at least one.")
        first = fitted[0].shape
        for i, picture in enumerate(fitted):
            if picture.shape != first:
                raise InputMismatchError(
                    f"Picture {i} is {picture.shape[0]} x {picture.shape[1]} pixels and picture 0 is "
                    f"{first[0]} x {first[1]}. Give the InputSpec a 'size', or pictures of one size."
                )
        # Pixels have only 256 values: compute each once in float64 and round it to the dtype once.
        steps = np.arange(256, dtype=np.float64)[:, None]
        table = _cast(steps, np.array(self.mean), np.array(self.scale), np.dtype(dtype))
        shape = (len(fitted), *((self.channels, *first[:2]) if self.layout == "NCHW" else (*first[:2], self.channels)))
        tensor = np.empty(shape, table.dtype)
        planes = np.moveaxis(tensor, self.channel_axis, 3)
        for c in range(self.channels):
            column = np.ascontiguousarray(table[:, c])
            for i, picture in enumerate(fitted):
                # Into the plane itself, where any other mode would make an array first.
                np.take(column, picture[..., c], out=planes[i, ..., c], mode="clip")
        return tensor

    def to_pictures(self, tensor: ArrayLike) -> NDArray[np.uint8]:
        """Convert a tensor back to pictures; see :meth:`xaionnx.data.spec.InputSpec.to_pictures`."""
        array = np.asarray(tensor)
        if array.ndim != 4 or array.shape[self.channel_axis] != self.channels:
            wanted = f"(N, {self.channels}, H, W)" if self.layout == "NCHW" else f"(N, H, W, {self.channels})"
            raise InputMismatchError(f"InputSpec.to_pictures needs an array {wanted}. Got {array.shape} instead.")
        last = np.moveaxis(array, self.channel_axis, 3)
        pixels = np.empty((*last.shape[:3], 3), np.uint8)
        # Some planes at a time in a small array: fifty times as fast as all at once.
        height, width = last.shape[1:3]
        some = min(len(last), _ELEMENTS // max(1, height * width))
        held = np.empty((max(1, some), height, width), np.float64)
        scale, mean = np.array(self.scale), np.array(self.mean)
        for start, n in itertools.product(range(0, len(last), len(held)), range(self.channels)):
            given = last[start : start + len(held), ..., n]
            planes = np.multiply(given, scale[n], out=held[: len(given)])
            planes += mean[n]
            np.clip(np.rint(planes, out=planes), 0, 255, out=planes)
            pixels[start : start + len(held), ..., n] = planes
        if self.color == "L":
            pixels[..., 1:] = pixels[..., :1]
        elif self.color == "BGR":
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        return pixels

    def pixel(self, value: float) -> NDArray[np.float32]:
        """Return the tensor value of a gray pixel; see :meth:`xaionnx.data.spec.InputSpec.pixel`."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 255:
            raise ParameterError(
                f"The 'value' parameter of InputSpec.pixel must be a number in [0, 255]. Got {value!r} instead."
            )
        channels: NDArray[np.float32] = ((value - np.array(self.mean)) / np.array(self.scale)).astype(np.float32)
        return channels.reshape((-1, 1, 1) if self.layout == "NCHW" else (1, 1, -1))

    def _resize(self, number: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        array = np.asarray(picture)
        shape = array.shape
        good = array.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and array.size
        if not good:
            raise InputMismatchError(
                f"Picture {number} must be a uint8 array (H, W, 3) or (H, W). Got {shape} {array.dtype} instead."
            )
        return fit(array, self.size, self.resize) if self.size else array

    def _convert_color(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.color == "L":
            gray = picture if picture.ndim == 2 else np.rint(picture @ LUMA).astype(np.uint8)
            return gray[..., None]
        rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        return rgb[..., ::-1] if self.color == "BGR" else rgb


def _cast(pixels: Array, mean: Array, scale: Array, dtype: DType) -> Array:
    values = np.asarray((pixels - mean) / scale)
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    if not np.issubdtype(dtype, np.integer):
        raise ParameterError(
            f"The 'dtype' parameter of InputSpec.to_tensor must be a float or integer type. Got {dtype} instead."
        )
    limits = np.iinfo(dtype)
    whole = np.array_equal(np.rint(values), values)
    if not whole or values.min() < limits.min or values.max() > limits.max:
        raise ParameterError(
            f"Pixels, less the mean {_listed(mean)} and divided by the scale {_listed(scale)}, are not whole numbers "
            f"that fit {dtype}, which the input holds. Give the 'mean' and 'scale' that the model was trained with, in "
            "its .toml file; without one they are guessed from the type and the metadata of the model."
        )
    return values.astype(dtype)


def _listed(numbers: Array) -> str:
    """One number for all channels, or one each."""
    each = numbers.reshape(-1).tolist()
    return ", ".join(f"{number:g}" for number in (each[:1] if len(set(each)) == 1 else each))
