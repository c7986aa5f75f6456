"""The rows of a series: lines over colours, a heat map of many channels, and the spectrogram of sound."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from xaionnx.data.time_axis import TimeAxis
from xaionnx.render import colour_bars, fonts, page
from xaionnx.render.themes import Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In pixels: width of the picture, and margins for the names of channels and the time axis.
_WIDTH: Final = 1000
_LEFT: Final = 150
_RIGHT: Final = 14
BOTTOM: Final = 52
PLOT: Final = _WIDTH - _LEFT - _RIGHT
"""Width of the lines in pixels."""

ROWS: Final = 64
"""Up to this many channels, each has its own row, as in an electroencephalogram."""

# Height of all rows of signals together, and of the lowest and the highest row.
_TALL: Final = 520
_ROW: Final = (22, 220)
# From this height on, a row has numbers at its left, and wide gaps around it.
_NUMBERED: Final = 60
_WIDE_GAP: Final = 6
_SPECTRUM: Final = 190
# Steps and steps per second of the shortest and slowest sound, and its channels.
_SHORTEST: Final = 1024
_SLOWEST: Final = 2000.0
_STEREO: Final = 2
# Louder by so many decibels than the darkest is white.
_DECIBELS: Final = 70.0
# Narrower segments than this, in pixels, are not divided by lines.
_NARROW: Final = 4
# Characters of a name, and of one of two lines beside numbers.
_NAME: Final = 20
_SHORT: Final = 11


@final
@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """What is drawn.

    Attributes
    ----------
    signals : array (C, T)
    colours : uint8 array (C, G, 3)
        Those of every ``steps`` steps.
    names : sequence of C str
    steps : int
    time : TimeAxis
    same : bool
        Whether the values are the same for all channels.
    labels : int array (C, T) or None
        The number of each element's player.
    sound : bool
        Whether the spectrogram is drawn.
    """

    signals: Floats
    colours: colour_bars.Swatches
    names: Sequence[str]
    steps: int
    time: TimeAxis
    same: bool
    labels: Array | None
    sound: bool

    @property
    def unit(self) -> float:
        """The length of a step on the axis, on which steps with dates are counted."""
        return 1.0 if self.time.dated else self.time.step

    @property
    def first(self) -> float:
        """The place of the first step on the axis."""
        return 0.0 if self.time.dated else self.time.at(0)


def is_sound(signals: Floats, time: TimeAxis) -> bool:
    """Whether a series is sound, by its length, rate and channels."""
    fast = {"s": 1.0, "ms": 1e3}.get(time.unit, 0.0) >= time.step * _SLOWEST
    return fast and signals.shape[1] >= _SHORTEST and len(signals) <= _STEREO


def draw_rows(style: Style, rows: Rows) -> Image.Image:
    """Rows of lines over their colours and, with many channels, a heat map beneath them."""
    from matplotlib.figure import Figure

    count = len(rows.signals)
    apart = count <= ROWS
    lines = count if apart else 1
    tall = max(_ROW[0], min(_ROW[1], _TALL // lines)) if apart else _ROW[1]
    gap = _WIDE_GAP if tall >= _NUMBERED else 2
    mapped = 0 if apart or rows.same else max(200, min(600, 5 * count))
    below = [deep for deep in (mapped, _SPECTRUM if rows.sound else 0) if deep]
    height = lines * (tall + gap) - gap + sum(deep + _WIDE_GAP for deep in below) + BOTTOM
    figure = Figure(figsize=(_WIDTH / 100, height / 100), dpi=100, facecolor=hexadecimal(style.paper))
    times, courses = _course(rows.signals, rows.steps)
    for row in range(lines):
        axes = _box(style, figure, row * (tall + gap), tall)
        shown = courses[row : row + 1] if apart else courses
        low, high = _ends(shown)
        plain = np.broadcast_to(np.array(style.paper, np.uint8), rows.colours[:1].shape)
        _colour(axes, rows, rows.colours[row : row + 1] if apart or rows.same else plain, low, high)
        if apart or rows.same:
            _divide(style, axes, rows, row)
        _plot_lines(style, axes, rows.first + times * rows.unit, shown, apart and rows.steps == 1)
        name = rows.names[row] if apart else f"{count} channels"
        axes.set_ylabel(_label(name, 2 if tall >= _NUMBERED else 1), rotation=0, ha="right", va="center")
        axes.yaxis.set_label_coords(-50 / PLOT if tall >= _NUMBERED else -8 / PLOT, 0.5)
        axes.locator_params(axis="y", nbins=max(2, tall // 45))
        if tall < _NUMBERED:
            axes.set_yticks([])
    upper = lines * (tall + gap) - gap + _WIDE_GAP
    if mapped:
        axes = _box(style, figure, upper, mapped)
        _colour(axes, rows, rows.colours, count - 0.5, -0.5)
        marks = [int(place) for place in axes.get_yticks() if place in range(count)]
        axes.set_yticks(marks, [_label(rows.names[place]) for place in marks])
        upper += mapped + _WIDE_GAP
    if rows.sound:
        axes = _box(style, figure, upper, _SPECTRUM)
        _draw_spectrum(style, axes, rows)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel(fonts.plot_text(rows.time.label))
    _date(axes, rows)
    for one in figure.axes:
        for text in [*one.get_xticklabels(), *one.get_yticklabels(), one.xaxis.label, one.yaxis.label]:
            points = 8 if text is one.yaxis.label and tall < _NUMBERED else 10
            text.set_fontproperties(fonts.plot_font(points, text=text.get_text()))
            text.set_color(hexadecimal(style.ink))
    return page.figure_picture(figure)


def strongest_of(rows: Floats, steps: int) -> Floats:
    """The strongest of every ``steps`` values of rows (C, T), (C, G)."""
    groups = _group(rows, steps)
    return np.take_along_axis(groups, np.abs(groups).argmax(axis=-1)[..., None], axis=-1)[..., 0]


def _group(rows: Floats, steps: int) -> Floats:
    """Rows (C, T) in groups of ``steps``, (C, G, steps); the last group is padded with the last value."""
    padding = -rows.shape[1] % steps
    return np.pad(rows, ((0, 0), (0, padding)), mode="edge").reshape(len(rows), -1, steps)


def _course(rows: Floats, steps: int) -> tuple[Floats, Floats]:
    """Steps and values of lines, (P,) and (C, P); groups of steps give their minimum and maximum."""
    if steps == 1:
        return np.arange(rows.shape[1], dtype=np.float64), rows
    groups = _group(rows, steps)
    ends = np.stack([np.fmin.reduce(groups, axis=-1), np.fmax.reduce(groups, axis=-1)], axis=-1)
    middle = np.arange(groups.shape[1]) * steps + (steps - 1) / 2
    return np.repeat(np.minimum(middle, rows.shape[1] - 1), 2), ends.reshape(len(rows), -1)


def _box(style: Style, figure: Figure, upper: int, deep: int) -> Axes:
    height = figure.get_figheight() * 100
    axes = figure.add_axes((_LEFT / _WIDTH, 1 - (upper + deep) / height, PLOT / _WIDTH, deep / height))
    for side in axes.spines.values():
        side.set_color(hexadecimal(style.faint))
    axes.set_facecolor(hexadecimal(style.paper))
    axes.tick_params(axis="both", colors=hexadecimal(style.ink), length=3, labelbottom=False)
    return axes


def _colour(axes: Axes, rows: Rows, pixels: colour_bars.Swatches, low: float, high: float) -> None:
    """Colours from the first step to the last; the first row is at the top, as in pictures."""
    begin = rows.first - 0.5 * rows.unit
    extent = (begin, begin + pixels.shape[1] * rows.steps * rows.unit, low, high)
    axes.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest", origin="upper")
    axes.set_xlim(begin, begin + rows.signals.shape[1] * rows.unit)
    axes.set_ylim(low, high)


def _divide(style: Style, axes: Axes, rows: Rows, row: int) -> None:
    """Thin lines between the segments of a row, unless they are narrow."""
    if rows.labels is None:
        return
    cuts = np.flatnonzero(np.diff(rows.labels[min(row, len(rows.labels) - 1)])) + 1
    if (len(cuts) + 1) * _NARROW > PLOT:
        return
    for cut in cuts:
        axes.axvline(rows.first + (cut - 0.5) * rows.unit, color=hexadecimal(style.faint), linewidth=0.5, alpha=0.6)


def _draw_spectrum(style: Style, axes: Axes, rows: Rows) -> None:
    """The spectrogram of the first channel over its colours."""
    from scipy.signal import spectrogram

    signal = np.nan_to_num(rows.signals[0])
    rate = {"s": 1.0, "ms": 1e3}.get(rows.time.unit, 1.0) / rows.time.step
    # About as many windows as half the columns of pixels.
    size = int(2 ** np.clip(np.round(np.log2(4 * len(signal) / PLOT)), 6, 10))
    hop = max(1, len(signal) // PLOT)
    frequencies, centres, power = spectrogram(signal, rate, nperseg=size, noverlap=max(0, size - hop))
    loud = 10 * np.log10(np.maximum(power, power.max() * 10 ** (-_DECIBELS / 10) if power.max() > 0 else 1))
    dark = (loud - loud.min()) / (np.ptp(loud) or 1)
    steps = np.minimum((centres * rate / rows.steps).astype(int), rows.colours.shape[1] - 1)
    colours = rows.colours[0, steps].astype(np.float64)
    pixels = colours[None] * (1 - dark[..., None]) + np.array(style.ink) * dark[..., None]
    half = hop / rate / 2
    seconds = rows.unit * rate
    begin, end = ((place * seconds) + rows.first for place in (centres[0] - half, centres[-1] + half))
    extent = (begin, end, 0.0, frequencies[-1] / 1000)
    axes.imshow(np.rint(pixels).astype(np.uint8), extent=extent, aspect="auto", origin="lower")
    axes.set_xlim(rows.first - 0.5 * rows.unit, rows.first + (len(signal) - 0.5) * rows.unit)
    _divide(style, axes, rows, 0)
    axes.set_ylabel("kHz", rotation=0, ha="right", va="center")
    axes.yaxis.set_label_coords(-50 / PLOT, 0.5)


def _date(axes: Axes, rows: Rows) -> None:
    """Write dates on a time axis that has them, at whole hours and days."""
    if not rows.time.dated:
        return
    start, length = rows.time.date(0), rows.signals.shape[1]
    lasts = rows.time.date(length - 1) - start
    each = next((span for span in _TICKS if lasts <= span * _MOST_TICKS), lasts / _MOST_TICKS)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    marks = [midnight + each * number for number in range(int((start - midnight) / each), 3 * _MOST_TICKS)]
    marks = [mark for mark in marks if start <= mark <= start + lasts]
    step = (rows.time.date(1) - start).total_seconds()
    form = "%Y-%m-%d" if each >= _DAY else "%m-%d %H:%M" if lasts >= _DAY else "%H:%M"
    places = [(mark - start).total_seconds() / step for mark in marks]
    axes.set_xticks(places, [f"{mark:{form}}" for mark in marks])


_DAY: Final = datetime.timedelta(days=1)
# Times between marks on an axis with dates, and their largest number.
_TICKS: Final = (
    *(datetime.timedelta(seconds=number) for number in (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200)),
    *(datetime.timedelta(days=number) for number in (1, 2, 7, 14, 28, 91, 182, 365)),
)
_MOST_TICKS: Final = 7


def _plot_lines(style: Style, axes: Axes, times: Floats, lines: Floats, clear: bool) -> None:
    """Draw lines with a halo if ``clear``, otherwise thin and semi-transparent."""
    from matplotlib.patheffects import Normal, Stroke

    # A halo of the paper makes a line visible on the darkest red.
    halo = [Stroke(linewidth=3.0, foreground=hexadecimal(style.paper), alpha=0.7), Normal()] if clear else []
    # A single step has no line, so it is drawn as a dot.
    mark = "o" if lines.shape[1] == 1 else None
    width, alpha = (1.2, 1.0) if clear else (0.7, 0.75 / len(lines) ** 0.15)
    for line in lines:
        axes.plot(
            times,
            line,
            color=hexadecimal(style.ink),
            linewidth=width,
            alpha=alpha,
            marker=mark,
            path_effects=halo,
        )


def _ends(lines: Floats) -> tuple[float, float]:
    """The limits of a row, with a margin around its lines."""
    finite = lines[np.isfinite(lines)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    return low - room, high + room


def _label(name: str, lines: int = 1) -> str:
    """A name in one line, or in two beside the numbers of a high row."""
    long = _SHORT if lines > 1 else _NAME
    if lines > 1 and len(name) > long:
        return fonts.plot_text("\n".join(textwrap.wrap(name, long, max_lines=lines, placeholder="…")))
    return fonts.plot_text(name if len(name) <= long else f"{name[: long - 1]}…")
