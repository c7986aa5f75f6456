"""Label maps over the time of a series, for all channels together or for each."""

from __future__ import annotations

import numpy as np

from xaionnx.data.sample import Positions, Sample
from xaionnx.data.series import time_positions
from xaionnx.errors import InputMismatchError
from xaionnx.typing import Array


def time_of(sample: Sample, what: str, *, by_channel: bool) -> tuple[Positions, int | None]:
    """Return the time of the explained input, and its axis of channels, None if it has none.

    Raises
    ------
    InputMismatchError
        The input is not a series, or has several axes besides time and ``by_channel`` needs the one of channels.
    """
    found = time_positions(sample)
    if found is None:
        placed = sample.placed(what)
        raise InputMismatchError(
            f"{what} divides series, but input '{sample.main}' has the shape {('N', *placed.shape)} with "
            f"{len(placed.axes)} axes of space. State which one is time, for example with axes='N C H T', or use "
            "features='grid' or 'superpixels'."
        )
    if by_channel and len(found.values) > 1:
        raise InputMismatchError(
            f"{what} needs one axis of channels, but input '{sample.main}' has {len(found.values)}. Use an integer "
            "label map over its axes."
        )
    return found, found.values[0] if len(found.values) == 1 else None


def of_channels(found: Positions, channel: int | None, cuts: Array, *, each: bool) -> Array:
    """Return a label map from the segments (1, T) of all channels, or (1 or C, T) of each, numbered channel by channel.

    Examples
    --------
    >>> from xaionnx.graph.roles import Role
    >>> of_channels(Positions((2, 3), (1,), Role.TIME), 0, np.array([[0, 0, 1]]), each=True)
    array([[0, 0, 1],
           [2, 2, 3]])
    """
    if not each or channel is None:
        return found.over(cuts[0])
    cuts = np.broadcast_to(cuts, (found.shape[channel], cuts.shape[1]))
    counts = cuts[:, -1] + 1
    numbered = cuts + (np.cumsum(counts) - counts)[:, None]
    return numbered if channel < found.axes[0] else np.ascontiguousarray(numbered.T)
