"""Bar charts of features, columns or players: of one row, or their mean size in all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import charts, fonts, page, readings
from xaionnx.render.colours import number_words
from xaionnx.render.result_page import rows_page, sample_page
from xaionnx.render.tables import TOP, Row, Table, check_top, row_of, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Half the thickness of a bar, and the gap between its end and its number, in pixels.
_HALF: Final = 9
_APART: Final = 6


def bars(  # noqa: PLR0913 - options of a picture, all by keyword
    explanation: Explanation,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    target: int = 0,
    top: int = TOP,
    title: str | None = None,
    input: str | None = None,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of feature values as horizontal bars with standard errors, the strongest at the top.

    Each bar has the name of its feature, the feature's value in the input where the record has it, and the number.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples. Its ``feature_values`` are drawn, or its values if it has none. For a layer, sums
        over its channels or tokens are drawn, or its units.
    names : sequence of str, optional
        One name for each of the P features; by default those of the record.
    sample, target : int
        Index of the sample, and of the target if there are several.
    top : int
        The largest number of bars; the caption says how many features are left out.
    title : str, optional
        Replaces the class and its score.
    input : str, optional
        The input to draw, if there are no feature values and several inputs have values.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        There are no values, some are not finite, or the number of names does not match.
    ParameterError
        There is no such sample, target or input, or ``top`` is not a positive int.

    Examples
    --------
    >>> e = Explanation("exact_shapley", np.array([[2.0, -1.0]]), np.array(["good"]), np.array([1.0]))
    >>> bars(e, ["income", "age"]).mode
    'RGB'
    """
    check_top(top, "bars")
    row = row_of(explanation, sample, target, "bars", names, input)
    one, values, kind = row.one, row.values, row.parts
    order = row.order[:top]
    sign = "signed" if values.min() < 0 else "positive"
    meaning = sense(one).sentence(sign, kind, f"the longer the bar of a {kind[:-1]}")
    notes = [meaning if values.any() else readings.without_colours(one, "every value is zero"), row.note]
    if row.errors is not None:
        notes.append("Whiskers: one standard error to each side.")
    if len(order) < len(values):
        notes.append(f"The {len(values) - len(order)} weakest of {len(values)} {kind} are left out.")
    if rule := readings.rule(one):
        row, order, notes = _of_rule(row, rule)
    with page.FIGURES:
        body = _draw_bars(style, row, order)
    return sample_page(style, one, body, notes, title=title)


def _of_rule(row: Row, rule: Sequence[str]) -> tuple[Row, Array, list[str]]:
    """The conditions of a rule: their row, which says no values beside them, their order, and notes."""
    needed = row.order[row.values[row.order] > 0]
    free = len(row.values) - len(needed)
    notes = [*rule, f"It leaves {free} of {len(row.values)} features open." if free and len(needed) else ""]
    return replace(row, shown=("",) * len(row.names)), needed if len(needed) else row.order, notes


def mean_bars(explanation: Explanation, *, target: int = 0, top: int = TOP, style: Style = LIGHT) -> Image.Image:
    """A picture of the mean size of each feature's values over all rows: the importance of features for a data set.

    The red part of a bar is the share of positive values, the blue part that of negative ones.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N rows with the same features.
    target, top
        As for :func:`bars`.
    """
    check_top(top, "mean_bars")
    table = table_of(explanation, target)
    order = table.order[:top]
    notes = [
        f"Bars: the mean size of a feature's values over {len(table.values):,} rows; red: the part of values above "
        "zero, blue: below.",
        readings.mixed_targets(table.targets),
    ]
    if len(order) < len(table.names):
        notes.append(f"The {len(table.names) - len(order)} weakest of {len(table.names)} features are left out.")
    details = ["Whiskers: one standard error of the mean over the rows."]
    with page.FIGURES:
        body = _draw_means(style, table, order)
    return rows_page(style, table, body, notes, details)


def _draw_bars(style: Style, row: Row, order: Array) -> Image.Image:
    """The bars and their labels, without title and caption."""
    rows = charts.Rows(tuple(charts.label(row.names[i], row.shown[i]) for i in order))
    values = row.values[order]
    errors = np.zeros(len(order)) if row.errors is None else row.errors[order]
    numbers = [charts.signed(value) if row.values.min() < 0 else number_words(value) for value in values]
    figure, axes = charts.rows_chart(style, rows)
    _horizontal(style, axes, values - errors, values + errors, numbers)
    colours = [hexadecimal(style.up if value >= 0 else style.down) for value in values]
    axes.barh(rows.centres, values, color=colours, height=2 * _HALF, zorder=2)
    _whiskers(style, axes, rows.centres, values, None if row.errors is None else errors)
    _numbers(style, axes, rows.centres, values, errors, numbers)
    return page.figure_picture(figure)


def _draw_means(style: Style, table: Table, order: Array) -> Image.Image:
    """Bars of mean sizes, in a red and a blue part."""
    values, count = table.values[:, order], len(table.values)
    up, down = np.maximum(values, 0).mean(axis=0), np.maximum(-values, 0).mean(axis=0)
    whole = up + down
    errors = np.abs(values).std(axis=0) / np.sqrt(count)
    rows = charts.Rows(tuple(charts.label(table.names[i]) for i in order))
    numbers = [number_words(value) for value in whole]
    figure, axes = charts.rows_chart(style, rows)
    _horizontal(style, axes, np.zeros(len(order)), whole + errors, numbers)
    axes.barh(rows.centres, up, color=hexadecimal(style.up), height=2 * _HALF, zorder=2)
    axes.barh(rows.centres, down, left=up, color=hexadecimal(style.down), height=2 * _HALF, zorder=2)
    _whiskers(style, axes, rows.centres, whole, errors)
    _numbers(style, axes, rows.centres, whole, errors, numbers)
    return page.figure_picture(figure)


def _horizontal(style: Style, axes: Axes, low: Floats, high: Floats, numbers: Sequence[str]) -> None:
    """The horizontal axis of bars from zero, with room for their numbers."""
    wide = float(axes.bbox.width)
    room = max(map(charts.text_width, numbers)) + 2 * _APART
    least, most = min(0.0, float(low.min())), max(0.0, float(high.max()))
    before = room if (low < 0).any() else 2
    if least == most:
        least, most, before = -1.0, 1.0, 2
    charts.number_axis(style, axes, *charts.limits(least, most, wide, before, room))
    axes.axvline(0, color=hexadecimal(style.faint), linewidth=1, zorder=4)


def _whiskers(style: Style, axes: Axes, places: Floats, values: Floats, errors: Floats | None) -> None:
    if errors is None:
        return
    ink, thin = hexadecimal(style.ink), 1.2
    axes.errorbar(
        values, places, xerr=errors, fmt="none", ecolor=ink, elinewidth=thin, capsize=3, capthick=thin, zorder=3
    )


def _numbers(style: Style, axes: Axes, places: Floats, values: Floats, errors: Floats, numbers: Sequence[str]) -> None:
    """The number of each bar beyond its end and its whisker."""
    for place, value, error, number in zip(places, values, errors, numbers, strict=True):
        end = value - error if value < 0 else value + error
        axes.annotate(
            number,
            (end, place),
            (-_APART if value < 0 else _APART, 0),
            textcoords="offset pixels",
            ha="right" if value < 0 else "left",
            va="center_baseline",
            color=hexadecimal(style.ink),
            fontproperties=fonts.plot_font(9.5),
            zorder=5,
        )
