"""Features: how an input is divided into players.

A partition of the input into players is an integer label map over its axes. A map may use any labels; players are
numbered 0..P-1 in the order of the labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.series import series
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import ParameterError
from xaionnx.hooks import hook
from xaionnx.parameters import free
from xaionnx.perturb.by_name import by_input_name, read_option
from xaionnx.perturb.names import player_names
from xaionnx.perturb.players import Players
from xaionnx.registry import Form, Registry, Shorthand
from xaionnx.typing import Array, FeaturesLike


class Features(ABC):
    """How an input is divided into players. Use the constructors, a name, or a label map.

    Each file of :mod:`xaionnx.perturb.partitions` defines one kind.

    Attributes
    ----------
    forms : tuple of Form
        Text forms of the kind; none by default.
    noun : str
        What a part is called, in names such as ``superpixel 3``.

    Examples
    --------
    >>> FEATURES.words()[:52]
    'bytes[:length], changepoints[:count], channel_change'
    """

    forms: ClassVar[tuple[Form[Features], ...]] = ()
    noun: ClassVar[str] = "part"

    @abstractmethod
    def label_maps(self, sample: Sample) -> dict[str, Array]:
        """Return integer labels by input name, each broadcasting to the input without its batch axis."""

    @hook
    def players(self, sample: Sample) -> Players:
        """Return the players of one sample."""
        resolved = self.resolved(sample)
        if resolved is not self:
            return resolved.players(sample)
        players = Players.of(self.label_maps(sample), self)
        return replace(players, names=player_names(players, sample))

    @hook
    def noun_of(self, name: str) -> str:
        """Return what a part of the input ``name`` is called, such as ``superpixel``."""
        del name
        return self.noun

    @hook
    def are_shared(self, sample: Sample) -> bool:
        """Whether all samples of the batch of this one have the same players."""
        del sample
        return False

    @hook
    def resolved(self, sample: Sample) -> Features:
        """Return the features that a default stands for with this sample."""
        del sample
        return self

    @classmethod
    def of(cls, given: FeaturesLike) -> Features:
        """Return the features for a shorthand: None, a name, a label map, Features, or a dict of these by input name.

        A name may include numbers: ``superpixels:100``, ``grid:8`` or ``grid:6x8``, ``windows:16``,
        ``felzenszwalb:200``. Text may also name inputs: ``picture=superpixels:30,row=elements``. Equal labels of
        several label maps are one player; other features of several inputs are numbered consecutively.

        Raises
        ------
        UnknownNameError, ParameterError
            The name is unknown, or a label map is not of integers.

        Examples
        --------
        >>> row = Sample({"x": np.zeros(4)}, "x")
        >>> Features.of([5, 5, 1, -2]).players(row).maps["x"]
        array([2, 2, 1, 0], dtype=int32)
        """
        from xaionnx.perturb.partitions.label_maps import LabelMaps

        if given is None:
            return DefaultFeatures("superpixels", "superpixels")
        if isinstance(given, Features):
            return given
        if isinstance(given, str):
            return _by_input(by_input_name(given, "features")) if "=" in given else FEATURES.read(given)
        if isinstance(given, Mapping):
            return _by_input(given)
        return LabelMaps(_check_integers(given))

    @staticmethod
    def pixels() -> Features:
        """One player per pixel, with all its channels."""
        from xaionnx.perturb.partitions.pixels import Pixels

        return Pixels()

    @staticmethod
    def windows(size: int | tuple[int, int]) -> Features:
        """Windows of ``size`` pixels that tile the picture; the last ones may be smaller."""
        from xaionnx.perturb.partitions.windows import Windows

        height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
        return Windows(height, width)

    @staticmethod
    def grid(rows: int = 7, columns: int | None = None) -> Features:
        """A grid of ``rows`` by ``columns`` cells of nearly equal size."""
        from xaionnx.perturb.partitions.grid import Grid

        return Grid(rows, rows if columns is None else columns)

    @staticmethod
    def superpixels(
        algorithm: str = "slic", *, count: int = 50, compactness: float = 10.0, scale: float = 100.0, sigma: float = 1.0
    ) -> Features:
        """Superpixels by ``slic`` (about ``count`` of them), ``felzenszwalb`` (``scale``) or ``quickshift``.

        ``slic`` also divides volumes, into supervoxels.
        """
        from xaionnx.perturb.partitions.superpixels import Superpixels

        return Superpixels(algorithm, count, compactness, scale, sigma)

    @staticmethod
    def channels() -> Features:
        """One player per channel of a picture or series."""
        from xaionnx.perturb.partitions.channels import Channels

        return Channels()

    @staticmethod
    def segments(count: int | None = None, *, by_channel: bool = False) -> Features:
        """``count`` segments of a series of nearly equal length, for all channels together or for each by itself.

        By default there are 32, or one per step of a shorter series.
        """
        from xaionnx.perturb.partitions.segments import Segments

        return Segments(count, by_channel=by_channel)

    @staticmethod
    def changepoints(count: int = 10, *, by_channel: bool = False) -> Features:
        """``count`` segments of a series, cut where it changes; needs the package ruptures."""
        from xaionnx.perturb.partitions.changepoints import ChangePoints

        return ChangePoints(count, by_channel=by_channel)

    @staticmethod
    def elements() -> Features:
        """One player per element of every input, such as a column of a table."""
        from xaionnx.perturb.partitions.elements import Elements

        return Elements()

    @staticmethod
    def columns(groups: Mapping[str, list[int]] | list[list[int]]) -> Features:
        """Groups of columns of a table; a column in no group is a player of its own."""
        from xaionnx.perturb.partitions.columns import Columns

        return Columns(tuple(tuple(g) for g in (groups.values() if isinstance(groups, Mapping) else groups)))


def tiles(sides: Sequence[Array]) -> Array:
    """Return a player for each combination of tiles along the axes, in row-major order.

    Examples
    --------
    >>> tiles([np.array([0, 0, 1]), np.array([0, 1])])
    array([[0, 1],
           [0, 1],
           [2, 3]])
    """
    counts = tuple(int(side[-1]) + 1 for side in sides)
    return np.ravel_multi_index(np.meshgrid(*sides, indexing="ij"), counts)


def check_positive(owner: str, name: str, value: object) -> None:
    """Raise ParameterError unless ``value`` is an int of at least 1."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ParameterError(f"The '{name}' parameter of {owner} must be an int in [1, inf). Got {value!r} instead.")


