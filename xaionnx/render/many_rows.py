"""Charts of all rows: beeswarm, heatmap, dependence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import charts, fonts, page, words
from xaionnx.render.colours import number_words, scale_of, sequential
from xaionnx.render.result_page import rows_page
from xaionnx.render.tables import TOP, Table, check_top, subsample, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Rows that are drawn: a beeswarm of more is a blot, and a heatmap has no more columns of pixels.
_DOTS: Final = 2000
_COLUMNS: Final = 480
# In pixels: the height of a row of dots, the size of a dot, the width of a bin in which dots lie over each other.
_BAND: Final = 36
_DOT: Final = 4.2
_BIN: Final = 3.0
# The column of mean sizes at the right, and the colour bar below.
_MEANS: Final = 96
_BAR: Final = 52


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
    drawn = subsample(len(table.values), _DOTS)
    coloured = bool(np.isfinite(table.numbers).any())
    notes = [
        "Each dot is a row: right of zero the feature raises the prediction there, left of it lowers it."
        if explanation.value_kind in ("contribution", None)
        else "Each dot is a row, at the value of the method for the feature.",
        words.mixed_targets(table.targets),
        words.drawn_rows(len(drawn), len(table.values)),
    ]
    details = ["Colours run from the 5th to the 95th percentile of the feature's values."] if coloured else []
    details.append("The numbers at the right are the mean size of the feature's values over all rows.")
    with page.FIGURES:
        body = page.figure_picture(_beeswarm(style, table, drawn, top, coloured))
    return rows_page(style, table, body, notes, details)


def _split(table: Table, top: int) -> tuple[Array, Array]:
    """The features that are shown and those that are summed; a rest of one is shown."""
    order = table.order
    return (order, order[:0]) if len(order) <= top + 1 else (order[:top], order[top:])


def _beeswarm(style: Style, table: Table, drawn: Array, top: int, coloured: bool) -> Figure:
    shown, rest = _split(table, top)
    labels = [charts.label(table.names[i]) for i in shown]
    columns = [table.values[:, i] for i in shown]
    if len(rest):
        labels.append(charts.label(f"sum of {len(rest)} others"))
        columns.append(table.values[:, rest].sum(axis=1))
    rows = charts.Rows(tuple(_padded(lines) for lines in labels))
    head, foot = 24, charts.FOOT + (_BAR if coloured else 0)
    figure, axes = charts.rows_chart(style, rows, head=head, foot=foot, right=_MEANS)
    every = np.concatenate([column[drawn] for column in columns])
    low, high = charts.limits(min(0.0, float(every.min())), max(0.0, float(every.max())), axes.bbox.width, 8, 8)
    charts.number_axis(style, axes, low, high)
    axes.axvline(0, color=hexadecimal(style.faint), linewidth=1, zorder=1)
    unit = (high - low) / float(axes.bbox.width)
    heights = rows.heights
    for number, (column, centre) in enumerate(zip(columns, rows.centres, strict=True)):
        x = column[drawn]
        y = centre + spread(x / unit, min(heights[number], 60.0) / 2 - 5)
        numbers = np.full(len(drawn), np.nan)
        if number < len(shown):
            numbers[drawn < len(table.numbers)] = table.numbers[drawn[drawn < len(table.numbers)], shown[number]]
        _dots(style, axes, x, y, numbers)
    right = charts.WIDTH - _MEANS
    charts.write(style, figure, "mean |value|", charts.WIDTH - 6, 11, align="right", colour=style.faint)
    for column, centre in zip(columns, rows.centres, strict=True):
        charts.write(style, figure, number_words(float(np.abs(column).mean())), right + 12, head + centre)
    if coloured:
        _value_bar(style, figure, 16, head + rows.height + charts.FOOT + 14)
    return figure


def _padded(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Lines of a label that make its row at least as high as a band of dots."""
    return lines if len(lines) > 1 else (*lines,)


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


def low_to_high(style: Style) -> npt.NDArray[np.float32]:
    """The colours of a feature's values, from low to high: visible on the page, and none of those of the signs."""
    colours = sequential("plasma")
    return colours[8:216] if sum(style.paper) > 384 else colours[56:248]


