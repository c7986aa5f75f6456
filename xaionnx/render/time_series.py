"""A series over time with its attribution as colours behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.caveats import caveats
from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Arrays, Explanation
from xaionnx.render import page, words
from xaionnx.render.colours import FAINT, INK, scale_of
from xaionnx.render.layers import layer_of
from xaionnx.render.maps import PixelMap, check_finite, one_sample
from xaionnx.render.painting import strongest
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# In pixels: width of the picture, text height, and margins for the names of channels and the time axis.
_WIDTH: Final = 1000
_TEXT: Final = 19
_LEFT: Final = 150
_RIGHT: Final = 14
_BOTTOM: Final = 52
_GAP: Final = 6
# Up to this many channels, each has its own row: an electrocardiogram has 12.
_ROWS: Final = 16
# Height of all rows of signals together.
_TALL: Final = 520
# From this height on, a row has numbers at its left.
_NUMBERED: Final = 60
_ALPHA: Final = 0.75


def series(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    signal: Array,
    *,
    channel: int = 0,
    names: Sequence[str] | None = None,
    rate: float | None = None,
    sample: int = 0,
    target: int = 0,
    sign: str = "auto",
    percentile: float = 99.0,
    top: int | None = None,
    title: str | None = None,
    input: str | None = None,
) -> Image.Image:
    """A picture of a series as lines over time, with its attribution as colours behind them, a title and a caption.

    Up to 16 channels have one row each, coloured by their values. With more channels all lines share one row, and
    values that differ between channels are drawn below as a heat map of channels and time.

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
    steps = -(-signals.shape[1] // (_WIDTH - _LEFT - _RIGHT))
    colours = page.on_paper(scale, _strongest_of(values, steps), _ALPHA)
    with page.FIGURES:
        body = _draw(signals, colours, labels, steps, rate, found.joined == "same")
    notes.append(words.reading(one, scale, found))
    if 1 < len(signals) <= _ROWS:
        notes.append("The line of each channel has its own scale.")
    elif len(signals) > _ROWS:
        notes.append(f"The lines of all {len(signals)} channels are drawn over each other.")
    if steps > 1:
        notes.append(
            f"Of every {steps} steps the strongest value is drawn, and the line from their least to their largest."
        )
    bar = page.colour_bar(
        page.scale_swatches(scale, _ALPHA, body.height - _BOTTOM), scale.low, scale.high, _TEXT, upright=True
    )
    body = page.beside([body, bar], _TEXT // 2)
    return page.whole(title or words.class_and_score(one), caveats(one), body, notes, words.made_by(one), _TEXT)


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


def _group(rows: Floats, steps: int) -> Floats:
    """Rows (C, T) in groups of ``steps``, (C, G, steps); the last group is padded with the last value."""
    padding = -rows.shape[1] % steps
    return np.pad(rows, ((0, 0), (0, padding)), mode="edge").reshape(len(rows), -1, steps)


def _strongest_of(rows: Floats, steps: int) -> Floats:
    groups = _group(rows, steps)
    return np.take_along_axis(groups, np.abs(groups).argmax(axis=-1)[..., None], axis=-1)[..., 0]


def _course(rows: Floats, steps: int) -> tuple[Floats, Floats]:
    """Times and values of lines, (P,) and (C, P); groups of steps give their minimum and maximum."""
    if steps == 1:
        return np.arange(rows.shape[1], dtype=np.float64), rows
    groups = _group(rows, steps)
    ends = np.stack([np.fmin.reduce(groups, axis=-1), np.fmax.reduce(groups, axis=-1)], axis=-1)
    middle = np.arange(groups.shape[1]) * steps + (steps - 1) / 2
    return np.repeat(np.minimum(middle, rows.shape[1] - 1), 2), ends.reshape(len(rows), -1)


def _draw(
    signals: Floats, colours: page.Swatches, names: Sequence[str], steps: int, rate: float | None, same: bool
) -> Image.Image:
    """Rows of lines over their colours and, with many channels, a heat map beneath them."""
    from matplotlib.figure import Figure

    apart = len(signals) <= _ROWS
    count = len(signals) if apart else 1
    tall = max(32, min(220, _TALL // count)) if apart else 220
    mapped = 0 if apart or same else max(200, min(600, 5 * len(signals)))
    height = count * tall + (count - 1 + bool(mapped)) * _GAP + mapped + _BOTTOM
    figure = Figure(figsize=(_WIDTH / 100, height / 100), dpi=100, facecolor="white")
    unit = 1.0 if rate is None else 1 / rate
    extent = (-0.5 * unit, (colours.shape[1] * steps - 0.5) * unit)
    times, courses = _course(signals, steps)

    def box(upper: int, deep: int) -> Axes:
        wide = (_WIDTH - _LEFT - _RIGHT) / _WIDTH
        axes = figure.add_axes((_LEFT / _WIDTH, 1 - (upper + deep) / height, wide, deep / height))
        for side in axes.spines.values():
            side.set_color(_hex(FAINT))
        axes.tick_params(axis="both", colors=_hex(INK), length=3, labelbottom=False)
        return axes

    def coloured(axes: Axes, pixels: page.Swatches, low: float, high: float) -> None:
        # The first row is at the top, as in pictures.
        axes.imshow(pixels, extent=(*extent, low, high), aspect="auto", interpolation="nearest", origin="upper")
        axes.set_xlim(extent[0], (signals.shape[1] - 0.5) * unit)
        axes.set_ylim(low, high)

    for row in range(count):
        axes = box(row * (tall + _GAP), tall)
        lines = courses[row : row + 1] if apart else courses
        low, high = _ends(lines)
        if apart or same:
            coloured(axes, colours[row : row + 1], low, high)
        else:
            coloured(axes, np.full_like(colours[:1], 255), low, high)
        _plot_lines(axes, times * unit, lines, apart and steps == 1)
        axes.set_ylabel(
            _label(names[row]) if apart else f"{len(signals)} channels", rotation=0, ha="right", va="center"
        )
        axes.yaxis.set_label_coords(-62 / (_WIDTH - _LEFT - _RIGHT), 0.5)
        axes.locator_params(axis="y", nbins=max(2, tall // 45))
        if tall < _NUMBERED:
            axes.set_yticks([])
    if mapped:
        axes = box(tall + _GAP, mapped)
        coloured(axes, colours, len(signals) - 0.5, -0.5)
        shown = [int(place) for place in axes.get_yticks() if place in range(len(signals))]
        axes.set_yticks(shown, [_label(names[place]) for place in shown])
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("time step" if rate is None else "time in seconds")
    for one in figure.axes:
        for text in [*one.get_xticklabels(), *one.get_yticklabels(), one.xaxis.label, one.yaxis.label]:
            text.set_fontproperties(page.plot_font(10))
            text.set_color(_hex(INK))
    return page.figure_picture(figure)


def _plot_lines(axes: Axes, times: Floats, lines: Floats, clear: bool) -> None:
    """Draw lines with a halo if ``clear``, otherwise thin and semi-transparent."""
    from matplotlib.patheffects import Normal, Stroke

    # A white halo makes a line visible on the darkest red.
    halo = [Stroke(linewidth=3.0, foreground="white", alpha=0.7), Normal()] if clear else []
    # A single step has no line, so it is drawn as a dot.
    mark = "o" if lines.shape[1] == 1 else None
    width, alpha = (1.2, 1.0) if clear else (0.7, 0.75 / len(lines) ** 0.15)
    for line in lines:
        axes.plot(times, line, color=_hex(INK), linewidth=width, alpha=alpha, marker=mark, path_effects=halo)


def _ends(lines: Floats) -> tuple[float, float]:
    """The limits of a row, with a margin around its lines."""
    finite = lines[np.isfinite(lines)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    return low - room, high + room


def _label(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
