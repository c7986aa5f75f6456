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
import numpy.typing as npt

from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, eq=False)
class Players:
    """P players resolved for one sample.

    Attributes
    ----------
    maps : dict of arrays of int32 by input name
        For each element the number of its player, broadcasting to the input; inputs that are not named
        are never changed.
    labels : array
        The label that each player had, (P,).
    features : Features or None
        What divided the sample.
    """

    maps: Mapping[str, Array]
    labels: Array
    features: Features | None = None

    @classmethod
    def of(cls, maps: Mapping[str, Array], features: Features | None = None) -> Players:
        """Number the players of one or several label maps: equal labels are one player, across inputs too."""
        each = [np.asarray(m, dtype=np.int64).reshape(-1) for m in maps.values()]
        lowest, highest = min(int(m.min()) for m in each), max(int(m.max()) for m in each)
        if lowest == 0 and highest < sum(m.size for m in each):
            # Counting is faster than sorting, and pixels are many.
            count = np.bincount(np.concatenate(each))
            if count.all():
                numbered = {name: np.asarray(m).astype(np.int32) for name, m in maps.items()}
                return cls(numbered, np.arange(len(count)), features)
        known = np.unique(np.concatenate(each))
        return cls({name: np.searchsorted(known, m).astype(np.int32) for name, m in maps.items()}, known, features)

    @property
    def count(self) -> int:
        """The number P of players."""
        return len(self.labels)

    def spread(self, values: Array, x: Mapping[str, Array]) -> dict[str, Array]:
        """Give each player's value (T, P) to each of its elements: arrays (T, ...) by input, 0 where unnamed."""
        spread = {}
        for name, array in x.items():
            if name in self.maps:
                labels = np.broadcast_to(self.maps[name], array.shape)
                spread[name] = values[:, labels].astype(np.float32)
            else:
                spread[name] = np.zeros((len(values), *array.shape), dtype=np.float32)
        return spread


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
            if given not in _NAMED:
                raise UnknownNameError.among("features", given, _NAMED)
            return _NAMED[given]()
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


def _shown(sample: Sample) -> Array:
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

        picture = _shown(sample)
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


_NAMED: dict[str, Callable[[], Features]] = {
    "pixels": Pixels,
    "grid": Grid,
    "superpixels": Superpixels,
    "slic": Superpixels,
    "felzenszwalb": lambda: Superpixels("felzenszwalb"),
    "quickshift": lambda: Superpixels("quickshift"),
    "channels": Channels,
    "elements": Elements,
}
