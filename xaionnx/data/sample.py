"""Sample: one sample of a batch, with its spec and the roles of its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, final, overload

import numpy as np

from xaionnx.data.spec import InputSpec
from xaionnx.data.spec_guess import picture_axes
from xaionnx.data.text import Text
from xaionnx.errors import InputMismatchError
from xaionnx.graph.input_purposes import InputPurpose, is_data
from xaionnx.graph.roles import Role, Roles
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

_PICTURE: Final = 2
_PICTURE_CHANNELS: Final = (1, 3)
_VOLUME: Final = 3
_STATE: Final = (
    ", and neither the graph nor names of dimensions say which axes are positions. State them, for example with "
    "axes='N C H W' or axes='N T F', or use features='elements' or an integer label map over its axes."
)


@final
@dataclass(frozen=True)
class Positions:
    """The positions of an input in space, in time or in a text, without the batch axis.

    Attributes
    ----------
    shape : tuple of int
        Shape of the input.
    axes : tuple of int
        The axes of the positions, next to each other and in ascending order; the others list the values at a position.
    role : Role
        Space, time or token.
    guessed : bool
        Whether the axes were guessed from their sizes.

    Examples
    --------
    >>> series = Positions((24, 5), (0,), Role.TIME)
    >>> series.extent, series.values, series.over(np.arange(24)).shape
    ((24,), (1,), (24, 1))
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    role: Role
    guessed: bool = False

    @property
    def extent(self) -> tuple[int, ...]:
        """Number of positions along each axis."""
        return tuple(self.shape[axis] for axis in self.axes)

    @property
    def values(self) -> tuple[int, ...]:
        """The other axes."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.axes)

    @property
    def is_picture(self) -> bool:
        """Whether these are the rows and columns of a picture."""
        return len(self.axes) == _PICTURE

    @property
    def is_volume(self) -> bool:
        """Whether these are the positions of a volume."""
        return len(self.axes) == _VOLUME

    def over(self, labels: Array) -> Array:
        """Return a map over the positions with an axis of length 1 for each other axis."""
        return np.expand_dims(labels, self.values)


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """One sample of a batch.

    Attributes
    ----------
    x : dict of arrays by input name
        Without the batch axis.
    main : str
        The input that is explained.
    spec : InputSpec or None
        Describes the explained input.
    number : int
        Index in the batch; ``count`` is the size of the batch.
    shared : frozenset of str
        Inputs without a batch axis, the same for all samples.
    purposes : dict of InputPurpose by input name
        What the inputs are for; those that are not named are data.
    roles : mapping of str to tuple of Role
        What the axes of each input mean, as far as it is known.
    text : Text or None
        The text that the explained input was made of.
    columns : mapping of tuple of str by input name
        The columns of files and frames that inputs took; those that are not named have the columns of the spec, if any.

    Examples
    --------
    >>> Sample({"x": np.zeros((28, 28, 1))}, "x").positions().axes
    (0, 1)
    >>> volume = Sample({"x": np.zeros((1, 8, 8, 4))}, "x", roles={"x": (Role.CHANNEL, *[Role.SPACE] * 3)})
    >>> volume.positions().extent
    (8, 8, 4)
    """

    x: Mapping[str, Array]
    main: str
    spec: InputSpec | None = None
    number: int = 0
    count: int = 1
    shared: frozenset[str] = frozenset()
    purposes: Mapping[str, InputPurpose] = field(default_factory=dict)
    roles: Mapping[str, Roles] = field(default_factory=dict)
    text: Text | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    __repr__ = short_repr

    @property
    def array(self) -> Array:
        """The explained input."""
        return self.x[self.main]

    @cached_property
    def own(self) -> Mapping[str, Array]:
        """The inputs with a batch axis, which belong to this sample alone."""
        return {name: array for name, array in self.x.items() if name not in self.shared}

    @property
    def data(self) -> dict[str, Array]:
        """The inputs that are data of this sample: those whose parts are removed by default."""
        return {n: array for n, array in self.own.items() if n == self.main or is_data(self.purposes, n)}

    def positions(self, name: str | None = None) -> Positions | None:
        """Return the positions of an input, by default the explained one; None if it has none, or they are unknown.

        Where neither the user nor the model says what the axes are, those of a gray or RGB picture are guessed from
        their sizes, unless these fit a picture with its channels first and with its channels last.
        """
        name = self.main if name is None else name
        no_picture = name == self.main and self.spec is not None and self.spec.kind != "picture"
        return positions_of(self.x[name].shape, self.roles.get(name, ()), may_guess=not no_picture)

    @property
    def is_picture(self) -> bool:
        """Whether the explained input is a picture."""
        found = None if self.text is not None else self.positions()
        return found is not None and found.is_picture

    def pixels_of(self, name: str) -> InputSpec | None:
        """Return the spec that gives the scale of an input's pixels; None if unknown."""
        spec = self.spec
        known = name == self.main and spec is not None and spec.kind == "picture" and not spec.guessed
        return spec if known else None

    def placed(self, what: str, name: str | None = None) -> Positions:
        """Return the positions of an input, by default the explained one.

        Raises
        ------
        InputMismatchError
            The input has none, or they are unknown, and ``what`` needs them.
        """
        name = self.main if name is None else name
        found = self.positions(name)
        if found is None:
            raise InputMismatchError(
                f"{what} needs a picture, a series or a volume, but input '{name}' has the shape "
                f"{('N', *self.x[name].shape)}{_STATE}"
            )
        return found