def shares(numbers: Floats) -> Floats:
    """Numbers from 0 at their 5th percentile to 1 at their 95th; NaN where missing, one half if all are equal."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return np.full(len(numbers), np.nan)
    low, high = np.percentile(known, [5, 95])
    if low == high:
        low, high = known.min(), known.max()
    if low == high:
        return np.where(np.isfinite(numbers), 0.5, np.nan)
    return np.asarray(np.clip((numbers - low) / (high - low), 0, 1))


def dot_colours(style: Style, numbers: Floats) -> npt.NDArray[np.float64]:
    """The colours (N, 3) in 0..1 of numbers from low to high; gray for words and missing values."""
    place, ramp = shares(numbers), low_to_high(style)
    colours = np.empty((len(numbers), 3))
    colours[:] = np.array(style.plain) / 255
    known = np.isfinite(place)
    colours[known] = ramp[np.rint(place[known] * (len(ramp) - 1)).astype(np.intp)] / 255
    return colours


def _dots(style: Style, axes: Axes, x: Floats, y: Floats, numbers: Floats) -> None:
    """Dots of a feature; those without a number lie under the others."""
    order = np.argsort(np.isfinite(numbers), kind="stable")
    size = (_DOT * 72 / 120) ** 2
    axes.scatter(x[order], y[order], s=size, c=dot_colours(style, numbers)[order], linewidths=0, zorder=3)


def _value_bar(style: Style, figure: Figure, left: float, top: float) -> None:
    """The legend of a feature's values, from low to high, and of words and missing values."""
    before, after = "feature value  low", "high"
    x = left + charts.text_width(before) + 8
    axes = charts.plot(style, figure, x, top, 150, 12)
    axes.imshow(low_to_high(style)[None] / 255, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    charts.write(style, figure, before, x - 8, top + 6, align="right")
    charts.write(style, figure, after, x + 158, top + 6)
    gray = x + 158 + charts.text_width(after) + 30
    legend = charts.plot(style, figure, gray, top, 12, 12)
    legend.plot([0.5], [0.5], "o", color=hexadecimal(style.plain), markersize=5)
    legend.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    charts.write(style, figure, "words, or missing", gray + 18, top + 6, colour=style.faint)


def heatmap(explanation: Explanation, *, target: int = 0, top: int = TOP, style: Style = LIGHT) -> Image.Image:
    """A picture of all rows as columns of a heat map, similar ones side by side, with the prediction above.

    Rows are ordered by clustering their values (Ward linkage).

    Parameters
    ----------
    explanation, target, top
        As for :func:`beeswarm`.
    """
    check_top(top, "heatmap")
    table = table_of(explanation, target)
    drawn = subsample(len(table.values), _COLUMNS)
    notes = [
        "Each column is a row, similar ones side by side; red raises the prediction, blue lowers it."
        if explanation.value_kind in ("contribution", None)
        else "Each column is a row, similar ones side by side; red values are above zero, blue ones below.",
        words.mixed_targets(table.targets),
        words.drawn_rows(len(drawn), len(table.values)),
    ]
    with page.FIGURES:
        figure, scale_words = _heatmap(style, table, drawn, top)
        body = page.figure_picture(figure)
    details = ["Rows are ordered by Ward clustering of their values.", f"Colour scale: {scale_words}."]
    return rows_page(style, table, body, notes, details)


def clustered(values: Floats) -> Array:
    """The order of rows (N, P) in which similar ones are side by side, from those with the lowest sum on."""
    if len(values) < 3:
        return np.argsort(values.sum(axis=1), kind="stable")
    from scipy.cluster import hierarchy

    tree = hierarchy.linkage(values, "ward")
    order: Array = hierarchy.leaves_list(tree).astype(np.intp)
    sums = values.sum(axis=1)[order]
    half = len(order) // 2
    return order if sums[:half].mean() <= sums[half:].mean() else order[::-1]


def _heatmap(style: Style, table: Table, drawn: Array, top: int) -> tuple[Figure, str]:
    shown, rest = _split(table, top)
    labels = [charts.label(table.names[i]) for i in shown]
    cells = [table.values[drawn][:, i] for i in shown]
    if len(rest):
        labels.append(charts.label(f"sum of {len(rest)} others"))
        cells.append(table.values[drawn][:, rest].sum(axis=1))
    order = clustered(table.values[drawn])
    rows, above = charts.Rows(tuple(labels)), 92
    figure, axes = charts.rows_chart(style, rows, head=above, foot=_BAR + 12, right=_MEANS, least=150)
    grid = np.stack(cells)[:, order]
    scale = scale_of(grid, "signed", 99.0, "heatmap")
    colours = page.on_paper(style, scale, grid, 1.0)
    # One row of pixels for each feature, as high as its label.
    edges = np.concatenate([[0.0], np.cumsum(rows.heights)])
    for number in range(len(grid)):
        axes.imshow(
            colours[number][None],
            extent=(-0.5, len(order) - 0.5, edges[number + 1] - 1, edges[number] + 1),
            aspect="auto",
            interpolation="nearest",
        )
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_ylim(rows.height, 0)
    axes.set_xticks([])
    left, wide = float(axes.bbox.x0), float(axes.bbox.width)
    _predictions(style, figure, left, wide, table, drawn[order])
    charts.write(style, figure, "mean |value|", charts.WIDTH - 6, above - 12, align="right", colour=style.faint)
    every = [table.values[:, i] for i in shown] + ([table.values[:, rest].sum(axis=1)] if len(rest) else [])
    for values, centre in zip(every, rows.centres, strict=True):
        charts.write(
            style, figure, number_words(float(np.abs(values).mean())), charts.WIDTH - _MEANS + 12, above + centre
        )
    bar = charts.plot(style, figure, left + wide / 2 - 110, above + rows.height + 14, 220, 12)
    bar.imshow(page.scale_swatches(style, scale, 1.0, 220)[None], aspect="auto")
    bar.set_yticks([])
    bar.set_xticks([0, 110, 219], [number_words(scale.low), "0", number_words(scale.high)])
    charts.style_ticks(style, bar)
    return figure, scale.words


def _predictions(style: Style, figure: Figure, left: float, wide: float, table: Table, order: Array) -> None:
    """The predictions of rows in their order, and the base value, as lines above a heat map."""
    axes = charts.plot(style, figure, left, 10, wide, 62)
    line = table.prediction[order]
    base = None if table.base is None else float(np.mean(table.base))
    axes.plot(np.arange(len(order)), line, color=hexadecimal(style.ink), linewidth=1.1)
    axes.set_xlim(-0.5, len(order) - 0.5)
    low, high = min(line.min(), base or line.min()), max(line.max(), base or line.max())
    low, high = charts.limits(float(low), float(high), 62, 4, 4)
    axes.set_ylim(low, high)
    axes.set_xticks([])
    marks = page.ticks(low, high, 3)
    axes.set_yticks([])
    charts.write(style, figure, "prediction", left - 66, 40, align="right")
    for mark, text in zip(marks, charts.tick_words(marks), strict=True):
        y = 10 + 62 * (high - mark) / (high - low)
        charts.write(style, figure, text, left - 8, y, align="right", colour=style.faint)
    axes.grid(axis="y", color=hexadecimal(style.grid), linewidth=0.8)
    if base is not None and low <= base <= high:
        axes.axhline(base, color=hexadecimal(style.faint), linewidth=1, linestyle=(0, (3, 3)))
        charts.write(style, figure, "base", left + wide + 8, 10 + 62 * (high - base) / (high - low), colour=style.faint)


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
    drawn = subsample(min(len(table.values), _stored(explanation)), _DOTS)
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
        words.mixed_targets(table.targets),
        words.drawn_rows(len(drawn), len(table.values)),
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
    units = next((d.units for d in explanation.display.values() if d.kind == "row" and d.units), ())
    unit = f" in {units[chosen]}" if len(units) == len(table.names) and units[chosen] else ""
    # The name may say it already: age in years.
    unit = "" if charts.spaced(table.names[chosen]).endswith(unit.removeprefix(" in ")) else unit
    below, turned, words_below = _words_below(categories)
    left, top, tall, missing = 84, 34, 380, bool(np.isnan(x).any())
    right = 16
    figure = charts.blank(style, top + tall + below + 30 + (_BAR if other is not None else 6))
    start = left + (74 if missing else 0)
    axes = charts.plot(style, figure, start, top, charts.WIDTH - start - right, tall)
    known = np.isfinite(x)
    low, high = charts.limits(min(0.0, float(y.min())), max(0.0, float(y.max())), tall, 10, 10)
    axes.set_ylim(low, high)
    marks = page.ticks(low, high, 7)
    axes.set_yticks(marks, ["" if missing else text for text in charts.tick_words(marks)])
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
        strip.set_yticks(marks, charts.tick_words(marks))
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
    charts.write(style, figure, charts.shortened(f"{name}{unit}", 600), middle, top + tall + below + 14, align="center")
    if other is not None:
        _partner_bar(style, figure, charts.spaced(table.names[other]), top + tall + below + 44)
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


def _partner_bar(style: Style, figure: Figure, name: str, top: float) -> None:
    """The legend of the colours of a dependence plot."""
    text = charts.shortened(f"colour: {name}, low", 520)
    wide = charts.text_width(text) + 8 + 150 + 8 + charts.text_width("high")
    x = (charts.WIDTH - wide) / 2 + charts.text_width(text) + 8
    axes = charts.plot(style, figure, x, top, 150, 12)
    axes.imshow(low_to_high(style)[None] / 255, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    charts.write(style, figure, text, x - 8, top + 6, align="right")
    charts.write(style, figure, "high", x + 158, top + 6)
