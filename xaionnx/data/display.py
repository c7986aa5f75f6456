"""Display: the input over which a result is drawn, small enough to be stored with it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, final

import numpy as np
from PIL import Image

from xaionnx.data.sample import Positions, Sample
from xaionnx.data.series import series
from xaionnx.data.time_axis import TimeAxis
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

DisplayKind = Literal["picture", "series", "row", "volume", "text", "bytes"]

LONGEST_SIDE: Final = 512
"""Longer side of stored pictures in pixels: enough for a screen, and at most 786 kB."""

MOST_BYTES: Final = 64 * 2**20
"""Total size of all samples of an input: large batches store smaller pictures, still larger ones only the first."""

_COLOURS: Final = 3
# Size of the pictures that are converted at once.
_CONVERTED_BYTES: Final = 2**20
# Smaller pictures would not be recognisable.
_SHORTEST_SIDE: Final = 96


@final
@dataclass(frozen=True, eq=False)
class Display:
    """The first K of N samples of one input, as the model saw them.

    Attributes
    ----------
    kind : {"picture", "series", "row", "volume", "text", "bytes"}
    array : array (K, ...)
        For pictures uint8 (K, h, w, 3), reduced to 512 pixels; for volumes uint8 (K, D, H, W), in gray; for series
        (K, C, T), (K, T, C) or (K, T), for rows (K, F), for texts and bytes (K, T) tokens, the values fed to the model.
    names : tuple of F or C str
        Column names of rows, channel names of series; empty if there are none.
    units : tuple of F str
        Units of the columns of rows, such as ``months``; empty if none is known. A column without a unit has "".
    words : mapping of int to tuple of str
        For columns of rows that hold codes of categories, by the number of the column: the words of 0, 1, 2, ...
    channel : int
        The axis of the channels of series and volumes, not counting the batch.
    size : (int, int) or None
        Original height and width of pictures.
    step, unit, start : float, str, float or str
        When the steps of a series are, as in :class:`~xaionnx.data.time_axis.TimeAxis`.
    texts : tuple of K str
        The texts, or the bytes that the model saw of files, as characters 0 to 255; empty for other kinds.
    """

    kind: DisplayKind
    array: Array
    names: tuple[str, ...] = ()
    channel: int = 0
    size: tuple[int, int] | None = None
    units: tuple[str, ...] = ()
    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    step: float = 1.0
    unit: str = ""
    start: float | str = 0.0
    texts: tuple[str, ...] = ()

    __repr__ = short_repr
    __hash__ = None  # type: ignore[assignment]  # not hashable, like arrays

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Display):
            return NotImplemented
        alike = all(
            getattr(self, item.name) == getattr(other, item.name)
            for item in dataclasses.fields(self)
            if item.name != "array"
        )
        return alike and np.array_equal(
            self.array, other.array, equal_nan=self.array.dtype.kind == "f" == other.array.dtype.kind
        )

    @property
    def time(self) -> TimeAxis:
        """When the steps of a series are."""
        return TimeAxis(self.step, self.unit, self.start)

    def sample(self, n: int) -> Display:
        """Return the display of one sample, (1, ...); empty if it was not stored."""
        return self.some([n])

    def some(self, numbers: Sequence[int]) -> Display:
        """Return the display of some samples; up to the first that was not stored, since the stored ones come first."""
        stored = list(itertools.takewhile(lambda n: n < len(self.array), numbers))
        texts = tuple(self.texts[n] for n in numbers if n < len(self.texts))
        return dataclasses.replace(self, array=self.array[stored], texts=texts)

    def picture(self) -> Array:
        """Return the picture of the first sample, uint8 (H, W, 3), in its original size."""
        stored: Array = self.array[0]
        if self.size is None or self.size == stored.shape[:2]:
            return stored
        return np.asarray(Image.fromarray(stored).resize(self.size[::-1], Image.Resampling.BICUBIC))


def as_picture(sample: Sample, name: str | None = None, replacement: Array | None = None) -> Array:
    """Return a picture input as uint8 (H, W, 3): unscaled as the spec says, or its range mapped to 0..255.

    ``replacement`` is shown in place of the input, on its scale.
    """
    name = sample.main if name is None else name
    spec, x = sample.pixels_of(name), sample.x[name]
    shown = x if replacement is None else replacement
    if spec is not None:
        picture: Array = spec.to_pictures(shown[None])[0]
        return picture
    found = sample.placed("A picture", name)
    own = _planes(x, found)
    low, high = np.float64(own.min()), np.float64(own.max())
    values = own if replacement is None else np.clip(_planes(shown, found), low, high)
    unit = 255 / (high - low) if high > low else 0.0
    pixels = np.empty((*found.extent, _COLOURS), np.uint8)
    # Plane by plane in a small array, which is faster than all at once.
    for number in range(values.shape[-1]):
        plane = np.subtract(values[..., number], low, dtype=np.float64)
        plane *= unit
        pixels[..., number] = np.rint(plane, out=plane)
    if values.shape[-1] == 1:
        pixels[..., 1:] = pixels[..., :1]
    return pixels


def _planes(x: Array, found: Positions) -> Array:
    """A picture as one plane or three, (H, W, 1) or (H, W, 3)."""
    # Any axes but those of the places are channels.
    values = np.moveaxis(x, found.axes, (0, 1)).reshape(*found.extent, -1)
    if values.shape[-1] in (1, _COLOURS):
        return values
    # Bands of unknown colours: their mean, in gray.
    return np.asarray(values.astype(np.float64).mean(axis=-1, keepdims=True))


def has_colours(sample: Sample) -> bool:
    """Whether the channels of a picture are colours, or it is gray, so that `as_picture` shows all of it."""
    found = sample.placed("A picture")
    return sample.pixels_of(sample.main) is not None or math.prod(
        sample.array.shape[axis] for axis in found.values
    ) in (1, _COLOURS)


def bands(sample: Sample, what: str) -> Array:
    """Return the explained input as (*extent, C) float64 with each of its C channels scaled to [0, 1].

    Raises
    ------
    InputMismatchError
        The input has no positions in space or time, and ``what`` needs them.

    Examples
    --------
    >>> from xaionnx.graph.roles import Role
    >>> row = Sample({"x": np.array([[1.0, 3], [5, 5]])}, "x", roles={"x": (Role.CHANNEL, Role.TIME)})
    >>> bands(row, "This").tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    found = sample.placed(what)
    last = np.nan_to_num(np.moveaxis(sample.array.astype(np.float64), found.axes, range(len(found.axes))))
    values = last.reshape(*found.extent, -1)
    own = tuple(range(values.ndim - 1))
    low, high = values.min(axis=own), values.max(axis=own)
    return np.asarray((values - low) / np.where(high > low, high - low, 1))


