"""A sheet of several methods for a row of a table, or for many rows, with the agreement of their rankings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.agreement import importance, rank_agreement
from xaionnx.caveats import caveats
from xaionnx.errors import ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import captions, charts, headings, page
from xaionnx.render.maps import one_sample
from xaionnx.render.tables import check_top, row_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    pass

# In pixels: the width of a panel and the gap beside it, the height of its title, and the sides of a cell of the matrix.
_PANEL: Final = 150
_BESIDE: Final = 30
_TITLE: Final = 44
_CELL: Final = (64, 34)
# Meanings of values without direction.
_UNDIRECTED: Final = ("importance", "sensitivity", "spread")
# The widest label.
_LABEL: Final = 290


def row_sheet(
    explanations: Sequence[Explanation],
    *,
    sample: int | None = None,
    target: int = 0,
    top: int = 12,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of the values that several methods give to the features of a row, and how alike their rankings are.

    Parameters
    ----------
    explanations : sequence of Explanation
        Explanations of the same N rows, each alone or all together, with the same features.
    sample : int, optional
        The row. If None and there are several, each bar is the mean size of a feature's values over all rows.
    target : int
        Index of the target, if there are several.
    top : int
        The number of features, the first by the mean of their ranks over all methods.
    style : Style
        Colours of the page and length of the caption, as from :func:`style_of`.

    Returns
    -------
    PIL.Image.Image
        RGB. Each method has its own scale, since their units differ. Beneath are the Spearman correlations of
        :func:`xaionnx.agreement.rank_agreement`.

    Raises
    ------
    DataError
        The explanations have different features, or fewer than two.
    ParameterError
        There are fewer than two explanations, no such sample or target, or ``top`` is not a positive int.

    Examples
    --------
    >>> one = Explanation("lime", np.float32([[1, -4, 2]]), np.array(["y"]), np.array([1.0]))
    >>> other = Explanation("saliency", np.float32([[2, 4, 1]]), np.array(["y"]), np.array([1.0]))
    >>> row_sheet([one, other]).mode
    'RGB'
    """
    check_top(top, "row_sheet")
    if len(explanations) < 2:
        raise ParameterError("A row sheet compares at least two explanations.")
    sample = 0 if sample is None and all(one.samples == 1 for one in explanations) else sample
    agreement = rank_agreement(explanations, sample, target)
    shown = [one_sample(one, sample or 0, target if one.several_targets else 0, "row_sheet") for one in explanations]
    sizes = [importance(one, sample, target) for one in explanations]
    bars = sizes if sample is None else [row_of(one, 0, 0, "row_sheet").values for one in shown]
    directed = [one.value_kind not in _UNDIRECTED for one in shown]
    order = _first_by_rank(sizes)[:top]
    rows = charts.Rows(tuple(_labels(shown[0], order, with_values=sample is not None)))
    titles = headings.method_titles(shown)
    explained = [_with_metric(one, title) for one, title in zip(shown, titles, strict=True)]
    with page.FIGURES:
        body = page.beneath(
            style,
            [
                _draw_bars(style, rows, titles, [values[order] for values in bars], directed),
                _draw_agreement(style, explained, agreement),
            ],
            charts.TEXT,
        )
    count = len(sizes[0])
    together = " and ".join(t for t, one in zip(explained, explanations, strict=True) if "samples" in one.diagnostics)
    notes = [
        "Bars: the mean size of a feature's values over all rows, for each method on its own scale"
        + (f"; by {together} its value for all rows together." if together else ".")
        if sample is None
        else "Red values raise the prediction, blue ones lower it"
        + ("; grey ones have no direction. " if not all(directed) else ". ")
        + "Each method has its own scale.",
        f"The {len(order)} of {count} features that come first in the mean of all ranks." if count > len(order) else "",
        "Rank agreement: Spearman correlation of the sizes, 1 for the same order, 0 for unrelated ones.",
    ]
    rows_in_all = max(one.diagnostics.get("samples", one.samples) for one in explanations)
    heading = headings.class_and_score(shown[0]) if sample is not None else _heading(explanations, rows_in_all)
    found = list(dict.fromkeys(caveat for one in shown for caveat in caveats(one)))
    model = shown[0].provenance.get("model")
    made = " | ".join([*map(_made_by, shown), *([str(model)] if model else [])])
    return page.whole(style, [heading], found, body, page.Caption(list(filter(None, notes)), made), charts.TEXT)


def _with_metric(one: Explanation, title: str) -> str:
    """The title of a method, with the metric whose change its values are."""
    if one.provenance.get("quantity") != "metric":
        return title
    return f"{title} of {str(one.target.flat[0]).partition(' over ')[0]}"