def positions_of(shape: Sequence[int], roles: Roles, *, may_guess: bool = True) -> Positions | None:
    """Return the positions of an input whose sample has this shape; None if it has none, or they are unknown.

    Parameters
    ----------
    shape : sequence of int
        0 for an unknown size.
    roles : tuple of Role
        Those of the axes; empty or unknown roles leave it to the sizes.
    may_guess : bool
        Whether sizes may show a gray or RGB picture.

    Examples
    --------
    >>> positions_of((5, 24), (Role.FEATURE, Role.TIME)).axes
    (1,)
    >>> positions_of((28, 28, 1), ()).guessed, positions_of((28, 28, 1), (), may_guess=False)
    (True, None)
    """
    shape = tuple(shape)
    if len(roles) == len(shape) and any(role is not Role.UNKNOWN for role in roles):
        axes = tuple(axis for axis, role in enumerate(roles) if role.counts_positions)
        together = axes == tuple(range(axes[0], axes[-1] + 1)) if axes else False
        # Rows of a picture without columns are not positions.
        alone = len(axes) == 1 and roles[axes[0]] is Role.SPACE and len(shape) > 1
        if together and not alone:
            return Positions(shape, axes, roles[axes[0]])
        if axes or Role.UNKNOWN not in roles:
            return None
    ambiguous = len(shape) == 3 and shape[0] in _PICTURE_CHANNELS and shape[2] in _PICTURE_CHANNELS
    found = picture_axes((1, *shape)) if may_guess and not ambiguous else None
    if found is None:
        return None
    return Positions(shape, (found[1][0] - 1, found[1][1] - 1), Role.SPACE, guessed=True)


@final
class Samples(Sequence[Sample]):
    """The N samples of a batch, each made when it is first read: a table may have many rows, and few of them are.

    Attributes
    ----------
    feeds : mapping of arrays by input name
        Of all samples, (N, ...); without the first axis if the input is shared.
    """

    def __init__(self, feeds: Mapping[str, Array], like: Sample) -> None:
        self.feeds = feeds
        self._like = like
        self._made: dict[int, Sample] = {}

    __repr__ = short_repr

    def __len__(self) -> int:
        return self._like.count

    def named(self, columns: Mapping[str, tuple[str, ...]]) -> Samples:
        """Return the same samples, whose inputs took these columns."""
        return Samples(self.feeds, replace(self._like, columns=columns)) if columns else self

    @overload
    def __getitem__(self, n: int) -> Sample: ...
    @overload
    def __getitem__(self, n: slice) -> list[Sample]: ...
    def __getitem__(self, n: int | slice) -> Sample | list[Sample]:
        numbers = range(len(self))[n]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        if numbers not in self._made:
            shared = self._like.shared
            # a[n, ...] is an array; a[n] could be a scalar.
            x = {name: a if name in shared else a[numbers, ...] for name, a in self.feeds.items()}
            self._made[numbers] = replace(self._like, x=x, number=numbers)
        return self._made[numbers]


def split(
    feeds: Mapping[str, Array],
    main: str,
    spec: InputSpec | None,
    shared: frozenset[str],
    purposes: Mapping[str, InputPurpose] | None = None,
    roles: Callable[[str], Roles] = lambda _: (),
) -> Samples:
    """Return the N samples of a batch whose explained input is ``main``; the arguments are those of `Sample`.

    ``roles`` returns the roles of the axes of an input.

    Examples
    --------
    >>> [sample.array for sample in split({"x": np.arange(2.0)}, "x", None, frozenset())]
    [array(0.), array(1.)]
    """
    known = {name: roles(name) for name in feeds}
    return Samples(feeds, Sample({}, main, spec, 0, len(feeds[main]), shared, purposes or {}, known))
