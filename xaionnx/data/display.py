"""Display: what a result is drawn over, small enough to be kept with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from PIL import Image

from xaionnx.data.sample import Sample
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

DisplayKind = Literal["picture", "series", "row"]

LONGEST_SIDE: Final = 512
"""Pixels of the longer side of a picture that is kept: enough for a screen, and 786 kB at most."""

MOST_BYTES: Final = 64 * 2**20
"""Of all samples of an input together: of large batches smaller pictures are kept, of still larger ones the first."""

# Of smaller pictures nothing would be recognised.
_SHORTEST_SIDE: Final = 96


@final
@dataclass(frozen=True, eq=False)
class Display:
    """What the model saw of the first K of N samples of one input.

    Attributes
    ----------
    kind : {"picture", "series", "row"}
    array : array (K, ...)
        Of pictures uint8 (K, h, w, 3), reduced to 512 pixels; of series (K, C, T) or (K, T, C); of rows (K, F), as the
        model takes them.
    names : tuple of F str
        Names of the columns of rows; empty where there are none.
    channel : int
        The axis of the channels of series, behind the batch.
    size : (int, int) or None
        Height and width of the pictures before they were reduced.
    """

    kind: DisplayKind
    array: Array
    names: tuple[str, ...] = ()
    channel: int = 0
    size: tuple[int, int] | None = None

    __repr__ = short_repr
    __hash__ = None  # type: ignore[assignment]  # as of all that is compared by arrays

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Display):
            return NotImplemented
        alike = (self.kind, self.names, self.channel, self.size) == (other.kind, other.names, other.channel, other.size)
        return alike and np.array_equal(self.array, other.array)

    def sample(self, n: int) -> Display:
        """That of one sample, (1, ...); of none where it was not kept."""
        return dataclasses.replace(self, array=self.array[n : n + 1])

    def picture(self) -> Array:
        """The picture of the first sample, uint8 (H, W, 3), in the size in which the model saw it."""
        found: Array = self.array[0]
        if self.size is None or self.size == found.shape[:2]:
            return found
        return np.asarray(Image.fromarray(found).resize(self.size[::-1], Image.Resampling.BICUBIC))


def as_picture(sample: Sample, name: str | None = None) -> Array:
    """An input that is a picture as uint8 (H, W, 3): as the spec scales its pixels, else its range as 0..255."""
    name = sample.main if name is None else name
    spec, x = sample.pixels_of(name), sample.x[name]
    if spec is not None:
        told: Array = spec.to_pictures(x[None])[0]
        return told
    channel, _ = sample.axes(name) or (0, (1, 2))
    values = np.moveaxis(x, channel, -1).astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) * (255 / (high - low) if high > low else 0)
    return np.broadcast_to(np.rint(scaled), (*scaled.shape[:2], 3)).astype(np.uint8)


def pictures_of(samples: Sequence[Sample], name: str) -> Display:
    """The pictures of an input of N samples, within :data:`MOST_BYTES`."""
    fitting = int((MOST_BYTES / (3 * len(samples))) ** 0.5)
    side = min(LONGEST_SIDE, max(_SHORTEST_SIDE, fitting))
    reduced = [_reduced(as_picture(one, name), side) for one in samples[: MOST_BYTES // (3 * side**2)]]
    axes = samples[0].axes(name)
    assert axes is not None  # only pictures come here
    shape = samples[0].x[name].shape
    return Display("picture", np.stack(reduced), size=(shape[axes[1][0]], shape[axes[1][1]]))


def numbers_of(array: Array, kind: DisplayKind, names: Sequence[str] = (), channel: int = 0) -> Display:
    """A copy of rows (N, F) or series, within :data:`MOST_BYTES`."""
    kept = array[: max(1, MOST_BYTES // max(1, array[0].nbytes))]
    named = tuple(names) if kind == "row" and len(names) == array.shape[-1] else ()
    return Display(kind, kept.astype(str) if kept.dtype.hasobject else kept.copy(), named, channel)


def _reduced(picture: Array, side: int) -> Array:
    longest = max(picture.shape[:2])
    if longest <= side:
        return picture
    height, width = (max(1, round(length * side / longest)) for length in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
