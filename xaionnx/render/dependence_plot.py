"""The value of one feature against its attribution in all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import charts, fonts, page, readings
from xaionnx.render.result_page import rows_page
from xaionnx.render.table_chart import DOTS, LEGEND, value_legend
from xaionnx.render.tables import Table, name_with_unit, subsample, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.render.value_colours import dot_colours
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The least width of the numbers at the left, in pixels.
_LEFT: Final = 84


def feature_number(explanation: Explanation, feature: str | int | None, order: Array) -> int:
    """The number of a feature given by name or number; by default the most important one.

    Raises
    ------
    ParameterError
        There is no such feature.
    """
    names = explanation.feature_names
    if feature is None:
        return int(order[0])
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if isinstance(feature, int) and not isinstance(feature, bool) and 0 <= feature < len(names):
        return feature
    import difflib

    near = difflib.get_close_matches(str(feature), names, n=1)
    hint = f" Nearest: '{near[0]}'." if near else ""
    raise ParameterError(
        f"The 'feature' parameter of a picture must be the name of a feature or its number in [0, {len(names)}). "
        f"Got {feature!r} instead.{hint}"
    )


def dependence(
    explanation: Explanation,
    *,
    feature: str | int | None = None,
    colour: str | int | None = None,
    target: int = 0,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of one feature in all rows: its value against its attribution, coloured by another feature.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N rows with the same features, and a record of the rows.
    feature : str or int, optional
        The feature, by name or number; the most important one by default.
    colour : str or int, optional
        The feature of the colours; the one that interacts most by default: by the interaction values of the record, or
        else the one whose values go best with the attributions among rows of similar values of ``feature``.
    target : int
        Index of the target, if there are several.
    """
    table = table_of(explanation, target)
    chosen = feature_number(explanation, feature, table.order)
    drawn = subsample(min(len(table.values), _stored(explanation)), DOTS)
    raw = cells_of(explanation, chosen, drawn)
    measured = "interactions" in explanation.maps
    other = (
        feature_number(explanation, colour, table.order)
        if colour is not None
        else _strongest_partner(explanation, table, chosen, drawn, raw, target)
    )
    name = charts.spaced(table.names[chosen])
    notes = [
        f"Each dot is a row: the value of {name}, and how much it raises or lowers the prediction there.",
        readings.mixed_targets(table.targets),
        readings.drawn_rows(len(drawn), len(table.values)),
    ]
    details = []
    if other is not None and colour is None:
        by = "of the strongest interaction values" if measured else "whose values go best with the rest of the height"
        details.append(f"The colour is that of the feature {by}.")
    with page.FIGURES:
        body = page.figure_picture(_dependence(style, explanation, table, chosen, other, drawn, raw))
    return rows_page(style, table, body, notes, details)


def _stored(explanation: Explanation) -> int:
    return min((len(one.array) for one in explanation.display.values() if one.kind == "row"), default=0)


def cells_of(explanation: Explanation, feature: int, rows: Array) -> tuple[Floats, list[str]]:
    """The places of a feature's values on an axis, and the words of an axis of words; NaN where they are missing."""
    from xaionnx.feature_names import numeric_values

    numbers = numeric_values(explanation)[rows, feature]
    if np.isfinite(numbers).any():
        return numbers, []
    texts = [explanation.shown_values(int(n))[feature] for n in rows]
    known = sorted({text for text in texts if text not in ("", "missing")}, key=texts.index)
    places = np.array([known.index(text) if text in known else np.nan for text in texts], np.float64)
    return places, known


def _strongest_partner(
    explanation: Explanation, table: Table, chosen: int, drawn: Array, raw: tuple[Floats, list[str]], target: int
) -> int | None:
    """The feature that interacts most with another one; None if no other has numbers."""
    given = explanation.maps.get("interactions")
    if given is not None:
        pairs = np.asarray(given[target] if explanation.several_targets else given, np.float64)
        strength = np.abs(pairs[:, chosen]).mean(axis=0)
    else:
        strength = partner_strengths(raw[0], table.values[drawn, chosen], table.numbers[drawn])
    strength = np.where(np.isfinite(table.numbers).any(axis=0), strength, 0.0)
    strength[chosen] = 0.0
    return int(strength.argmax()) if strength.max() > 0 else None


