"""Charts of how the prediction changes with one feature, or with two: partial dependence and accumulated effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import charts, colour_bars, page
from xaionnx.render.colours import Scale, number_words, scale_of
from xaionnx.render.dependence_plot import feature_number
from xaionnx.render.result_page import sample_page
from xaionnx.render.tables import name_with_unit
from xaionnx.render.themes import Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES: Final = 6
"""Features with a curve if 'top' is not given."""

PAIRS: Final = 3
"""Pairs of features that are drawn if 'top' is not given."""

# In pixels: the gap between panels, a title, a plot, the numbers below it and those at its left.
_GAP: Final = 26
_TITLE: Final = 24
_TALL: Final = 170
_BELOW: Final = 34
_LEFT: Final = 62
# Words of a feature that are drawn, the most frequent, and the width of their names.
_WORDS: Final = 8
_NAME: Final = 190


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Effects:
    """The maps of a record of one target, and the words of the points of features."""

    one: Explanation

    def of(self, name: str) -> Array:
        return np.asarray(self.one.maps[name][0], np.float64)

    def words(self, feature: int) -> list[str]:
        return list(self.one.provenance.get("grid_words", {}).get(str(feature), ()))

    @property
    def mean(self) -> float:
        return float(self.one.prediction[0])

    def title(self, feature: int) -> str:
        """The name of a feature with its unit, if the name does not say it."""
        name = charts.spaced(self.one.feature_names[feature])
        return name_with_unit(self.one, name, feature)


def effect_curves(
    one: Explanation, style: Style, *, feature: str | int | None = None, top: int = CURVES
) -> Image.Image:
    """A picture of the curves of the features with the largest effects, or of one feature.

    The curve is the partial dependence, the thin lines are those of single rows, the dashed line the accumulated
    effects about the mean prediction; of words a dot is the partial dependence.

    Parameters
    ----------
    one : Explanation
        The record of one target, with the maps ``grid``, ``partial_dependence``, ``ale``, ``ice`` and ``rug``.
    style : Style
    feature : str or int, optional
        The only feature to draw.
    top : int
        The largest number of features.
    """
    effects = _Effects(one)
    values = np.asarray(one.values if one.feature_values is None else one.feature_values)[0].reshape(-1)
    order = np.argsort(-values, kind="stable")
    chosen = order[:top] if feature is None else np.array([feature_number(one, feature, order)])
    with page.FIGURES:
        body = page.figure_picture(_panels(style, effects, chosen))
    notes = ["Mean prediction if all rows had this value (line); thin: single rows; dashed: accumulated local effects."]
    if left := len(values) - len(chosen):
        notes.append(f"The other {left} features of {len(values)} vary less." if feature is None else "")
    return sample_page(style, one, body, notes, ["Ticks at the bottom are quantiles of the feature's values."])


def _panels(style: Style, effects: _Effects, chosen: Array) -> Figure:
    across = 1 if len(chosen) == 1 else 2
    wide = (charts.WIDTH - (across - 1) * _GAP) / across
    each = _TITLE + (_TALL if across == 2 else 2 * _TALL) + _BELOW
    figure = charts.blank(style, -(-len(chosen) // across) * (each + _GAP) - _GAP)
    curves = np.stack([effects.of(name)[chosen] for name in ("partial_dependence", "ale")])
    curves[1] += effects.mean
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    for number, feature in enumerate(chosen):
        left, top = (number % across) * (wide + _GAP), number // across * (each + _GAP)
        title = charts.shortened(effects.title(int(feature)), int(wide) - 10)
        charts.write(style, figure, title, left + 4, top + _TITLE / 2, bold=True)
        place = (left, top + _TITLE, wide, each - _TITLE - _BELOW)
        draw = _draw_words if effects.words(int(feature)) else _draw_numbers
        draw(style, figure, effects, int(feature), place, (low, high))
    return figure


Place = tuple[float, float, float, float]


def _draw_numbers(
    style: Style, figure: Figure, effects: _Effects, feature: int, place: Place, ends: tuple[float, float]
) -> None:
    left, top, wide, tall = place
    low, high = charts.limits(*ends, tall, 14, 8)
    numbers = charts.NumbersLeft.between(low, high, 4)
    beside = max(_LEFT, numbers.width + 4)
    axes = charts.plot(style, figure, left + beside, top, wide - beside - 14, tall)
    grid = effects.of("grid")[feature]
    known = np.isfinite(grid)
    x = grid[known]
    axes.set_ylim(low, high)
    rows = effects.of("ice")[feature][:, known]
    axes.plot(x, rows.T, color=hexadecimal(style.plain), linewidth=0.5, alpha=0.25, zorder=1)
    axes.axhline(effects.mean, color=hexadecimal(style.faint), linewidth=0.8, linestyle=(0, (2, 3)), zorder=2)
    alone = effects.of("ale")[feature][known] + effects.mean
    axes.plot(x, alone, color=hexadecimal(style.down), linewidth=1.4, linestyle="--", zorder=3)
    mark = "o" if len(x) < 8 else None
    axes.plot(x, effects.of("partial_dependence")[feature][known], color=hexadecimal(style.up), marker=mark, zorder=4)
    axes.plot(effects.of("rug")[feature], np.full(effects.of("rug").shape[1], low), "|", color=hexadecimal(style.faint))
    charts.numbers_below(axes, *charts.limits(float(x.min()), float(x.max()), axes.bbox.width, 4, 4), 5)
    axes.set_yticks(numbers.marks, numbers.texts)
    axes.grid(axis="y", color=hexadecimal(style.grid), linewidth=0.8)
    charts.style_ticks(style, axes)


def _draw_words(
    style: Style, figure: Figure, effects: _Effects, feature: int, place: Place, ends: tuple[float, float]
) -> None:
    left, top, wide, tall = place
    axes = charts.plot(style, figure, left + _NAME, top, wide - _NAME - 14, tall)
    words = effects.words(feature)
    frequent = np.sort(np.argsort(-effects.of("share")[feature][: len(words)], kind="stable")[:_WORDS])
    y = np.arange(len(frequent), dtype=np.float64)
    axes.set_ylim(len(frequent) - 0.4, -0.6)
    charts.number_axis(style, axes, *charts.limits(*ends, axes.bbox.width, 12, 12), 4)
    axes.axvline(effects.mean, color=hexadecimal(style.faint), linewidth=0.8, linestyle=(0, (2, 3)), zorder=2)
    means = effects.of("partial_dependence")[feature][frequent]
    axes.hlines(y, effects.mean, means, color=hexadecimal(style.plain), linewidth=1.5, zorder=3)
    axes.plot(means, y, "o", color=hexadecimal(style.up), zorder=4)
    axes.set_yticks([])
    for row, number in zip(y, frequent, strict=True):
        text = charts.shortened(words[number], _NAME - 16)
        at = top + tall * (row + 0.6) / (len(frequent) + 0.2)
        charts.write(style, figure, text, left + _NAME - 10, at, align="right")


def pair_effects(one: Explanation, style: Style, *, top: int = PAIRS) -> Image.Image:
    """A picture of the effect of pairs of features: the mean prediction, and what a pair has beyond its parts.

    Parameters
    ----------
    one : Explanation
        The record of one target, with the maps ``pair_grid``, ``pair_partial_dependence`` and ``pair_ale``.
    style : Style
    top : int
        The largest number of pairs.
    """
    effects = _Effects(one)
    pairs = [tuple(pair) for pair in one.provenance["pairs"]][:top]
    with page.FIGURES:
        body = page.figure_picture(_pair_panels(style, effects, pairs))
    notes = [
        "Left: the mean prediction if all rows had these two values, red above the mean of all, blue below. Right: "
        "what both have together beyond their effects alone (accumulated local effects)."
    ]
    if not np.isfinite(effects.of("pair_ale")[: len(pairs)]).any(axis=(1, 2)).all():
        notes.append("It is not defined for words (gray).")
    if left := len(one.provenance["pairs"]) - len(pairs):
        notes.append(f"{left} more pairs are left out.")
    return sample_page(style, one, body, notes)


def _pair_panels(style: Style, effects: _Effects, pairs: Sequence[tuple[int, ...]]) -> Figure:
    wide, tall = (charts.WIDTH - _GAP) / 2, 300.0
    each = _TITLE + tall + 110
    figure = charts.blank(style, len(pairs) * each)
    for number, (first, second) in enumerate(pairs):
        grids = [_points(effects, number, side, feature) for side, feature in enumerate((first, second))]
        shape = tuple(len(points) for points in grids)
        names = effects.title(first), effects.title(second)
        for side, name in enumerate(("pair_partial_dependence", "pair_ale")):
            cells = effects.of(name)[number][: shape[0], : shape[1]] - (0 if side else effects.mean)
            place = (side * (wide + _GAP), number * each, wide, tall)
            _draw_pair(style, figure, cells, grids, names, place)
    return figure


def _points(effects: _Effects, pair: int, side: int, feature: int) -> list[str]:
    """The points of a feature of a pair in words."""
    grid = effects.of("pair_grid")[pair][side]
    known = [number_words(float(point)) for point in grid if np.isfinite(point)]
    return known or effects.words(feature)[: len(grid)]


def _draw_pair(
    style: Style, figure: Figure, cells: Floats, grids: list[list[str]], names: tuple[str, str], place: Place
) -> None:
    """A panel: a cell for each pair of points, the first feature downwards."""
    left, top, wide, tall = place
    charts.write(style, figure, charts.shortened(f"{names[0]} (down)", int(wide)), left + 4, top + 12, bold=True)
    known = np.isfinite(cells)
    scale = scale_of(cells[known] if known.any() else np.zeros(1), "signed", 100.0, "picture")
    colours = colour_bars.on_paper(style, scale, np.nan_to_num(cells), 1.0)
    colours[~known] = style.grid
    names_wide = min(140, max(map(charts.text_width, grids[0]))) + 14
    axes = charts.plot(style, figure, left + names_wide, top + _TITLE, wide - names_wide - 6, tall)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for row, text in enumerate(grids[0]):
        at = top + _TITLE + tall * (row + 0.5) / len(grids[0])
        charts.write(style, figure, charts.shortened(text, 140), left + names_wide - 8, at, align="right")
    column = float(axes.bbox.width) / len(grids[1])
    # Each, or as many as have room beside each other.
    every = max(1, int(np.ceil((min(120, max(map(charts.text_width, grids[1]))) + 8) / column)))
    for number in range(0, len(grids[1]), every):
        at = left + names_wide + column * (number + 0.5)
        short = charts.shortened(grids[1][number], int(column * every) - 4)
        charts.write(style, figure, short, at, top + _TITLE + tall + 12, align="center")
    name = charts.shortened(f"{names[1]} (across)", int(wide) - 4)
    charts.write(style, figure, name, left + 4, top + _TITLE + tall + 34, bold=True)
    if not scale.empty:
        _scale_below(style, figure, scale, left + names_wide, top + _TITLE + tall + 52)


def _scale_below(style: Style, figure: Figure, scale: Scale, left: float, top: float) -> None:
    bar: Axes = charts.plot(style, figure, left, top, 180, 10)
    bar.imshow(colour_bars.scale_swatches(style, scale, 1.0, 180)[None], aspect="auto")
    bar.set_yticks([])
    bar.set_xticks([0, 90, 179], [number_words(scale.low), "0", number_words(scale.high)])
    charts.style_ticks(style, bar)
