"""Layout of charts of named features: labels beside a plot, in pixels, so that text is neither cut off nor covered."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.render import colour_bars, fonts, page
from xaionnx.render.colours import number_words
from xaionnx.render.themes import Colour, Style, hexadecimal
from xaionnx.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dots per inch, and in pixels: width of the body, text of the page around it, text in a chart and its lines.
_DPI: Final = 120
WIDTH: Final = 864
TEXT: Final = 17
_POINTS: Final = 9.5
_PIXELS: Final = 16
LINE: Final = 19
# The widest label, the least height of a row, and the gap between labels and plot.
_WIDEST: Final = 350
_ROW: Final = 30
_GAP: Final = 12
# Below the plot: numbers of the horizontal axis; the gap between two of them, and between numbers and their plot. A
# number of a vertical axis for about so many pixels.
FOOT: Final = 34
_APART: Final = 8
_EACH: Final = 45
# What joins a column and a value in a condition.
_CONDITION: Final = re.compile(r"\w (<=|<|>|=) |\w is missing$")


@final
@dataclass(frozen=True)
class Rows:
    """The rows of a chart, each as high as the lines of its label; distances are in pixels from the top."""

    labels: tuple[tuple[str, ...], ...]

    @property
    def heights(self) -> Floats:
        """The heights of the rows."""
        return np.array([max(_ROW, LINE * len(lines) + 9) for lines in self.labels], np.float64)

    @property
    def centres(self) -> Floats:
        """The middles of the rows."""
        heights = self.heights
        return np.asarray(np.cumsum(heights) - heights / 2)

    @property
    def height(self) -> int:
        """The height of all rows."""
        return int(self.heights.sum())

    @property
    def width(self) -> int:
        """The width of the longest line."""
        return max((text_width(line) for lines in self.labels for line in lines), default=0)


def text_width(text: str, bold: bool = False) -> int:
    """The width of a line of a chart in pixels."""
    return int(np.ceil(fonts.Face(_PIXELS, bold).width(text)))


def shortened(text: str, width: int) -> str:
    """A text that is at most ``width`` pixels wide, with … in place of what is left out at its end."""
    if text_width(text) <= width:
        return text
    kept = _most(len(text), lambda kept: text_width(f"{text[:kept].rstrip()}…") <= width)
    return f"{text[:kept].rstrip()}…"


def condensed(name: str, width: int) -> str:
    """A name that is at most ``width`` pixels wide, without its middle: long names often differ at their ends."""
    if text_width(name) <= width:
        return name

    def without_middle(kept: int) -> str:
        return f"{name[: kept - kept // 2].rstrip()}…{name[len(name) - kept // 2 :].lstrip()}"

    return without_middle(max(2, _most(len(name), lambda kept: text_width(without_middle(kept)) <= width)))


def _most(stop: int, fits: Callable[[int], bool]) -> int:
    """The largest number below ``stop`` that fits, where all below one that fits do; 0 if none does."""
    return max(0, bisect.bisect_left(range(stop), True, key=lambda number: not fits(number)) - 1)


def spaced(name: str) -> str:
    """A name, or a condition such as ``duration_in_month > 24``, with spaces in place of underscores."""
    # A line break, or another mark that no line shows, is a space too.
    name = fonts.legible(" ".join(name.split()))
    if _CONDITION.search(name):
        return name.replace("_", " ")
    return name if " " in name else " ".join(filter(None, name.split("_"))) or name


def label(name: str, value: str = "", width: int = _WIDEST) -> tuple[str, ...]:
    """The lines of a label: ``duration: 48 months`` if it fits; else the name on one or two lines, then the value."""
    name, value = spaced(name), fonts.legible(" ".join(value.split()))
    whole = f"{name}: {value}" if value else name
    if text_width(whole) <= width:
        return (whole,)
    lines = _wrapped(f"{name}:" if value else name, width)
    if value and len(lines) > 1 and text_width(f"{lines[-1]} {value}") <= width:
        return (*lines[:-1], f"{lines[-1]} {value}")
    return (*lines, shortened(value, width)) if value else tuple(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """A text in at most two lines."""
    lines = page.wrapped(text, fonts.Face(_PIXELS), width)
    return lines if len(lines) <= 2 else [lines[0], condensed(" ".join(lines[1:]), width)]


def rows_chart(
    style: Style,
    rows: Rows,
    *,
    head: int = 6,
    foot: int = FOOT,
    right: int = 16,
    strong: Sequence[int] = (),
    least: int = 0,
) -> tuple[Figure, Axes]:
    """A figure with labels at the left and a plot beside them.

    The vertical axis of the plot is in pixels from the top of the first row; the horizontal one is that of the values.

    Parameters
    ----------
    rows : Rows
    head, foot, right : int
        Pixels above, below and to the right of the plot.
    strong : sequence of int
        Rows whose labels are bold.
    least : int
        The least width of the labels.
    """
    bold = max((text_width(line, bold=True) for number in strong for line in rows.labels[number]), default=0)
    left = max(rows.width, bold, least) + _GAP + 4
    figure = blank(style, head + rows.height + foot)
    axes = plot(style, figure, left, head, WIDTH - left - right, rows.height)
    axes.set_ylim(rows.height, 0)
    axes.set_yticks([])
    for number, (lines, centre) in enumerate(zip(rows.labels, rows.centres, strict=True)):
        write(style, figure, "\n".join(lines), left - _GAP, head + centre, bold=number in strong, align="right")
    return figure, axes


def blank(style: Style, height: float, width: float = WIDTH) -> Figure:
    """An empty figure of a size in pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=hexadecimal(style.paper))