def partner_strengths(x: Floats, values: Floats, numbers: Floats) -> Floats:
    """How well each feature's numbers (N, P) go with values (N,) among rows of similar ``x``, in 0..1.

    The rows are sorted by ``x`` and cut into groups; in each, the size of the correlation with what a straight line
    over ``x`` leaves of the values counts. Missing numbers are the mean of their column.
    """
    known = np.isfinite(x)
    x, values, numbers = x[known], values[known], numbers[known]
    strengths = np.zeros(numbers.shape[1])
    if len(x) < 8:
        return strengths
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, max(1, min(10, len(order) // 20)))
    with np.errstate(all="ignore"):
        means = np.nan_to_num(np.nanmean(np.where(np.isfinite(numbers).any(axis=0), numbers, 0.0), axis=0))
    filled = np.where(np.isfinite(numbers), numbers, means)
    for group in groups:
        rest = values[group] - values[group].mean()
        slope = x[group] - x[group].mean()
        if slope.any():
            rest = rest - slope * (rest @ slope) / (slope @ slope)
        columns = filled[group] - filled[group].mean(axis=0)
        size = np.sqrt((columns**2).sum(axis=0) * (rest**2).sum())
        strengths += np.abs(np.divide(rest @ columns, size, out=np.zeros(len(size)), where=size > 1e-12)) / len(groups)
    return strengths


def _dependence(
    style: Style,
    explanation: Explanation,
    table: Table,
    chosen: int,
    other: int | None,
    drawn: Array,
    raw: tuple[Floats, list[str]],
) -> Figure:
    x, categories = raw
    y = table.values[drawn, chosen]
    below, turned, words_below = _words_below(categories)
    top, tall, right, missing = 34, 380, 16, bool(np.isnan(x).any())
    low, high = charts.limits(min(0.0, float(y.min())), max(0.0, float(y.max())), tall, 10, 10)
    numbers_left = charts.NumbersLeft.between(low, high, 7)
    left = max(_LEFT, numbers_left.width + 4)
    figure = charts.blank(style, top + tall + below + 30 + (LEGEND if other is not None else 6))
    start = left + (74 if missing else 0)
    axes = charts.plot(style, figure, start, top, charts.WIDTH - start - right, tall)
    known = np.isfinite(x)
    axes.set_ylim(low, high)
    axes.set_yticks(numbers_left.marks, ["" if missing else text for text in numbers_left.texts])
    axes.grid(axis="y", color=hexadecimal(style.grid), linewidth=0.8)
    axes.axhline(0, color=hexadecimal(style.faint), linewidth=1, zorder=1)
    numbers = table.numbers[drawn, other] if other is not None else np.full(len(drawn), np.nan)
    # Any: a colour for all dots, or one for each.
    colours: Any = dot_colours(style, numbers) if other is not None else hexadecimal(style.down)
    place = x.copy()
    if categories:
        place = x + _jitter(len(x)) * 0.32
        axes.set_xlim(-0.6, len(categories) - 0.4)
        axes.set_xticks(range(len(categories)), ["" if turned else word.replace("$", r"\$") for word in words_below])
    else:
        values = x[known] if known.any() else np.array([0.0])
        span = charts.limits(float(values.min()), float(values.max()), axes.bbox.width, 10, 10)
        distinct = np.unique(values)
        if 1 < len(distinct) <= 12:
            # Few values: dots of one value lie apart.
            place = x + _jitter(len(x)) * 0.25 * float(np.diff(distinct).min())
            span = charts.limits(float(values.min()), float(values.max()), axes.bbox.width, 30, 30)
        charts.numbers_below(axes, *span, 7)
    # Any: as above.
    pick: Any = colours[known] if other is not None else colours
    axes.scatter(place[known], y[known], s=9, c=pick, linewidths=0, zorder=3)
    charts.style_ticks(style, axes)
    if missing:
        strip = charts.plot(style, figure, left, top, 60, tall)
        strip.set_ylim(low, high)
        strip.set_xlim(-1, 1)
        strip.set_yticks(numbers_left.marks, numbers_left.texts)
        strip.set_xticks([0], ["missing"])
        strip.grid(axis="y", color=hexadecimal(style.grid), linewidth=0.8)
        pick = colours[~known] if other is not None else colours
        strip.scatter(_jitter(len(x))[~known] * 0.7, y[~known], s=9, c=pick, linewidths=0, zorder=3)
        charts.style_ticks(style, strip)
    if turned:
        wide = float(axes.bbox.width)
        for number, word in enumerate(words_below):
            at = start + wide * (number + 0.6) / len(categories)
            place_of_word = top + tall + 8 + charts.text_width(word)
            charts.write(style, figure, word, at, place_of_word, align="center", rotation=90)
    name = charts.spaced(table.names[chosen])
    charts.write(style, figure, charts.shortened(f"effect of {name} on the prediction", 820), 8, 14, colour=style.faint)
    middle = start + (charts.WIDTH - start - right) / 2
    below_it = charts.shortened(name_with_unit(explanation, name, chosen, " in "), 600)
    charts.write(style, figure, below_it, middle, top + tall + below + 14, align="center")
    if other is not None:
        partner = charts.shortened(f"colour: {charts.spaced(table.names[other])}, low", 520)
        value_legend(style, figure, partner, top + tall + below + 44)
    return figure


def _words_below(categories: list[str]) -> tuple[int, bool, list[str]]:
    """The words of a horizontal axis: the height they take, whether they are turned, and their lines."""
    column = 700 // max(1, len(categories))
    if column >= 90 or not categories:
        lines = [page.wrapped(word, fonts.Face(16), column - 14) for word in categories]
        shown = [
            [*each[:2], charts.shortened(" ".join(each[2:]), column - 14)] if len(each) > 2 else each for each in lines
        ]
        return 8 + charts.LINE * max(map(len, shown), default=1), False, ["\n".join(each) for each in shown]
    words_ = [charts.shortened(word, 200) for word in categories]
    return max(map(charts.text_width, words_)) + 16, True, words_


def _jitter(count: int) -> Floats:
    return np.random.default_rng(1).uniform(-1, 1, count)
