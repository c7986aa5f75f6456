"""Features: who the players are.

A partition of the input into players is an integer label map over its axes. Whatever labels a map carries,
players are numbered 0..P-1 in the order of the labels, so that no number is shifted against its element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.perturb.players import Players
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


class Features(ABC):
    """How an input is divided into players. Use the constructors, a name, or a label map.

    Names: ``pixels``, ``grid``, ``superpixels``, ``channels``, ``elements``.
    """

    @abstractmethod
    def label_maps(self, sample: Sample) -> dict[str, Array]:
        """Integer labels by input name, each broadcasting to the input without its batch axis."""

    def players(self, sample: Sample) -> Players:
        """The players of one sample."""
        return Players.of(self.label_maps(sample), self.resolved(sample))

    def resolved(self, sample: Sample) -> Features:
        """What a default stands for with this sample."""
        del sample
        return self

    @classmethod
    def of(cls, given: Any) -> Features:
        """The features behind a shorthand: None, a name, a label map, a dict of label maps, or Features.

        A name may carry numbers: ``superpixels:100``, ``grid:8`` or ``grid:6x8``, ``windows:16``, ``felzenszwalb:200``.

        Raises
        ------
        UnknownNameError, ParameterError
            There is no such name, or a label map does not hold integers.

        Examples
        --------
        >>> row = Sample({"x": np.zeros(4)}, "x")
        >>> Features.of([5, 5, 1, -2]).players(row).maps["x"]
        array([2, 2, 1, 0], dtype=int32)
        """
        if given is None:
            return _Default()
        if isinstance(given, Features):
            return given
        if isinstance(given, str):
            return _named(given)
        if isinstance(given, Mapping):
            if not given:
                raise ParameterError("The 'features' parameter must name at least one input. Got {} instead.")
            return LabelMaps({name: _integers(array) for name, array in given.items()})
        return LabelMaps(_integers(given))

    @staticmethod
    def pixels() -> Features:
        """Every pixel, with all its channels, is a player."""
        return Pixels()

    @staticmethod
    def windows(size: int | tuple[int, int]) -> Features:
        """Windows of ``size`` pixels that tile the picture; the last ones may be smaller."""
        height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
        return Windows(height, width)

    @staticmethod
    def grid(rows: int = 7, columns: int | None = None) -> Features:
        """A grid of ``rows`` by ``columns`` cells of nearly equal size."""
        return Grid(rows, rows if columns is None else columns)

    @staticmethod
    def superpixels(
        algorithm: str = "slic", *, count: int = 50, compactness: float = 10.0, scale: float = 100.0, sigma: float = 1.0
    ) -> Features:
        """Superpixels: ``slic`` (about ``count`` of them), ``felzenszwalb`` (``scale``) or ``quickshift``."""
        return Superpixels(algorithm, count, compactness, scale, sigma)

    @staticmethod
    def channels() -> Features:
        """Every channel of a picture is a player."""
        return Channels()

    @staticmethod
    def elements() -> Features:
        """Every element of every input is a player; the columns of a table."""
        return Elements()

    @staticmethod
    def columns(groups: Mapping[str, list[int]] | list[list[int]]) -> Features:
        """Groups of columns of a table; columns in no group are players by themselves."""
        return Columns(tuple(tuple(g) for g in (groups.values() if isinstance(groups, Mapping) else groups)))


def _over_pixels(sample: Sample, labels: Array) -> Array:
    """A map (H, W) with an axis of length 1 where the channels are."""
    axes = sample.picture_axes
    return labels if axes is None else np.expand_dims(labels, axes[0])


def shown(sample: Sample) -> Array:
    """The explained input as a uint8 picture (H, W, 3); without a spec its range is stretched to 0..255."""
    sample.spatial("features='superpixels'")
    spec = sample.pixels_of(sample.main)
    if spec is not None:
        shown: Array = spec.to_pictures(sample.array[None])[0]
        return shown
    channel, _ = sample.picture_axes or (0, (1, 2))
    values = np.moveaxis(sample.array, channel, -1).astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) * (255 / (high - low) if high > low else 0)
    return np.broadcast_to(np.rint(scaled), (*scaled.shape[:2], 3)).astype(np.uint8)


def _positive(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ParameterError(
            f"The '{name}' parameter of Features.{owner} must be an int in [1, inf). Got {value!r} instead."
        )


def _integers(given: Any) -> Array:
    array = np.asarray(given)
    if array.dtype.kind not in "iu":
        raise ParameterError(
            f"The 'features' parameter must be a name, Features, or an integer label map. Got {array.dtype} instead."
        )
    return array


@final
@dataclass(frozen=True)
class _Default(Features):
    """Superpixels of a picture, else elements."""

    def resolved(self, sample: Sample) -> Features:
        return Elements() if sample.picture_axes is None else Superpixels()

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return self.resolved(sample).label_maps(sample)


@final
@dataclass(frozen=True)
class Pixels(Features):
    """Every pixel, with all its channels."""

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("features='pixels'")
        return {sample.main: _over_pixels(sample, np.arange(height * width).reshape(height, width))}


@final
@dataclass(frozen=True)
class Windows(Features):
    """Tiles of ``height`` by ``width`` pixels, row by row."""

    height: int
    width: int

    def __post_init__(self) -> None:
        for size in (self.height, self.width):
            _positive("windows", "size", size)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("Features.windows")
        rows, columns = np.arange(height) // self.height, np.arange(width) // self.width
        return {sample.main: _over_pixels(sample, rows[:, None] * (columns[-1] + 1) + columns)}


@final
@dataclass(frozen=True)
class Grid(Features):
    """``down`` by ``across`` cells whose sizes differ by one pixel at most."""

    down: int = 7
    across: int = 7

    def __post_init__(self) -> None:
        _positive("grid", "rows", self.down)
        _positive("grid", "columns", self.across)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        height, width = sample.spatial("features='grid'")
        if self.down > height or self.across > width:
            raise ParameterError(
                f"A grid of {self.down} by {self.across} cells does not fit a picture of {height} by {width} pixels."
            )
        rows, columns = np.arange(height) * self.down // height, np.arange(width) * self.across // width
        return {sample.main: _over_pixels(sample, rows[:, None] * self.across + columns)}


@final
@dataclass(frozen=True)
class Superpixels(Features):
    """Regions of similar colour, by scikit-image.

    References
    ----------
    Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120; Felzenszwalb and Huttenlocher,
    IJCV 2004, doi:10.1023/B:VISI.0000022288.19776.77; Vedaldi and Soatto, Quick shift, ECCV 2008.
    """

    algorithm: str = "slic"
    count: int = 50
    compactness: float = 10.0
    scale: float = 100.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.algorithm not in ("slic", "felzenszwalb", "quickshift"):
            raise UnknownNameError.among("superpixel algorithm", self.algorithm, ("slic", "felzenszwalb", "quickshift"))
        _positive("superpixels", "count", self.count)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        from skimage import segmentation

        picture = shown(sample)
        if self.algorithm == "slic":
            labels = segmentation.slic(
                picture, n_segments=self.count, compactness=self.compactness, sigma=self.sigma, start_label=0
            )
        elif self.algorithm == "felzenszwalb":
            labels = segmentation.felzenszwalb(picture, scale=self.scale, sigma=self.sigma, min_size=50)
        else:
            quickshift: Any = segmentation.quickshift  # untyped
            labels = quickshift(picture, kernel_size=4, max_dist=200, ratio=0.2, sigma=self.sigma, rng=0)
        return {sample.main: _over_pixels(sample, labels)}


@final
@dataclass(frozen=True)
class Channels(Features):
    """Every channel of a picture."""

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        sample.spatial("features='channels'")
        axes = sample.picture_axes
        assert axes is not None  # sample.spatial refuses what is no picture
        shape = [1, 1, 1]
        shape[axes[0]] = sample.array.shape[axes[0]]
        return {sample.main: np.arange(shape[axes[0]]).reshape(shape)}


@final
@dataclass(frozen=True)
class Elements(Features):
    """Every element of every input with a batch axis, counted on from input to input."""

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps, first = {}, 0
        for name, array in sample.own.items():
            maps[name] = np.arange(first, first + array.size).reshape(array.shape)
            first += array.size
        return maps


@final
@dataclass(frozen=True)
class Columns(Features):
    """Groups of columns of the explained input, whose last axis is the columns."""

    groups: tuple[tuple[int, ...], ...]

    __repr__ = short_repr

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        columns = sample.array.shape[-1]
        flat = [c for group in self.groups for c in group]
        if len(set(flat)) != len(flat) or any(not 0 <= c < columns for c in flat) or () in self.groups:
            raise ParameterError(
                f"Groups of columns must hold columns of 0..{columns - 1}, each at most once. Got {self.groups}."
            )
        labels = np.arange(columns)
        for group in self.groups:
            labels[list(group)] = min(group)
        return {sample.main: labels}


@final
@dataclass(frozen=True, eq=False)
class LabelMaps(Features):
    """Label maps of the user: for the explained input, or by input name; shared by all samples or one a sample.

    A map has the input's axes without the batch, of which the first ones and the channels of a picture may be left
    out. With the batch axis it is one map a sample.
    """

    given: Array | Mapping[str, Array]

    __repr__ = short_repr

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps = self.given if isinstance(self.given, Mapping) else {sample.main: self.given}
        for name in maps:
            if name not in sample.x:
                raise UnknownNameError.among("input", name, sample.x)
            if name in sample.shared:
                raise InputMismatchError(
                    f"Input '{name}' has no batch axis: it is the same for all samples, and nothing of it is removed. "
                    "Leave it out of the features."
                )
        return {name: self._placed(sample, name, labels) for name, labels in maps.items()}

    @staticmethod
    def _placed(sample: Sample, name: str, labels: Array) -> Array:
        shape, axes = sample.x[name].shape, sample.axes(name)
        spatial = None if axes is None else tuple(shape[axis] for axis in axes[1])
        each = labels.shape[:1] == (sample.count,) and labels.shape[1:] == spatial
        if each and labels.shape == shape and sample.count > 1:
            raise InputMismatchError(
                f"The label map of features, {shape}, may hold one map for each of {sample.count} samples, or one for "
                "each channel. Give it with the batch axis and the channel's, both of which may have length 1."
            )
        if each or (labels.ndim == len(shape) + 1 and labels.shape[0] in (1, sample.count)):
            labels = labels[sample.number if labels.shape[0] > 1 else 0]
        if axes is not None and labels.shape == spatial:
            return np.expand_dims(labels, axes[0])
        padded = labels.reshape((1,) * (len(shape) - labels.ndim) + labels.shape)
        if padded.ndim == len(shape) and all(a in (1, b) for a, b in zip(padded.shape, shape, strict=True)):
            return padded
        raise InputMismatchError(
            f"The label map of features has the shape {labels.shape}, which does not fit input '{name}' of shape "
            f"{('N', *shape)}. Give one label for each element, or leave out axes such as the channel."
        )


_NAMED: dict[str, Callable[..., Features]] = {
    "pixels": Pixels,
    "grid": Features.grid,
    "superpixels": lambda count=50: Superpixels(count=count),
    "slic": lambda count=50: Superpixels(count=count),
    "felzenszwalb": lambda scale=100: Superpixels("felzenszwalb", scale=float(scale)),
    "quickshift": lambda: Superpixels("quickshift"),
    "windows": lambda height=16, width=None: Windows(height, height if width is None else width),
    "channels": Channels,
    "elements": Elements,
}
# How many numbers a name may carry.
_NUMBERS = {"grid": 2, "superpixels": 1, "slic": 1, "felzenszwalb": 1, "windows": 2}


def _named(text: str) -> Features:
    name, colon, rest = text.partition(":")
    if name not in _NAMED:
        raise UnknownNameError.among("features", name, _NAMED)
    numbers = rest.split("x") if colon else []
    if len(numbers) > _NUMBERS.get(name, 0) or not all(number.strip().isdecimal() for number in numbers):
        raise ParameterError(f"The features '{text}' must be a name, or end in numbers as 'superpixels:100' does.")
    return _NAMED[name](*map(int, numbers))