def _heading(explanations: Sequence[Explanation], rows: int) -> str:
    """The class that all rows are explained for, if there is one, and their number."""
    each = {str(name) for one in explanations if "samples" not in one.diagnostics for name in one.target.flat}
    name = each.pop() if len(each) == 1 else "the class of each row" if each else ""
    return " · ".join(filter(None, [name, f"{rows:,} rows"]))


def _made_by(one: Explanation) -> str:
    """How a method computed its values, without the model, which is the same for all."""
    provenance = {key: value for key, value in one.provenance.items() if key != "model"}
    return captions.made_by_in_short(dataclasses.replace(one, provenance=provenance))


def _first_by_rank(sizes: Sequence[Floats]) -> Array:
    """The numbers of the features by the mean of their ranks, the strongest first."""
    from scipy.stats import rankdata

    return np.argsort(np.stack([rankdata(-size) for size in sizes]).mean(axis=0), kind="stable")


def _labels(one: Explanation, order: Array, *, with_values: bool) -> list[tuple[str, ...]]:
    """The names of features, with their values in the input if a single sample is drawn."""
    row = row_of(one, 0, 0, "row_sheet")
    return [charts.label(row.names[i], row.shown[i] if with_values else "", _LABEL) for i in order]


def _draw_bars(
    style: Style, rows: charts.Rows, titles: Sequence[str], values: Sequence[Floats], directed: Sequence[bool]
) -> Image.Image:
    """A column of bars for each method, with the same features in the same order."""
    left = rows.width + 16
    top = _TITLE + 18 * any(len(charts.label(title, width=_PANEL - 30)) > 1 for title in titles)
    figure = charts.blank(style, top + rows.height + charts.FOOT, left + (_PANEL + _BESIDE) * len(values))
    for lines, centre in zip(rows.labels, rows.centres, strict=True):
        charts.write(style, figure, "\n".join(lines), left - 12, top + centre, align="right")
    for number, (title, column, has_sign) in enumerate(zip(titles, values, directed, strict=True)):
        at = left + (_PANEL + _BESIDE) * number
        lines = charts.label(title, width=_PANEL - 30)
        charts.write(style, figure, f"{number + 1}  {lines[0]}", at, top - 18 * len(lines), bold=True)
        for more in lines[1:]:
            charts.write(style, figure, more, at + 18, top - 18, bold=True)
        axes = charts.plot(style, figure, at, top, _PANEL, rows.height)
        axes.set_ylim(rows.height, 0)
        axes.set_yticks([])
        low, high = charts.limits(min(0.0, column.min()), max(0.0, column.max()), _PANEL, 4, 4)
        charts.number_axis(style, axes, low, high, 2)
        colours = [
            hexadecimal((style.up if value >= 0 else style.down) if has_sign else style.faint) for value in column
        ]
        axes.barh(rows.centres, column, color=colours, height=18, zorder=2)
        axes.axvline(0, color=hexadecimal(style.faint), linewidth=1, zorder=3)
        for centre in rows.centres:
            axes.axhline(centre, color=hexadecimal(style.grid), linewidth=0.8, zorder=0)
    return page.figure_picture(figure)


def _draw_agreement(style: Style, titles: Sequence[str], agreement: Floats) -> Image.Image:
    """The matrix of correlations as shaded numbers, with the numbers of the methods above."""
    wide, tall = _CELL
    names = [f"{charts.shortened(title, _LABEL)}  {number + 1}" for number, title in enumerate(titles)]
    left = max(charts.text_width("rank agreement", bold=True), *map(charts.text_width, names)) + 16
    figure = charts.blank(style, _TITLE + tall * len(names), left + wide * len(names) + 8)
    charts.write(style, figure, "rank agreement", left - 12, _TITLE - 16, bold=True, align="right")
    axes = charts.plot(style, figure, left, _TITLE, wide * len(names), tall * len(names))
    paper, ink = np.array(style.paper), np.array(style.ink)
    shade = 0.75 * np.abs(np.nan_to_num(agreement))[..., None]
    axes.imshow((paper * (1 - shade) + ink * shade) / 255, aspect="auto")
    axes.set(xticks=[], yticks=[])
    for i, name in enumerate(names):
        charts.write(style, figure, name, left - 12, _TITLE + tall * (i + 0.5), align="right")
        charts.write(style, figure, str(i + 1), left + wide * (i + 0.5), _TITLE - 16, align="center")
        for j, number in enumerate(agreement[i]):
            text = "none" if np.isnan(number) else f"{number:.2f}".replace("-", "−")
            at = left + wide * (j + 0.5), _TITLE + tall * (i + 0.5)
            dark = shade[i, j, 0] > 0.4
            charts.write(style, figure, text, *at, align="center", colour=style.paper if dark else style.ink)
    return page.figure_picture(figure)
