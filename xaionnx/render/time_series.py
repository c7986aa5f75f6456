"""A series over its time, with what the model looked at behind it."""

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


# In pixels: the whole picture, its text, what is left for the names of channels and for the numbers of time.
_WIDTH: Final = 1000
_TEXT: Final = 19
_LEFT: Final = 150
_RIGHT: Final = 14
_BOTTOM: Final = 52
_GAP: Final = 6
# Up to this many channels each has a row of its own: an electrocardiogram has 12.
_ROWS: Final = 16
# Heights of all rows of signals together, and of a heat map.
_TALL: Final = 520
# From this height a row has numbers at its left.
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
    """Draw a series as lines over time, with its attribution as colours behind them, a title and a caption.

    Up to 16 channels have a row each, coloured by their own values. Of more channels all lines lie in one row, and the
    values that differ between channels are a heat map of channels and time beneath.

    Parameters
    ----------
    explanation : Explanation
        Of N samples, in the shape of the series.
    signal : array, (C, T) or (N, C, T)
        The series as the model saw it.
    channel : int
        The axis of the channels behind the batch: 0, or 1 for series (T, C).
    names : sequence of str, optional
        One name for each of the C channels; their numbers without.
    rate : float, optional
        Steps in a second: time is then drawn in seconds.
    sample, target : int
        Which of the N samples, and which of several targets.
    sign, percentile
        As of :func:`overlay`.
    top : int, optional
        Show the strongest features only.
    title : str, optional
        Instead of the class and its score.
    input : str, optional
        The input to draw, where several have values.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        The values are not finite, or not of the shape of the series, or there is another number of names.
    ParameterError
        A parameter is out of its domain.

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
    found = _found(one, input, channel)
    held = _lines(signal, found.values.shape, channel, sample, explanation.samples)
    known = [f"channel {c}" for c in range(len(held))] if names is None else [str(name) for name in names]
    if len(known) != len(held):
        raise DataError(f"There are {len(known)} names for {len(held)} channels. Give one name to each.")
    scale = scale_of(found.values, sign, percentile, "series", from_zero=sense(one).from_zero)
    values, notes = found.values, []
    if top is not None:
        if found.players is None:
            raise ParameterError(
                "The 'top' parameter of series needs a method that worked on features, such as lime. Leave it out."
            )
        values = np.where(strongest(found, scale, top, "series"), values, 0.0)
        notes.append(f"Only the {top} strongest features are shown.")
    # Of several steps in a column of pixels the strongest is drawn: none is lost.
    steps = -(-held.shape[1] // (_WIDTH - _LEFT - _RIGHT))
    colours = page.on_paper(scale, _strongest_of(values, steps), _ALPHA)
    body = _drawn(held, colours, known, steps, rate, found.joined == "same")
    notes.append(words.reading(one, scale, found))
    if 1 < len(held) <= _ROWS:
        notes.append("The line of each channel has its own scale.")
    elif len(held) > _ROWS:
        notes.append(f"The lines of all {len(held)} channels are drawn over each other.")
    if steps > 1:
        notes.append(
            f"Of every {steps} steps the strongest value is drawn, and the line from their least to their largest."
        )
    bar = page.colour_bar(
        page.scale_swatches(scale, _ALPHA, body.height - _BOTTOM), scale.low, scale.high, _TEXT, upright=True
    )
    body = page.beside([body, bar], _TEXT // 2)
    return page.whole(title or words.class_and_score(one), caveats(one), body, notes, words.made_by(one), _TEXT)


def _found(one: Explanation, input: str | None, channel: int) -> PixelMap:
    """One number for each channel and step, (C, T)."""
    layer = layer_of(one)
    if layer is not None:
        raise DataError(
            f"The {one.method} values are those of layer '{layer.name}', not of the series. Draw them with render.bars."
        )
    given = one.values
    if isinstance(given, dict):
        input = next(iter(given)) if input is None and len(given) == 1 else input
        if input not in given:
            raise ParameterError(
                f"The explanation has values for {', '.join(given)}. Name the one to draw with 'input'."
            )
    values = _of(given, input)
    assert values is not None  # the name was just looked up
    if values.ndim != 3 or not values.size:
        raise DataError(
            f"The {one.method} values have the shape {('N', *values.shape[1:])}, which is no series (N, C, T). "
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
        return PixelMap(rows, labels, players, "same", "The values are the same for all channels.")
    return PixelMap(rows, labels, players, "single")


def _of(arrays: Arrays | None, name: str | None) -> Array | None:
    found = arrays.get(name or "") if isinstance(arrays, dict) else arrays
    return None if found is None else np.asarray(found)


def _lines(signal: Array, shape: tuple[int, ...], channel: int, sample: int, samples: int) -> Floats:
    """The signal of one sample, (C, T), with gaps where it is not finite."""
    array = np.asarray(signal)
    batch = array.ndim == 3 and len(array) == samples
    wanted = shape if channel == 0 else shape[::-1]
    if array.dtype.kind not in "fiu" or (array.shape[1:] if batch else array.shape) != wanted:
        raise DataError(
            f"The signal must have the shape of the values, {wanted}, or {('N', *wanted)} for N = {samples} samples. "
            f"Got {array.shape} {array.dtype} instead."
        )
    held: Floats = np.moveaxis(array[sample] if batch else array, channel, 0).astype(np.float64)
    return np.where(np.isfinite(held), held, np.nan)


def _grouped(rows: Floats, steps: int) -> Floats:
    """Rows (C, T) in groups of so many steps, (C, G, steps); the last value stands for those that a group lacks."""
    lacking = -rows.shape[1] % steps
    return np.pad(rows, ((0, 0), (0, lacking)), mode="edge").reshape(len(rows), -1, steps)


def _strongest_of(rows: Floats, steps: int) -> Floats:
    groups = _grouped(rows, steps)
    return np.take_along_axis(groups, np.abs(groups).argmax(axis=-1)[..., None], axis=-1)[..., 0]


def _course(rows: Floats, steps: int) -> tuple[Floats, Floats]:
    """Times and values of lines, (P,) and (C, P): of several steps the least and the largest."""
    if steps == 1:
        return np.arange(rows.shape[1], dtype=np.float64), rows
    groups = _grouped(rows, steps)
    ends = np.stack([np.fmin.reduce(groups, axis=-1), np.fmax.reduce(groups, axis=-1)], axis=-1)
    middle = np.arange(groups.shape[1]) * steps + (steps - 1) / 2
    return np.repeat(np.minimum(middle, rows.shape[1] - 1), 2), ends.reshape(len(rows), -1)


def _drawn(
    held: Floats, colours: page.Swatches, names: Sequence[str], steps: int, rate: float | None, same: bool
) -> Image.Image:
    """Rows of lines over their colours, and beneath them the heat map of what has no room there."""
    from matplotlib.figure import Figure

    apart = len(held) <= _ROWS
    count = len(held) if apart else 1
    tall = max(32, min(220, _TALL // count)) if apart else 220
    mapped = 0 if apart or same else max(200, min(600, 5 * len(held)))
    height = count * tall + (count - 1 + bool(mapped)) * _GAP + mapped + _BOTTOM
    figure = Figure(figsize=(_WIDTH / 100, height / 100), dpi=100, facecolor="white")
    unit = 1.0 if rate is None else 1 / rate
    extent = (-0.5 * unit, (colours.shape[1] * steps - 0.5) * unit)
    times, courses = _course(held, steps)

    def box(upper: int, deep: int) -> Axes:
        wide = (_WIDTH - _LEFT - _RIGHT) / _WIDTH
        axes = figure.add_axes((_LEFT / _WIDTH, 1 - (upper + deep) / height, wide, deep / height))
        for side in axes.spines.values():
            side.set_color(_hex(FAINT))
        axes.tick_params(axis="both", colors=_hex(INK), length=3, labelbottom=False)
        return axes

    def coloured(axes: Axes, pixels: page.Swatches, low: float, high: float) -> None:
        # The first row at the top, as pictures have it.
        axes.imshow(pixels, extent=(*extent, low, high), aspect="auto", interpolation="nearest", origin="upper")
        axes.set_xlim(extent[0], (held.shape[1] - 0.5) * unit)
        axes.set_ylim(low, high)

    for row in range(count):
        axes = box(row * (tall + _GAP), tall)
        lines = courses[row : row + 1] if apart else courses
        low, high = _ends(lines)
        if apart or same:
            coloured(axes, colours[row : row + 1], low, high)
        else:
            coloured(axes, np.full_like(colours[:1], 255), low, high)
        _lined(axes, times * unit, lines, apart and steps == 1)
        axes.set_ylabel(_label(names[row]) if apart else f"{len(held)} channels", rotation=0, ha="right", va="center")
        axes.yaxis.set_label_coords(-62 / (_WIDTH - _LEFT - _RIGHT), 0.5)
        axes.locator_params(axis="y", nbins=max(2, tall // 45))
        if tall < _NUMBERED:
            axes.set_yticks([])
    if mapped:
        axes = box(tall + _GAP, mapped)
        coloured(axes, colours, len(held) - 0.5, -0.5)
        shown = [int(place) for place in axes.get_yticks() if place in range(len(held))]
        axes.set_yticks(shown, [_label(names[place]) for place in shown])
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("time step" if rate is None else "time in seconds")
    for one in figure.axes:
        for text in [*one.get_xticklabels(), *one.get_yticklabels(), one.xaxis.label, one.yaxis.label]:
            text.set_fontproperties(page.plot_font(10))
            text.set_color(_hex(INK))
    return page.figure_picture(figure)


def _lined(axes: Axes, times: Floats, lines: Floats, clear: bool) -> None:
    """Lines that stand out, or, where they cover much, let through what is behind."""
    from matplotlib.patheffects import Normal, Stroke

    # White at both sides, so that a line is seen on the darkest red.
    halo = [Stroke(linewidth=3.0, foreground="white", alpha=0.7), Normal()] if clear else []
    # A single step has no line.
    mark = "o" if lines.shape[1] == 1 else None
    width, alpha = (1.2, 1.0) if clear else (0.7, 0.75 / len(lines) ** 0.15)
    for line in lines:
        axes.plot(times, line, color=_hex(INK), linewidth=width, alpha=alpha, marker=mark, path_effects=halo)


def _ends(lines: Floats) -> tuple[float, float]:
    """Where a row begins and ends, with some room around its lines."""
    known = lines[np.isfinite(lines)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    return low - room, high + room


def _label(name: str) -> str:
    return name if len(name) <= 12 else f"{name[:11]}…"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
