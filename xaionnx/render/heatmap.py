"""All rows as columns of a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import charts, colour_bars, page, readings
from xaionnx.render.colours import number_words, scale_of
from xaionnx.render.result_page import rows_page
from xaionnx.render.table_chart import LEGEND, MEANS, Columns
from xaionnx.render.tables import TOP, Table, check_top, subsample, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS: Final = 480
# In pixels: the least width of the labels, and the place of the predictions above the plot; the name of their axis.
_LABEL: Final = 150
_TOP: Final = 10
_TALL: Final = 62
_NAME: Final = "prediction"


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
        readings.mixed_targets(table.targets),
        readings.drawn_rows(len(drawn), len(table.values)),
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
    columns = Columns.of(table, top)
    order = clustered(table.values[drawn])
    rows, above = charts.Rows(columns.labels), 92
    predictions = _Predictions.of(table, drawn[order])
    least = max(_LABEL, predictions.width)
    figure, axes = charts.rows_chart(style, rows, head=above, foot=LEGEND + 12, right=MEANS, least=least)
    grid = np.stack([values[drawn] for values in columns.values])[:, order]
    scale = scale_of(grid, "signed", 99.0, "heatmap")
    colours = colour_bars.on_paper(style, scale, grid, 1.0)
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
    predictions.draw(style, figure, left, wide)
    columns.write_means(style, figure, rows, above)
    bar = charts.plot(style, figure, left + wide / 2 - 110, above + rows.height + 14, 220, 12)
    bar.imshow(colour_bars.scale_swatches(style, scale, 1.0, 220)[None], aspect="auto")
    bar.set_yticks([])
    bar.set_xticks([0, 110, 219], [number_words(scale.low), "0", number_words(scale.high)])
    charts.style_ticks(style, bar)
    return figure, scale.words


@final
@dataclass(frozen=True, eq=False, repr=False)
class _Predictions:
    """The predictions of rows in their order, and the base value: lines above a heat map, with an axis of numbers."""

    line: Floats
    base: float | None
    low: float
    high: float
    numbers: charts.NumbersLeft

    @classmethod
    def of(cls, table: Table, order: Array) -> _Predictions:
        line = table.prediction[order]
        base = None if table.base is None else float(np.mean(table.base))
        every = line if base is None else np.append(line, base)
        # The word at the base value stands above the heading of the mean sizes.
        low, high = charts.limits(float(every.min()), float(every.max()), _TALL, 14, 4)
        return cls(line, base, low, high, charts.NumbersLeft.between(low, high, 3))

    @property
    def width(self) -> int:
        """The pixels that the name of the axis and its numbers take."""
        return charts.text_width(_NAME) + self.numbers.width

    def draw(self, style: Style, figure: Figure, left: float, wide: float) -> None:
        """Draw them above a plot that begins at ``left`` pixels."""
        axes = charts.plot(style, figure, left, _TOP, wide, _TALL)
        axes.plot(np.arange(len(self.line)), self.line, color=hexadecimal(style.ink), linewidth=1.1)
        axes.set_xlim(-0.5, len(self.line) - 0.5)
        axes.set_ylim(self.low, self.high)
        axes.set_xticks([])
        axes.set_yticks([])
        charts.write(style, figure, _NAME, left - self.numbers.width - 8, 40, align="right")
        for mark, text in zip(self.numbers.marks, self.numbers.texts, strict=True):
            charts.write(style, figure, text, left - 8, self._height(mark), align="right", colour=style.faint)
        if self.base is not None:
            axes.axhline(self.base, color=hexadecimal(style.faint), linewidth=1, linestyle=(0, (3, 3)))
            charts.write(style, figure, "base", left + wide + 8, self._height(self.base), colour=style.faint)

    def _height(self, value: float) -> float:
        return _TOP + _TALL * (self.high - value) / (self.high - self.low)
