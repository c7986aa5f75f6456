"""Series: inputs of channels and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.graph.roles import Role
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample


@final
@dataclass(frozen=True)
class Series:
    """The axes of a series.

    Attributes
    ----------
    channel : int
        The channel axis of the input, without the batch: 0 or 1; time is the other. 0 if there is time alone.
    """

    channel: int

    __repr__ = short_repr


def series(sample: Sample) -> Series | None:
    """Return the explained input as a series; None if it is not one, or nothing shows which axis is time."""
    found = sample.positions()
    if sample.array.dtype.kind != "f" or found is None or len(found.axes) != 1:
        return None
    if sample.array.ndim == 1:
        return Series(0) if found.role is Role.TIME else None
    return Series(found.values[0]) if sample.array.ndim == 2 else None
