"""A series over time with its attribution as colours behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from xaionnx.data.time_axis import TimeAxis
from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Arrays, Explanation
from xaionnx.render import colour_bars, page, readings
from xaionnx.render.colours import scale_of
from xaionnx.render.layers import layer_of
from xaionnx.render.maps import PixelMap, check_finite, one_sample
from xaionnx.render.painting import strongest
from xaionnx.render.result_page import sample_page
from xaionnx.render.series_rows import BOTTOM, PLOT, ROWS, Rows, draw_rows, is_sound, strongest_of
from xaionnx.render.themes import LIGHT, Style
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array, Floats

# Text height in pixels.
_TEXT: Final = 19
_ALPHA: Final = 0.75


def series(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    signal: Array,
    *,
    channel: int = 0,
    names: Sequence[str] | None = None,
    rate: float | None = None,
    time: TimeAxis | None = None,
    spectrogram: bool | None = None,
    sample: int = 0,
    target: int = 0,
    sign: str = "auto",
    percentile: float = 99.0,
    top: int | None = None,
    title: str | None = None,
    input: str | None = None,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of a series as lines over time, with its attribution as colours behind them, a title and a caption.

    Up to 64 channels have one row each, coloured by their values. With more channels all lines share one row, and
    values that differ between channels are drawn below as a heat map of channels and time. Where features are segments,
    thin lines divide them. Below sound, its spectrogram has the same colours under that of the line where it is loud.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples, in the shape of the series.
    signal : array, (C, T) or (N, C, T)
        The input series; (T,) or (N, T) if it has time alone.
    channel : int
        The channel axis, not counting the batch: 0, or 1 for series (T, C).
    names : sequence of str, optional
        One name for each of the C channels; numbers by default.
    rate : float, optional
        Steps per second; if given, time is in seconds.
    time : TimeAxis, optional
        When the steps are, instead of ``rate``.
    spectrogram : bool, optional
        Whether the spectrogram of the first channel is drawn too; by default that of sound, which is a series of one or
        two channels with 1,024 steps or more, at 2,000 steps a second or more.
    sample, target : int
        Index of the sample, and of the target if there are several.
    sign, percentile
        As in :func:`overlay`.
    top : int, optional
        Show only this many features, the strongest.
    title : str, optional
        Replaces the class and its score.
    input : str, optional
        The input to draw, if several have values.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        The values are not finite or not in the shape of the series, or the number of names does not match.
    ParameterError
        A parameter is invalid.

    Examples
    --------
    >>> values = np.zeros((1, 2, 50))
    >>> values[..., 20:25] = 1.5
    >>> e = Explanation("grad_cam", values, np.array(["beat (1)"]), np.array([4.2]))
    >>> series(e, np.sin(np.arange(100.0)).reshape(2, 50)).mode
    'RGB'
    """
    one = one_sample(explanation, sample, target, "series")
    if channel not in (0, 1) or isinstance(channel, bool):
        raise ParameterError(f"The 'channel' parameter of series must be 0 or 1. Got {channel!r} instead.")
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if rate is not None and not (number and 0 < rate < np.inf):
        raise ParameterError(f"The 'rate' parameter of series must be a float in (0, inf) or None. Got {rate!r}.")
    axis = time or (TimeAxis() if rate is None else TimeAxis(1 / rate, "s"))
    found, has_channels = _series_values(one, input, channel)
    signals = _lines(
        signal if has_channels else np.asarray(signal)[..., None, :],
        found.values.shape,
        channel,
        sample,
        explanation.samples,
    )
    numbered = [f"channel {c}" if has_channels else "" for c in range(len(signals))]
    labels = numbered if names is None else [str(name) for name in names]
    if len(labels) != len(signals):
        raise DataError(f"There are {len(labels)} names for {len(signals)} channels. Give one name to each.")
    scale = scale_of(found.values, sign, percentile, "series", from_zero=sense(one).from_zero)
    values, notes = found.values, []
    if top is not None:
        if found.players is None:
            raise ParameterError(
                "The 'top' parameter of series needs a method that worked on features, such as lime. Leave it out."
            )
        values = np.where(strongest(found, scale, top, "series"), values, 0.0)
        notes.append(f"Only the {top} strongest features are shown.")
    # With several steps per column of pixels the strongest is drawn, so that none is lost.
    steps = -(-signals.shape[1] // PLOT)
    colours = colour_bars.on_paper(style, scale, strongest_of(values, steps), _ALPHA)
    sound = is_sound(signals, axis) if spectrogram is None else spectrogram
    with page.FIGURES:
        body = draw_rows(
            style, Rows(signals, colours, labels, steps, axis, found.joined == "same", found.labels, sound)
        )
    meaning, details = readings.meaning_and_details(one, scale, found)
    notes.append(meaning)
    if 1 < len(signals) <= ROWS:
        notes.append("The line of each channel has its own scale.")
    elif len(signals) > ROWS:
        notes.append(f"The lines of all {len(signals)} channels are drawn over each other.")
    if sound:
        notes.append("Below: the spectrogram, in the colour of the line where a frequency is loud.")
    if steps > 1:
        notes.append(
            f"Of every {steps} steps the strongest value is drawn, and the line from their least to their largest."
        )
    bar = colour_bars.colour_bar(
        style,
        colour_bars.scale_swatches(style, scale, _ALPHA, body.height - BOTTOM),
        scale.low,
        scale.high,
        _TEXT,
        upright=True,
    )
    body = page.beside(style, [body, bar], _TEXT // 2)
    return sample_page(style, one, body, notes, [details], title=title, size=_TEXT)


def _series_values(one: Explanation, input: str | None, channel: int) -> tuple[PixelMap, bool]:
    """One number for each channel and step, (C, T), and whether the series has an axis of channels."""
    layer = layer_of(one)
    if layer is not None:
        raise DataError(
            f"The {one.method} values are those of layer '{layer.name}', not of the series. Draw them with render.bars."
        )
    arrays = one.values
    if isinstance(arrays, dict):
        input = next(iter(arrays)) if input is None and len(arrays) == 1 else input
        if input not in arrays:
            raise ParameterError(
                f"The explanation has values for {', '.join(arrays)}. Name the one to draw with 'input'."
            )
    values = _of(arrays, input)
    assert values is not None  # the name was just looked up
    has_channels = values.ndim != 2
    values = values if has_channels else values[:, None]
    if values.ndim != 3 or not values.size:
        raise DataError(
            f"The {one.method} values have the shape {('N', *values.shape[1:])}, which is not a series (N, C, T). "
            "Use render.overlay for pictures, and render.bars for columns, features and players."
        )
    check_finite(one.method, values)
    labels, players = _of(one.features, input), None
    if labels is not None and one.feature_values is not None:
        labels = np.moveaxis(np.broadcast_to(labels[0], values.shape[1:]), channel, 0)
        players = np.asarray(one.feature_values[0], dtype=np.float64)
    else:
        labels = None
    rows = np.moveaxis(values[0], channel, 0).astype(np.float64)
    if len(rows) > 1 and (rows == rows[:1]).all():
        return PixelMap(rows, labels, players, "same", "The values are the same for all channels."), has_channels
    return PixelMap(rows, labels, players, "single"), has_channels


def _of(arrays: Arrays | None, name: str | None) -> Array | None:
    found = arrays.get(name or "") if isinstance(arrays, dict) else arrays
    return None if found is None else np.asarray(found)


def _lines(signal: Array, shape: tuple[int, ...], channel: int, sample: int, samples: int) -> Floats:
    """The signal of one sample, (C, T), with NaN where it is not finite."""
    array = np.asarray(signal)
    batch = array.ndim == 3 and len(array) == samples
    expected = shape if channel == 0 else shape[::-1]
    if array.dtype.kind not in "fiu" or (array.shape[1:] if batch else array.shape) != expected:
        raise DataError(
            f"The signal must have the shape of the values, {expected}, or {('N', *expected)} for N = {samples} "
            f"samples. Got {array.shape} {array.dtype} instead."
        )
    signals: Floats = np.moveaxis(array[sample] if batch else array, channel, 0).astype(np.float64)
    return np.where(np.isfinite(signals), signals, np.nan)