def plot(style: Style, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes in the house style at a place of a figure, in pixels from its upper left corner."""
    wide, tall = figure.get_size_inches() * _DPI
    axes = figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))
    axes.set_facecolor(hexadecimal(style.paper))
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", length=0, colors=hexadecimal(style.ink))
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def write(  # noqa: PLR0913 - a text, its place and its looks
    style: Style,
    figure: Figure,
    text: str,
    x: float,
    y: float,
    *,
    bold: bool = False,
    align: str = "left",
    colour: Colour | None = None,
    rotation: float = 0,
) -> None:
    """Write a text at pixels from the upper left corner of a figure, centred vertically."""
    wide, tall = figure.get_size_inches() * _DPI
    figure.text(
        x / wide,
        1 - y / tall,
        fonts.plot_text(text),
        ha=align,
        va="bottom" if rotation else "center",
        linespacing=1.25,
        rotation=rotation,
        color=hexadecimal(colour or style.ink),
        fontproperties=fonts.plot_font(_POINTS, bold, text),
    )


def number_axis(style: Style, axes: Axes, low: float, high: float, most: int = 6) -> None:
    """Numbers and grid lines of a horizontal axis from ``low`` to ``high``."""
    numbers_below(axes, low, high, most)
    style_ticks(style, axes)
    axes.grid(axis="x", color=hexadecimal(style.grid), linewidth=0.8)


def numbers_below(axes: Axes, low: float, high: float, most: int, whole: bool = False) -> None:
    """The numbers of a horizontal axis from ``low`` to ``high``, ``whole`` ones alone where it counts."""
    axes.set_xlim(low, high)
    marks_below(axes, *_side_by_side(low, high, most, float(axes.bbox.width), whole))


def marks_below(axes: Axes, marks: Sequence[float], texts: Sequence[str]) -> None:
    """The texts of marks on a horizontal axis; those that an edge of the figure would cut off are left out."""
    low, high = axes.get_xlim()
    left, right, edge = axes.bbox.x0, axes.bbox.x1, axes.figure.bbox.width

    def fits(mark: float, text: str) -> bool:
        at = left + (mark - low) / (high - low) * (right - left)
        half = text_width(text) / 2 + 3
        return bool(half <= at <= edge - half)

    axes.set_xticks(marks, [text if fits(mark, text) else "" for mark, text in zip(marks, texts, strict=True)])


def _side_by_side(low: float, high: float, most: int, pixels: float, whole: bool) -> tuple[list[float], list[str]]:
    """At most about ``most`` numbers of a horizontal axis of ``pixels``, as many as have room beside each other."""
    marks: list[float] = []
    for count in range(most, 1, -1):
        marks = [mark for mark in colour_bars.ticks(low, high, count) if not whole or mark.is_integer()]
        texts = tick_words(marks)
        wide = max(map(text_width, texts), default=0) + _APART
        if all((after - mark) / (high - low) * pixels >= wide for mark, after in itertools.pairwise(marks)):
            return marks, texts
    return marks[:1], tick_words(marks[:1])


@final
@dataclass(frozen=True)
class NumbersLeft:
    """The numbers of a vertical axis, which stand left of its plot.

    Attributes
    ----------
    marks : list of float
    texts : list of str
    width : int
        The pixels that they take, with the gap to the plot.
    """

    marks: list[float]
    texts: list[str]
    width: int

    @classmethod
    def between(cls, low: float, high: float, most: int) -> NumbersLeft:
        """About ``most`` round numbers from ``low`` to ``high``."""
        marks = colour_bars.ticks(low, high, most)
        return cls.at(marks, tick_words(marks))

    @classmethod
    def inside(cls, low: float, high: float, pixels: int) -> NumbersLeft:
        """Numbers of an axis of ``pixels``, two at least, that reach over neither of its ends.

        Examples
        --------
        >>> NumbersLeft.inside(0.0, 4.0, 200).texts, NumbersLeft.inside(-1.9, 1.9, 60).texts
        (['1', '2', '3'], ['−1', '1'])
        """
        room = LINE / 2 / pixels * (high - low)
        low, high = low + room, high - room
        marks = colour_bars.ticks(low, high, max(2, pixels // _EACH))
        if len(marks) < 2:
            # One number does not tell the scale: the outermost of finer ones do.
            fine = colour_bars.ticks(low, high, 10)
            marks = [fine[0], fine[-1]]
        return cls.at(marks, tick_words(marks))

    @classmethod
    def at(cls, marks: list[float], texts: list[str]) -> NumbersLeft:
        """Texts at marks, with the width that they take."""
        return cls(marks, texts, max(map(text_width, texts), default=0) + _APART)


def style_ticks(style: Style, axes: Axes) -> None:
    """The house's font and ink for the numbers of both axes."""
    for tick in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        tick.set_fontproperties(fonts.plot_font(_POINTS, text=tick.get_text()))
        tick.set_color(hexadecimal(style.ink))


def tick_words(marks: Sequence[float]) -> list[str]:
    """Numbers of an axis, all with the decimals that tell them apart.

    Examples
    --------
    >>> tick_words([-0.5, 0.0, 0.5]), tick_words([1000.5, 1001.0]), tick_words([-1.5, 1.5]), tick_words([0.0, 20000.0])
    (['−0.5', '0.0', '0.5'], ['1,000.5', '1,001.0'], ['−1.5', '1.5'], ['0', '20,000'])
    >>> tick_words([0.0, 2.5e9, 5e9]), tick_words([0.2499925, 0.249995]), tick_words([-2e-12, 0.0])
    (['0', '2.5e+09', '5e+09'], ['0.2499925', '0.249995'], ['−2e−12', '0'])
    """
    if len(marks) < 2:
        return [number_words(mark) for mark in marks]
    step = min(b - a for a, b in itertools.pairwise(marks))
    largest = max(map(abs, marks))
    if largest >= 1e6 or step < 1e-4:
        digits = next(
            d for d in range(1, 18) if all(abs(float(f"{mark:.{d}g}") - mark) < 1e-3 * step for mark in marks)
        )
        return [f"{mark:.{digits}g}".replace("-", "−") if mark else "0" for mark in marks]
    decimals = next(d for d in range(18) if all(abs(round(mark, d) - mark) < 1e-3 * step for mark in marks))
    return [f"{mark + 0.0:,.{decimals}f}".replace("-", "−") for mark in marks]


def limits(low: float, high: float, pixels: float, before: float, after: float) -> tuple[float, float]:
    """The ends of an axis of ``pixels`` that leave so many pixels before ``low`` and after ``high``.

    Examples
    --------
    >>> limits(0.0, 1.0, 100, 25, 25)
    (-0.5, 1.5)
    """
    if high <= low:
        room = abs(low) * 0.1 or 1.0
        low, high = low - room / 2, high + room / 2
    unit = (high - low) / max(pixels - before - after, pixels / 5)
    return low - before * unit, high + after * unit


def signed(value: float, error: float | None = None) -> str:
    """A change with its sign, and its standard error.

    Examples
    --------
    >>> signed(0.4512), signed(-0.5, 0.02), signed(0.0)
    ('+0.451', '−0.5 ± 0.02', '0')
    """
    text = f"+{number_words(value)}" if value > 0 else number_words(value + 0.0)
    return f"{text} ± {float(f'{error:.1g}'):g}" if error else text


def limits_around(places: Sequence[tuple[float, float, float]], pixels: float) -> tuple[float, float]:
    """The ends of an axis of ``pixels`` on which each place has so many pixels before and after it.

    Examples
    --------
    >>> low, high = limits_around([(0.0, 0, 0), (1.0, 0, 50)], 100)
    >>> round(low, 2), round(high, 2)
    (0.0, 2.0)
    """
    values = [value for value, _, _ in places]
    low, high = min(values), max(values)
    if high <= low:
        return limits(low, high, pixels, max(p[1] for p in places), max(p[2] for p in places))
    least, most = low, high
    # Room at one end makes the unit larger, and so that at the other end; a few rounds settle it.
    for _ in range(40):
        unit = min((most - least) / pixels, 4 * (high - low) / pixels)
        least = min(value - before * unit for value, before, _ in places)
        most = max(value + after * unit for value, _, after in places)
    return least, most
