"""All rows as dots, a line of them for each feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import charts, page, readings
from xaionnx.render.result_page import rows_page
from xaionnx.render.table_chart import DOTS, LEGEND, MEANS, Columns, value_legend
from xaionnx.render.tables import TOP, Table, check_top, subsample, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.render.value_colours import dot_colours
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In pixels: the size of a dot, of one of at most so few, and the width of a bin in which dots lie over each other.
_DOT: Final = 4.2
_LARGE_DOT: Final = 8.0
_FEW: Final = 12
_BIN: Final = 3.0


def beeswarm(explanation: Explanation, *, target: int = 0, top: int = TOP, style: Style = LIGHT) -> Image.Image:
    """A picture of all rows: a dot for each row and feature, at its attribution, coloured by the feature's value.

    Features are ordered by their mean size. Dots lie apart where they are dense, so that their number can be seen.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N rows with the same features.
    target : int
    top : int
        The largest number of features; the rest is summed in one row of dots.

    Raises
    ------
    DataError
        Some values are not finite.
    ParameterError
        ``top`` is not a positive int.

    References
    ----------
    Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nature Machine
    Intelligence 2, 2020, doi:10.1038/s42256-019-0138-9, figure 4.
    """
    check_top(top, "beeswarm")
    table = table_of(explanation, target)
    drawn = subsample(len(table.values), DOTS)
    coloured = bool(np.isfinite(table.numbers).any())
    notes = [
        "Each dot is a row: right of zero the feature raises the prediction there, left of it lowers it."
        if explanation.value_kind in ("contribution", None)
        else "Each dot is a row, at the value of the method for the feature.",
        readings.mixed_targets(table.targets),
        readings.drawn_rows(len(drawn), len(table.values)),
    ]
    details = ["Colours run from the 5th to the 95th percentile of the feature's values."] if coloured else []
    details.append("The numbers at the right are the mean size of the feature's values over all rows.")
    with page.FIGURES:
        body = page.figure_picture(_beeswarm(style, table, drawn, top, coloured))
    return rows_page(style, table, body, notes, details)


def _beeswarm(style: Style, table: Table, drawn: Array, top: int, coloured: bool) -> Figure:
    columns = Columns.of(table, top)
    rows = charts.Rows(columns.labels)
    head, foot = 24, charts.FOOT + (LEGEND if coloured else 0)
    figure, axes = charts.rows_chart(style, rows, head=head, foot=foot, right=MEANS)
    every = np.concatenate([column[drawn] for column in columns.values])
    low, high = charts.limits(min(0.0, float(every.min())), max(0.0, float(every.max())), axes.bbox.width, 8, 8)
    charts.number_axis(style, axes, low, high)
    axes.axvline(0, color=hexadecimal(style.faint), linewidth=1, zorder=1)
    unit = (high - low) / float(axes.bbox.width)
    heights, gray = rows.heights, False
    for number, (column, centre) in enumerate(zip(columns.values, rows.centres, strict=True)):
        x = column[drawn]
        y = centre + spread(x / unit, min(heights[number], 60.0) / 2 - 5)
        numbers = np.full(len(drawn), np.nan)
        if number < len(columns.shown):
            numbers[drawn < len(table.numbers)] = table.numbers[
                drawn[drawn < len(table.numbers)], columns.shown[number]
            ]
            gray |= bool(np.isnan(numbers).any())
        _dots(style, axes, x, y, numbers)
    columns.write_means(style, figure, rows, head)
    if coloured:
        others = len(columns.values) > len(columns.shown)
        words = ["words, or missing"] * gray + ["sum of others"] * others
        _draw_legend(style, figure, head + rows.height + charts.FOOT + 14, "; ".join(words))
    return figure


def spread(x: Floats, half: float) -> Floats:
    """Vertical places of dots at ``x``, in pixels, so that dots of one bin do not cover each other.

    The dots of a bin are stacked from the middle outwards; where they would leave the band of ``half`` pixels to each
    side, all are moved closer together.

    Examples
    --------
    >>> spread(np.array([0.0, 0.1, 100.0, 0.2]), 10)
    array([ 0.,  4.,  0., -4.])
    """
    if not len(x):
        return x
    bins = np.floor(x / _BIN).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=bins[order][0] - 1))
    rank = np.arange(len(x)) - np.repeat(starts, np.diff(np.append(starts, len(x))))
    side = np.where(rank % 2 == 1, 1, -1) * ((rank + 1) // 2)
    places = np.empty(len(x))
    places[order] = side * 4.0
    widest = float(np.abs(places).max())
    return places * (half / widest) if widest > half else places


def _dots(style: Style, axes: Axes, x: Floats, y: Floats, numbers: Floats) -> None:
    """Dots of a feature; those without a number lie under the others."""
    order = np.argsort(np.isfinite(numbers), kind="stable")
    size = ((_DOT if len(x) > _FEW else _LARGE_DOT) * 72 / 120) ** 2
    axes.scatter(x[order], y[order], s=size, c=dot_colours(style, numbers)[order], linewidths=0, zorder=3)


def _draw_legend(style: Style, figure: Figure, top: float, plain: str) -> None:
    """The legend of a feature's values, and of what has no colour."""
    gray = value_legend(style, figure, "feature value  low", top, 16) + 30
    if not plain:
        return
    legend = charts.plot(style, figure, gray, top, 12, 12)
    legend.plot([0.5], [0.5], "o", color=hexadecimal(style.plain), markersize=5)
    legend.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    charts.write(style, figure, plain, gray + 18, top + 6, colour=style.faint)
