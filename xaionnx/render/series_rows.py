"""The rows of a series: lines over colours, a heat map of many channels, and the spectrogram of sound."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from xaionnx.data.time_axis import TimeAxis
from xaionnx.render import charts, colour_bars, fonts, page
from xaionnx.render.themes import Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT: Final = 836
"""Width of the lines in pixels."""

# In pixels: margins, of which the left one grows with names and numbers, and that of the time axis.
_LEFT: Final = 150
_RIGHT: Final = 14
BOTTOM: Final = 52

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
# The widest line of a name, and its distance from the numbers or the plot at its right.
_NAME: Final = 180
_BESIDE: Final = 14
# Lines that change by less of their size are level, as are those of which the margin is less than the latter.
_ROUNDING: Final = 1e-14
_LEAST: Final = 1e-280
# Most numbers of the time axis.
_TIMES: Final = 9


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


@final
@dataclass(frozen=True)
class _Box:
    """A part of the picture, as wide as the lines, and what stands left of it: its name, and numbers of its axis."""

    tall: int
    name: tuple[str, ...]
    numbers: charts.NumbersLeft | None

    @property
    def column(self) -> int:
        """The pixels from the plot to the name."""
        return _BESIDE + (self.numbers.width if self.numbers else 0)

    @property
    def width(self) -> int:
        """The pixels that the lines of the name take."""
        return max(map(charts.text_width, self.name), default=0)


def draw_rows(style: Style, rows: Rows) -> Image.Image:
    """Rows of lines over their colours and, with many channels, a heat map beneath them."""
    count = len(rows.signals)
    apart = count <= ROWS
    times, courses = _course(rows.signals, rows.steps)
    lines = list(courses[:, None]) if apart else [courses]
    names = rows.names if apart else [f"{count} channels"]
    tall = max(_ROW[0], min(_ROW[1], _TALL // len(lines))) if apart else _ROW[1]
    mapped = not apart and not rows.same
    boxes = [_line_box(name, line, tall) for name, line in zip(names, lines, strict=True)]
    boxes += [_map_box(rows)] if mapped else []
    boxes += [_Box(_SPECTRUM, ("kHz",), charts.NumbersLeft.inside(0, _rate(rows) / 2000, _SPECTRUM))] * rows.sound
    figure, plots = _boxes(style, boxes, _WIDE_GAP if tall >= _NUMBERED else 2)
    plain = np.broadcast_to(np.array(style.paper, np.uint8), rows.colours[:1].shape)
    for row, (axes, line) in enumerate(zip(plots, lines, strict=False)):
        coloured = rows.colours[row : row + 1] if apart or rows.same else plain
        _colour(axes, rows, coloured, *_ends(line))
        if apart or rows.same:
            _divide(style, axes, rows, row)
        _plot_lines(style, axes, rows.first + times * rows.unit, line, apart and rows.steps == 1)
    if mapped:
        _colour(plots[len(lines)], rows, rows.colours, count - 0.5, -0.5)
    if rows.sound:
        _draw_spectrum(style, plots[-1], rows)
    _write_times(style, figure, plots, rows)
    for axes in plots:
        charts.style_ticks(style, axes)
    return page.figure_picture(figure)


def _line_box(name: str, line: Floats, tall: int) -> _Box:
    """The box of a line; a low one has a name on one line, and no numbers."""
    if tall < _NUMBERED:
        return _Box(tall, (_one_line(name),), None)
    return _Box(tall, charts.label(name, width=_NAME), charts.NumbersLeft.inside(*_ends(line), tall))


def _map_box(rows: Rows) -> _Box:
    """The box of the heat map, with the names of some of its channels."""
    count = len(rows.signals)
    tall = max(200, min(600, 5 * count))
    marks = [place for place in charts.NumbersLeft.inside(-0.5, count - 0.5, tall).marks if place.is_integer()]
    return _Box(tall, (), charts.NumbersLeft.at(marks, [_one_line(rows.names[int(place)]) for place in marks]))


def _one_line(name: str) -> str:
    return charts.condensed(charts.spaced(name), _NAME)


def _boxes(style: Style, boxes: Sequence[_Box], gap: int) -> tuple[Figure, list[Axes]]:
    """The boxes below each other with their names, which end at the left of the widest number, and their numbers."""
    column = max(box.column for box in boxes if box.name)
    left = max(_LEFT, *(4 + max(box.column, column + box.width) for box in boxes))
    uppers = [0, *itertools.accumulate(box.tall + gap for box in boxes)]
    figure = charts.blank(style, uppers[-1] - gap + BOTTOM, left + PLOT + _RIGHT)
    plots = []
    for box, upper in zip(boxes, uppers, strict=False):
        axes = charts.plot(style, figure, left, upper, PLOT, box.tall)
        for side in axes.spines.values():
            side.set(visible=True, color=hexadecimal(style.faint))
        axes.tick_params(axis="both", length=3, labelbottom=False)
        marks, texts = (box.numbers.marks, box.numbers.texts) if box.numbers else ([], [])
        axes.set_yticks(marks, list(map(fonts.plot_text, texts)))
        charts.write(style, figure, "\n".join(box.name), left - column, upper + box.tall / 2, align="right")
        plots.append(axes)
    return figure, plots


def _write_times(style: Style, figure: Figure, plots: Sequence[Axes], rows: Rows) -> None:
    """The marks of time on all boxes, and their numbers or dates and the name of the axis below the last one."""
    last = plots[-1]
    last.tick_params(labelbottom=True)
    if rows.time.dated:
        charts.marks_below(last, *_dates(rows))
    else:
        charts.numbers_below(last, *last.get_xlim(), _TIMES, whole=not rows.time.unit)
    for axes in plots[:-1]:
        axes.set_xticks(last.get_xticks())
    wide, tall = figure.bbox.size
    charts.write(style, figure, rows.time.label, float(wide) - _RIGHT - PLOT / 2, float(tall) - 11, align="center")


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
        axes.axvline(rows.first + (cut - 0.5) * rows.unit, color=hexadecimal(style.faint), linewidth=0.4, alpha=0.6)


def _draw_spectrum(style: Style, axes: Axes, rows: Rows) -> None:
    """The spectrogram of the first channel over its colours."""
    from scipy.signal import spectrogram

    signal = np.nan_to_num(rows.signals[0])
    rate = _rate(rows)
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


def _rate(rows: Rows) -> float:
    """Steps per second of sound."""
    return {"s": 1.0, "ms": 1e3}.get(rows.time.unit, 1.0) / rows.time.step


def _dates(rows: Rows) -> tuple[list[float], list[str]]:
    """The marks of a time axis with dates, at whole days, hours and parts of them, and their texts."""
    start, length = rows.time.date(0), rows.signals.shape[1]
    last, steps = rows.time.date(length - 1), max(length - 1, 1)
    # Dates are whole microseconds, so that one step alone is not exact.
    lasts = max(rows.time.date(steps) - start, datetime.timedelta.resolution)
    # The axis is a step longer than from the first step to the last one.
    axis = lasts * (length / steps)
    each = next((span for span in _TICKS if axis <= span * _MOST_TICKS), axis / _MOST_TICKS)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    before = (start - midnight) // each
    marks = [midnight + each * number for number in range(before, before + _MOST_TICKS + 2)]
    marks = [mark for mark in marks if start <= mark <= last]
    return [(mark - start) / lasts * steps for mark in marks], [_moment(mark, each, last - start) for mark in marks]


def _moment(mark: datetime.datetime, each: datetime.timedelta, lasts: datetime.timedelta) -> str:
    """The text of one of the marks at ``each`` of a time that ``lasts`` so long: it tells them apart."""
    if each >= _DAY:
        return f"{mark:%Y-%m-%d}"
    if each >= _MINUTE:
        return f"{mark:%m-%d %H:%M}" if lasts >= _DAY else f"{mark:%H:%M}"
    return f"{mark:%H:%M:%S}" if each >= _SECOND else f"{mark:%H:%M:%S.%f}"[:-3]


_DAY: Final = datetime.timedelta(days=1)
_MINUTE: Final = datetime.timedelta(minutes=1)
_SECOND: Final = datetime.timedelta(seconds=1)
# Times between marks on an axis with dates, and their largest number.
_TICKS: Final = (
    *(datetime.timedelta(milliseconds=number) for number in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(datetime.timedelta(seconds=number) for number in (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200)),
    *(datetime.timedelta(days=number) for number in (1, 2, 7, 14, 28, 91, 182, 365)),
)
_MOST_TICKS: Final = 7


def _plot_lines(style: Style, axes: Axes, times: Floats, lines: Floats, clear: bool) -> None:
    """Draw lines with a halo if ``clear``, otherwise thin and semi-transparent."""
    from matplotlib.patheffects import Normal, Stroke

    # A halo of the paper makes a line visible on the darkest red.
    halo = [Stroke(linewidth=2.5, foreground=hexadecimal(style.paper), alpha=0.7), Normal()] if clear else []
    # A single step has no line, so it is drawn as a dot.
    mark = "o" if lines.shape[1] == 1 else None
    width, alpha = (1.0, 1.0) if clear else (0.6, 0.75 / len(lines) ** 0.15)
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
    size = max(abs(low), abs(high))
    # An axis of rounding errors alone has no numbers that tell its ends apart.
    room = 0.08 * (high - low if high - low > _ROUNDING * size else size)
    room = room if room > _LEAST else 1.0
    return low - room, high + room
