"""What charts of all rows have in common: their features, the column of mean sizes, and the legend of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.render import charts
from xaionnx.render.colours import number_words
from xaionnx.render.tables import Table
from xaionnx.render.themes import Style
from xaionnx.render.value_colours import low_to_high
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows that are drawn as dots: more would be a blot.
DOTS: Final = 2000
# In pixels: the column of mean sizes at the right, and the legend of colours below with its bar.
MEANS: Final = 96
LEGEND: Final = 52
_BAR: Final = (150, 12)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """The features of a chart of all rows: the strongest, and the sum of the others.

    Attributes
    ----------
    shown : array of int
        The features that have a line of their own.
    labels : tuple of tuple of str
        The lines of each label.
    values : list of arrays (N,)
    """

    shown: Array
    labels: tuple[tuple[str, ...], ...]
    values: Sequence[Floats]

    @classmethod
    def of(cls, table: Table, top: int) -> Columns:
        """The ``top`` strongest features and the sum of the others; a single other one is shown itself."""
        order = table.order
        shown, rest = (order, order[:0]) if len(order) <= top + 1 else (order[:top], order[top:])
        labels = [charts.label(table.names[i]) for i in shown]
        values = [table.values[:, i] for i in shown]
        if len(rest):
            labels.append(charts.label(f"sum of {len(rest)} others"))
            values.append(table.values[:, rest].sum(axis=1))
        return cls(shown, tuple(labels), values)

    def write_means(self, style: Style, figure: Figure, rows: charts.Rows, head: int) -> None:
        """Write the mean sizes of the features at the right; the first row begins at ``head`` pixels."""
        charts.write(style, figure, "mean |value|", charts.WIDTH - 6, head - 12, align="right", colour=style.faint)
        for values, centre in zip(self.values, rows.centres, strict=True):
            mean = number_words(float(np.abs(values).mean()))
            charts.write(style, figure, mean, charts.WIDTH - MEANS + 12, head + centre)


def value_legend(style: Style, figure: Figure, before: str, top: float, left: float | None = None) -> float:
    """Draw the colours of a feature's values, from low to high, after a text, and return where the legend ends.

    Without ``left`` it is in the middle of the figure.
    """
    (wide, tall), after = _BAR, "high"
    whole = charts.text_width(before) + 8 + wide + 8 + charts.text_width(after)
    x = ((charts.WIDTH - whole) / 2 if left is None else left) + charts.text_width(before) + 8
    axes = charts.plot(style, figure, x, top, wide, tall)
    axes.imshow(low_to_high(style)[None] / 255, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    charts.write(style, figure, before, x - 8, top + tall / 2, align="right")
    charts.write(style, figure, after, x + wide + 8, top + tall / 2)
    return x + wide + 8 + charts.text_width(after)