def _by_input(given: Mapping[str, FeaturesLike]) -> Features:
    from xaionnx.perturb.partitions.by_input import FeaturesByInput
    from xaionnx.perturb.partitions.label_maps import LabelMaps

    if not given:
        raise ParameterError("The 'features' parameter must name at least one input. Got {} instead.")
    if any(isinstance(one, str | Features) for one in given.values()):
        return FeaturesByInput({name: Features.of(one) for name, one in given.items()})
    return LabelMaps({name: _check_integers(array) for name, array in given.items()})


def _check_integers(given: object) -> Array:
    try:
        array = whole_array(given)
    except ValueError as error:
        raise ParameterError(
            "The 'features' parameter must be a name, Features, or an integer label map with a label for each element. "
            "Got lists of different lengths instead."
        ) from error
    if array.dtype.kind not in "iu":
        raise ParameterError(
            f"The 'features' parameter must be a name, Features, or an integer label map. Got {array.dtype} instead."
        )
    return array


@final
@dataclass(frozen=True)
class DefaultFeatures(Features):
    """Features of every input that is data.

    Those named for pictures and for volumes, segments of series, and elements of others.
    """

    of_pictures: str
    of_volumes: str

    def resolved(self, sample: Sample) -> Features:
        if sample.text is not None:
            return FEATURES.read("words" if sample.text.file is None else "bytes")
        parts = {name: self._of(sample, name) for name in sample.data}
        if len(parts) == 1:
            return Features.of(parts[sample.main])
        if any(part not in ("elements", "groups") for part in parts.values()):
            return Features.of(parts)
        # Columns of several inputs need not be told apart by name, and may be in one group.
        return FEATURES.read("groups") if "groups" in parts.values() else self.elements()

    def _of(self, sample: Sample, name: str) -> str | Features:
        from xaionnx.perturb.partitions.segments import default_segments

        over, found = series(sample, name), sample.positions(name)
        if over is not None:
            return default_segments(over.length, over.channels) or "elements"
        if found is None or not (found.is_picture or found.is_volume):
            grouped = name == sample.main and sample.spec is not None and sample.spec.groups
            return "groups" if grouped else "elements"
        return self.of_pictures if found.is_picture else self.of_volumes

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return self.resolved(sample).label_maps(sample)

    def are_shared(self, sample: Sample) -> bool:
        return self.resolved(sample).are_shared(sample)


FEATURES: Final[Shorthand[Features]] = Shorthand(Registry("features", "xaionnx.perturb.partitions", Features))


def parameter(help: str, default: str) -> FeaturesLike:
    """Return a dataclass field for features or their shorthand; ``default`` describes the meaning of None."""
    field: FeaturesLike = free(
        None,
        "a name, an integer label map or Features",
        lambda: f"{help}: {FEATURES.words()}, a label map, or by input name, NAME=FEATURES,...; {default} if not given",
        reader=read_option,
        resolver=Features.of,
    )
    return field
