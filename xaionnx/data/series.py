"""Series: inputs of time, with or without channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from xaionnx.data.sample import Positions, Sample
from xaionnx.graph.roles import Role
from xaionnx.short_repr import short_repr

_TWO = 2


@final
@dataclass(frozen=True)
class Series:
    """The axes of a series.

    Attributes
    ----------
    channel : int
        The channel axis of the input, without the batch: 0 or 1; time is the other. 0 if there is time alone.
    length : int
        The number T of steps.
    channels : int or None
        The number C of channels; None if there is time alone.
    """

    channel: int
    length: int
    channels: int | None = None

    __repr__ = short_repr


def series(sample: Sample, name: str | None = None) -> Series | None:
    """Return an input, by default the explained one, as a series; None if it is not one, or its time axis is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from xaionnx.data.sample import Sample
    >>> series(Sample({"x": np.zeros((3, 50))}, "x", roles={"x": (Role.CHANNEL, Role.TIME)}))
    Series(channel=0, length=50, channels=3)
    """
    name = sample.main if name is None else name
    array, found = sample.x[name], sample.positions(name)
    if array.dtype.kind != "f" or found is None or len(found.axes) != 1:
        return None
    (length,) = found.extent
    if array.ndim == 1:
        return Series(0, length) if found.role is Role.TIME else None
    if array.ndim != _TWO:
        return None
    return Series(found.values[0], length, array.shape[found.values[0]])


def time_positions(sample: Sample, name: str | None = None) -> Positions | None:
    """Return the positions in time of an input; None if nothing shows one axis of time.

    A picture of channels and time, as of an electroencephalogram or a spectrogram, has them if its axis of time is
    named or stated.

    Examples
    --------
    >>> import numpy as np
    >>> from xaionnx.data.sample import Sample
    >>> roles = (Role.CHANNEL, Role.SPACE, Role.TIME)
    >>> time_positions(Sample({"x": np.zeros((1, 19, 256))}, "x", roles={"x": roles})).extent
    (256,)
    """
    name = sample.main if name is None else name
    found, roles = sample.positions(name), sample.roles.get(name, ())
    if found is not None and len(found.axes) == 1:
        return found
    if len(roles) == sample.x[name].ndim and roles.count(Role.TIME) == 1:
        return Positions(sample.x[name].shape, (roles.index(Role.TIME),), Role.TIME)
    return None