def pictures_of(samples: Sequence[Sample], name: str) -> Display:
    """Return the pictures of an input of N samples, within :data:`MOST_BYTES`."""
    fitting = int((MOST_BYTES / (3 * len(samples))) ** 0.5)
    side = min(LONGEST_SIDE, max(_SHORTEST_SIDE, fitting))
    reduced = [shrunk(one, side) for one in _pictures(samples[: MOST_BYTES // (3 * side**2)], name)]
    height, width = samples[0].placed("A picture", name).extent
    return Display("picture", np.stack(reduced), size=(height, width))


def _pictures(samples: Sequence[Sample], name: str) -> Iterator[Array]:
    """Yield an input of each sample as `as_picture` does; many small ones are converted at once."""
    spec = samples[0].pixels_of(name)
    if spec is None:
        yield from (as_picture(one, name) for one in samples)
        return
    some = max(1, _CONVERTED_BYTES // max(1, samples[0].x[name].nbytes))
    for start in range(0, len(samples), some):
        yield from spec.to_pictures(np.stack([one.x[name] for one in samples[start : start + some]]))


def volumes_of(samples: Sequence[Sample], name: str) -> Display:
    """Return the volumes of an input of N samples in gray, each from its least to its greatest value.

    Values of several channels are averaged. At most :data:`MOST_BYTES` are kept.
    """
    found = samples[0].placed("A volume", name)
    most = max(1, MOST_BYTES // math.prod(found.extent))
    shown = []
    for sample in samples[:most]:
        gray = sample.x[name].astype(np.float64).mean(axis=found.values)
        low, high = gray.min(), gray.max()
        shown.append(np.rint((gray - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8))
    return Display("volume", np.stack(shown), channel=found.values[0])


def series_of(array: Array, sample: Sample, name: str) -> Display | None:
    """Return a copy of series (N, ...), within :data:`MOST_BYTES`; None if the input is none.

    The time and the names of channels are those of the spec of ``sample``, the first of the batch.
    """
    over = series(sample, name)
    if over is None:
        return None
    spec = sample.spec if name == sample.main else None
    names = spec.channel_names if spec is not None and len(spec.channel_names) == (over.channels or 1) else ()
    time = (None if spec is None else spec.time) or TimeAxis()
    return Display(
        "series",
        _within_limit(array).copy(),
        tuple(names),
        over.channel,
        step=time.step,
        unit=time.unit,
        start=time.start,
    )


def _within_limit(array: Array) -> Array:
    return array[: max(1, MOST_BYTES // max(1, array[0].nbytes))]


def texts_of(samples: Sequence[Sample], array: Array) -> Display:
    """Return the texts of N samples, or the bytes of files, within :data:`MOST_BYTES`.

    ``array`` (N, ...) holds their tokens or strings.
    """
    texts, size = list[str](), 0
    for sample in samples:
        text = "" if sample.text is None else sample.text.text
        size += 4 * len(text)
        if texts and size > MOST_BYTES:
            break
        texts.append(text)
    stored = array[: len(texts)].reshape(len(texts), -1)
    # Strings are the texts themselves.
    tokens = np.zeros(stored.shape, np.int64) if stored.dtype.hasobject else stored.copy()
    first = samples[0].text
    return Display("text" if first is None or first.file is None else "bytes", tokens, texts=tuple(texts))


def rows_of(
    array: Array,
    names: Sequence[str] = (),
    units: Sequence[str] = (),
    categories: Mapping[str, Sequence[str]] | None = None,
) -> Display:
    """Return a copy of rows (N, F), within :data:`MOST_BYTES`, with the names, units and categories of their columns.

    Names are left out if there are not F of them, and the rest with them; ``categories`` are words by column name.

    Examples
    --------
    >>> rows_of(np.ones((1, 2)), ["age", "housing"], ["years", ""], {"housing": ["rent", "own"]}).words
    {1: ('rent', 'own')}
    """
    stored = _within_limit(array)
    display = Display("row", stored.astype(str) if stored.dtype.hasobject else stored.copy())
    if not names or len(names) != array.shape[-1]:
        return display
    known = categories or {}
    return dataclasses.replace(
        display,
        names=tuple(names),
        units=tuple(units) if len(units) == len(names) and any(units) else (),
        words={number: tuple(known[name]) for number, name in enumerate(names) if name in known},
    )


def shrunk(picture: Array, side: int) -> Array:
    """Return a picture whose longer side has at most ``side`` pixels."""
    longest = max(picture.shape[:2])
    if longest <= side:
        return picture
    height, width = (max(1, round(length * side / longest)) for length in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
