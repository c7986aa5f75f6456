"""Segments of time of nearly equal length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features, check_positive
from xaionnx.perturb.time_segments import of_channels, time_of
from xaionnx.registry import Form, integers
from xaionnx.typing import Array

# Fine enough to tell where, and few enough for a game of a thousand evaluations.
_COUNT: Final = 32
# Segments of all channels together, up to which each channel has its own; and the fewest of a channel.
_MOST: Final = 128
_FEWEST: Final = 4


@final
@dataclass(frozen=True)
class Segments(Features):
    """``count`` segments of time whose lengths differ by at most one step, for all channels together or for each.

    By default there are 32, or one per step of a shorter series.
    """

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("segments", lambda count: Segments(*integers(count)), "[:count]", "segments:20"),
        Form(
            "channel_segments",
            lambda count: Segments(*integers(count), by_channel=True),
            "[:count]",
            "channel_segments:20",
        ),
    )

    count: int | None = None
    by_channel: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.count is not None:
            check_positive("Features.segments", "count", self.count)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        name = "channel_segments" if self.by_channel else "segments"
        found, channel = time_of(sample, f"features='{name}'", by_channel=self.by_channel)
        (length,) = found.extent
        count = min(_COUNT, length) if self.count is None else self.count
        if count > length:
            raise ParameterError(f"A series of {length} steps has no {count} segments. Give at most {length}.")
        cut = np.arange(length) * count // length
        return {sample.main: of_channels(found, channel, cut[None], each=self.by_channel)}


def default_segments(length: int, channels: int | None) -> Segments | None:
    """Return the segments by default of a series: of each channel, unless these would be many.

    None if each would be a single element.

    Examples
    --------
    >>> default_segments(16000, None), default_segments(5000, 12)
    (Segments(count=32, by_channel=False), Segments(count=10, by_channel=True))
    >>> default_segments(24, 5), default_segments(1000, 80)
    (None, Segments(count=32, by_channel=False))
    """
    each = _MOST // (channels or 1)
    by_channel = channels not in (None, 1) and each >= min(_FEWEST, length)
    count = min(_COUNT, length, each if by_channel else length)
    if count == length and (by_channel or channels in (None, 1)):
        return None
    return Segments(count, by_channel=by_channel)
