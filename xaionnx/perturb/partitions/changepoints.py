"""Segments of time between change points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.perturb.features import Features, check_positive
from xaionnx.perturb.time_segments import of_channels, time_of
from xaionnx.registry import Form, integers
from xaionnx.typing import Array, Floats

# Steps of a longer series are joined before the search, whose cost is quadratic.
_MOST: Final = 1000


@final
@dataclass(frozen=True)
class ChangePoints(Features):
    """``count`` segments of time, cut where the series changes, for all channels together or for each by itself.

    The cuts minimise the sum of the squared distances from the mean of each segment, exactly (the package ruptures).
    Channels are scaled to one deviation. In a series of more than 1,000 steps, neighbours are joined, and a change of
    their mean or of their deviation counts: in sound, the loudness.

    References
    ----------
    Truong, Oudre and Vayatis, Selective review of offline change point detection methods, Signal Processing 167, 2020,
    doi:10.1016/j.sigpro.2019.107299.
    """

    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("changepoints", lambda count: ChangePoints(*integers(count)), "[:count]", "changepoints:10"),
        Form(
            "channel_changepoints",
            lambda count: ChangePoints(*integers(count), by_channel=True),
            "[:count]",
            "channel_changepoints:5",
        ),
    )

    count: int = 10
    by_channel: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_positive("Features.changepoints", "count", self.count)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        name = "channel_changepoints" if self.by_channel else "changepoints"
        found, channel = time_of(sample, f"features='{name}'", by_channel=self.by_channel)
        (length,) = found.extent
        if self.count > length:
            raise ParameterError(f"A series of {length} steps has no {self.count} segments. Give at most {length}.")
        values = np.moveaxis(sample.array.astype(np.float64), found.axes[0], -1).reshape(-1, length)
        if not np.isfinite(values).all():
            raise InputMismatchError(
                f"features='{name}' needs finite numbers, but input '{sample.main}' contains NaN or infinity. "
                "Use features='segments'."
            )
        groups = values[:, None] if self.by_channel else values[None]
        cuts = np.stack([self._segments(group) for group in groups])
        return {sample.main: of_channels(found, channel, cuts, each=self.by_channel)}

    def _segments(self, rows: Floats) -> Array:
        """The segment of each step of rows (C, T), (T,)."""
        length = rows.shape[1]
        joined = -(-length // _MOST)
        features = _joined_steps(rows, joined) if joined > 1 else rows
        features = features - features.mean(axis=1, keepdims=True)
        spread = features.std(axis=1, keepdims=True)
        features = features / np.where(spread > 0, spread, 1)
        count = min(self.count, features.shape[1])
        labels = np.zeros(features.shape[1], dtype=np.int64)
        if count > 1:
            search = _ruptures().KernelCPD(kernel="linear", min_size=1).fit(np.ascontiguousarray(features.T))
            labels[search.predict(n_bkps=count - 1)[:-1]] = 1
        return np.repeat(np.cumsum(labels), joined)[:length]


def _joined_steps(rows: Floats, joined: int) -> Floats:
    """The mean and the deviation of every ``joined`` steps of rows (C, T), (2 C, G)."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % joined)), mode="edge").reshape(len(rows), -1, joined)
    return np.concatenate([padded.mean(axis=2), padded.std(axis=2)])


def _ruptures() -> Any:  # Any: an optional package
    try:
        import ruptures
    except ImportError as error:
        raise ParameterError(
            "features='changepoints' needs the package ruptures, which is not installed. Install it with "
            "'pip install xaionnx[series]', or use features='segments'."
        ) from error
    return ruptures
